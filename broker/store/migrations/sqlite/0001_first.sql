-- Times are milliseconds since 1970 in UTC. Rows of `grants` and `events` are never deleted, but for refused requests: each is
-- one row, however often it comes, and is deleted when it stays away.

CREATE TABLE agents (
    id         TEXT    NOT NULL PRIMARY KEY,
    source     TEXT    NOT NULL, -- the registration as it was written
    status     TEXT    NOT NULL,
    revision   INTEGER NOT NULL, -- grows with every change of the row
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;

CREATE TABLE auth_tokens (
    id         TEXT    NOT NULL PRIMARY KEY, -- the public part
    agent_id   TEXT    NOT NULL REFERENCES agents (id),
    hash       TEXT    NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER
) STRICT;

CREATE INDEX auth_tokens_of_agent ON auth_tokens (agent_id, created_at);
CREATE INDEX auth_tokens_to_forget ON auth_tokens (expires_at) WHERE expires_at IS NOT NULL;

CREATE TABLE grants (
    n             INTEGER NOT NULL PRIMARY KEY, -- grows: the order of listings
    id            TEXT    NOT NULL UNIQUE,
    agent_id      TEXT    NOT NULL,
    idem_key      TEXT,
    status        TEXT    NOT NULL,
    requested_at  INTEGER NOT NULL,
    due_at        INTEGER, -- when something is to be done about it; null once nothing is left to do
    claimed_until INTEGER, -- somebody is at it until then
    beat_every    INTEGER, -- the lease, if there is one
    last_beat     INTEGER,
    silent_at     INTEGER, -- when the lease runs out; null unless the grant is active
    version       INTEGER NOT NULL,
    body          TEXT    NOT NULL, -- the whole grant in JSON; the other columns are for finding it
    denied_hash   TEXT,    -- which request it was; null unless it was refused
    denials       INTEGER, -- how often it was refused
    denied_at     INTEGER, -- when it was refused last
    -- Which run asked, as closely as its issuer signs it: '' where nothing signed says so. Counted where a registration
    -- limits how many grants a run may have at once.
    run           TEXT    NOT NULL DEFAULT '',
    -- A grant that has ended can still be due: what keeps its sessions dead is taken away later. So `final` asks where
    -- it stands, not whether anything is left to do.
    final         INTEGER NOT NULL GENERATED ALWAYS AS (status IN ('denied', 'failed', 'revoked')) VIRTUAL
) STRICT;

CREATE UNIQUE INDEX grants_by_key ON grants (agent_id, idem_key) WHERE idem_key IS NOT NULL;
CREATE INDEX grants_due ON grants (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX grants_silent ON grants (beat_every, silent_at) WHERE silent_at IS NOT NULL;
-- Every index ends with `n` by itself, which is what makes these three give a listing in its order.
CREATE INDEX grants_of_life ON grants (final);
CREATE INDEX grants_of_agent ON grants (agent_id);
CREATE INDEX grants_of_agent_and_life ON grants (agent_id, final);
CREATE UNIQUE INDEX grants_denied ON grants (agent_id, denied_hash) WHERE denied_hash IS NOT NULL;
CREATE INDEX grants_denied_to_forget ON grants (denied_at) WHERE status = 'denied';
CREATE INDEX grants_active_of_run ON grants (agent_id, status, run) WHERE status IN ('applying', 'active');

-- Kept by triggers, because counting a million grants takes as long as a million grants.
CREATE TABLE grant_counts (
    status TEXT    NOT NULL PRIMARY KEY,
    grants INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TRIGGER grants_counted_when_made AFTER INSERT ON grants BEGIN
    INSERT INTO grant_counts VALUES (new.status, 1) ON CONFLICT DO UPDATE SET grants = grants + 1;
END;

CREATE TRIGGER grants_counted_when_moved AFTER UPDATE OF status ON grants WHEN old.status <> new.status BEGIN
    UPDATE grant_counts SET grants = grants - 1 WHERE status = old.status;
    INSERT INTO grant_counts VALUES (new.status, 1) ON CONFLICT DO UPDATE SET grants = grants + 1;
END;

CREATE TRIGGER grants_counted_when_deleted AFTER DELETE ON grants BEGIN
    UPDATE grant_counts SET grants = grants - 1 WHERE status = old.status;
END;

CREATE TABLE events (
    grant_n   INTEGER NOT NULL REFERENCES grants (n),
    seq       INTEGER NOT NULL,
    at        INTEGER NOT NULL,
    kind      TEXT    NOT NULL,
    source    TEXT    NOT NULL,
    text      TEXT    NOT NULL,
    data      TEXT    NOT NULL, -- JSON
    prev_hash TEXT    NOT NULL,
    hash      TEXT    NOT NULL,
    PRIMARY KEY (grant_n, seq)
) STRICT, WITHOUT ROWID;

CREATE TABLE used_tokens (
    token_hash   TEXT    NOT NULL PRIMARY KEY,
    bound_to     TEXT    NOT NULL,
    forget_after INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX used_tokens_to_forget ON used_tokens (forget_after);

CREATE TABLE given_back_keys (
    agent_id     TEXT    NOT NULL,
    idem_key     TEXT    NOT NULL,
    forget_after INTEGER NOT NULL,
    PRIMARY KEY (agent_id, idem_key)
) STRICT, WITHOUT ROWID;

CREATE INDEX given_back_keys_to_forget ON given_back_keys (forget_after);

-- Objects at a target that several grants need at once, and which grants need them. Nobody is counted: who needs
-- an object is who has a row here and lives.
CREATE TABLE shared (
    object     TEXT PRIMARY KEY,
    -- 'ours', 'foreign' (it was there before us), or NULL: nobody has looked yet
    whose      TEXT,
    -- until when what is seen there may be a late write of ours; NULL while it is there
    ours_until INTEGER,
    -- until when a call of ours that was not answered may still take it away; NULL while there is none
    may_go_until INTEGER,
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

CREATE TABLE signing_keys (
    n           INTEGER NOT NULL PRIMARY KEY,
    kid         TEXT    NOT NULL UNIQUE,
    private_pem TEXT    NOT NULL,
    created_at  INTEGER NOT NULL
) STRICT;

-- One row, written to find out whether writing works.
CREATE TABLE pulse (
    beats INTEGER NOT NULL
) STRICT;

INSERT INTO pulse VALUES (0);
