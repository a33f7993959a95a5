-- Objects at a target that several grants need at once, and which grants need them. Nobody is counted: who needs
-- an object is who has a row here and lives.
CREATE TABLE shared (
    object     TEXT PRIMARY KEY,
    -- 'ours', 'foreign' (it was there before us), or NULL: nobody has looked yet
    whose      TEXT,
    -- until when what is seen there may be a late write of ours; NULL while it is there
    ours_until INTEGER,
    -- whoever changes the object holds it until then
    held_until INTEGER,
    -- grows with every hold: what is written by a holder that was overtaken does not count
    fence      INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE needs (
    object  TEXT NOT NULL,
    grant_n INTEGER NOT NULL REFERENCES grants (n),
    PRIMARY KEY (object, grant_n)
) STRICT, WITHOUT ROWID;

-- A grant that has ended can still be due: what keeps its sessions dead is taken away later. So `final` asks where
-- it stands, not whether anything is left to do.
DROP INDEX grants_of_life;
DROP INDEX grants_of_agent_and_life;
ALTER TABLE grants DROP COLUMN final;
ALTER TABLE grants ADD COLUMN final INTEGER NOT NULL
    GENERATED ALWAYS AS (status IN ('denied', 'failed', 'revoked')) VIRTUAL;
CREATE INDEX grants_of_life ON grants (final);
CREATE INDEX grants_of_agent_and_life ON grants (agent_id, final);
