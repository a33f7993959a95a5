-- Times are milliseconds since 1970 in UTC. Rows of `grants` and `events` are never deleted, but for refused requests: each is
-- one row, however often it comes, and is deleted when it stays away.
--
-- What belongs to a grant has no foreign key to it: it is written in the statement that writes the grant, and a check
-- for each row would lock the grant's row once more.

CREATE TABLE agents (
    -- In the order of its bytes, whatever language the database sorts in.
    id         TEXT   COLLATE "C" NOT NULL PRIMARY KEY,
    source     TEXT   NOT NULL, -- the registration as it was written
    status     TEXT   NOT NULL,
    revision   BIGINT NOT NULL, -- grows with every change of the row
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);

CREATE TABLE auth_tokens (
    n          BIGINT GENERATED ALWAYS AS IDENTITY,
    id         TEXT   NOT NULL PRIMARY KEY, -- the public part
    agent_id   TEXT   NOT NULL REFERENCES agents (id),
    hash       TEXT   NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT
);

CREATE INDEX auth_tokens_of_agent ON auth_tokens (agent_id, created_at);
CREATE INDEX auth_tokens_to_forget ON auth_tokens (expires_at) WHERE expires_at IS NOT NULL;

CREATE TABLE grants (
    n             BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, -- the order of listings
    id            TEXT   NOT NULL UNIQUE,
    agent_id      TEXT   NOT NULL,
    idem_key      TEXT,
    status        TEXT   NOT NULL,
    requested_at  BIGINT NOT NULL,
    due_at        BIGINT, -- when something is to be done about it; null once nothing is left to do
    claimed_until BIGINT, -- somebody is at it until then
    beat_every    BIGINT, -- the lease, if there is one
    last_beat     BIGINT,
    silent_at     BIGINT, -- when the lease runs out; null unless the grant is active
    version       BIGINT NOT NULL,
    -- The last row of its timeline. Whoever writes rows changes this row, and so waits for whoever does already.
    last_seq      BIGINT,
    last_hash     TEXT,
    body          TEXT   NOT NULL, -- the whole grant in JSON; the other columns are for finding it
    denied_hash   TEXT,   -- which request it was; null unless it was refused
    denials       BIGINT, -- how often it was refused
    denied_at     BIGINT, -- when it was refused last
    -- Which run asked, as closely as its issuer signs it: '' where nothing signed says so. Counted where a registration
    -- limits how many grants a run may have at once.
    run           TEXT   NOT NULL DEFAULT ''
);

CREATE INDEX grants_due ON grants (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX grants_silent ON grants (beat_every, silent_at) WHERE silent_at IS NOT NULL;
CREATE INDEX grants_of_agent ON grants (agent_id, n);
CREATE INDEX grants_live ON grants (n) WHERE status NOT IN ('denied', 'failed', 'revoked');
CREATE INDEX grants_live_of_agent ON grants (agent_id, n) WHERE status NOT IN ('denied', 'failed', 'revoked');
CREATE UNIQUE INDEX grants_denied ON grants (agent_id, denied_hash) WHERE denied_hash IS NOT NULL;
CREATE INDEX grants_denied_to_forget ON grants (denied_at) WHERE status = 'denied';
CREATE INDEX grants_active_of_run ON grants (agent_id, status, run) WHERE status IN ('applying', 'active');

-- Whose an idempotency key is: a grant's, or nobody's for ever, because it was given back before it had one. Both ask
-- for the same row here, and so one of them comes first.
CREATE TABLE keys (
    agent_id     TEXT NOT NULL,
    idem_key     TEXT NOT NULL,
    grant_id     TEXT,   -- null: it was given back
    forget_after BIGINT, -- null: never
    PRIMARY KEY (agent_id, idem_key),
    CHECK ((grant_id IS NULL) = (forget_after IS NOT NULL))
);

CREATE INDEX keys_to_forget ON keys (forget_after) WHERE forget_after IS NOT NULL;

-- How many grants stand where is the sum of the changes. A row for each status would be one that every change waits
-- for; now and then these are added up.
CREATE TABLE grant_counts (
    status TEXT   NOT NULL,
    change BIGINT NOT NULL
);

CREATE TABLE events (
    grant_n   BIGINT NOT NULL,
    seq       BIGINT NOT NULL,
    at        BIGINT NOT NULL,
    kind      TEXT   NOT NULL,
    source    TEXT   NOT NULL,
    text      TEXT   NOT NULL, -- with `\0` for the character that PostgreSQL does not take, and `\\` for `\`
    data      TEXT   NOT NULL, -- JSON
    prev_hash TEXT   NOT NULL,
    hash      TEXT   NOT NULL,
    PRIMARY KEY (grant_n, seq)
);

CREATE TABLE used_tokens (
    token_hash   TEXT   NOT NULL PRIMARY KEY,
    bound_to     TEXT   NOT NULL, -- written like `events.text`
    forget_after BIGINT NOT NULL
);

CREATE INDEX used_tokens_to_forget ON used_tokens (forget_after);

-- Objects at a target that several grants need at once, and which grants need them. Nobody is counted: who needs
-- an object is who has a row here and lives.
CREATE TABLE shared (
    object     TEXT   NOT NULL PRIMARY KEY,
    -- 'ours', 'foreign' (it was there before us), or NULL: nobody has looked yet
    whose      TEXT,
    -- until when what is seen there may be a late write of ours; NULL while it is there
    ours_until BIGINT,
    -- until when a call of ours that was not answered may still take it away; NULL while there is none
    may_go_until BIGINT,
    -- whoever changes the object holds it until then
    held_until BIGINT,
    -- grows with every hold: what is written by a holder that was overtaken does not count
    fence      BIGINT NOT NULL DEFAULT 0
);

CREATE TABLE needs (
    object  TEXT   NOT NULL,
    grant_n BIGINT NOT NULL,
    PRIMARY KEY (object, grant_n)
);

CREATE TABLE signing_keys (
    n           BIGINT GENERATED ALWAYS AS IDENTITY,
    kid         TEXT   NOT NULL PRIMARY KEY,
    -- which key was the newest when this one was made, '' if there was none: each has one follower
    follows     TEXT   NOT NULL UNIQUE,
    private_pem TEXT   NOT NULL,
    created_at  BIGINT NOT NULL
);

-- One row, written to find out whether writing works.
CREATE TABLE pulse (
    beats BIGINT NOT NULL,
    -- A broker has to know the tables up to this version. A migration after which older brokers would do harm raises it.
    needs BIGINT NOT NULL
);

INSERT INTO pulse VALUES (0, 1);
