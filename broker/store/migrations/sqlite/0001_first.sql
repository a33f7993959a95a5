-- Times are milliseconds since 1970 in UTC. Rows of `grants` and `events` are never deleted.

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
    due_at        INTEGER, -- when something is to be done about it; null once it is final
    claimed_until INTEGER, -- somebody is at it until then
    beat_every    INTEGER, -- the lease, if there is one
    last_beat     INTEGER,
    silent_at     INTEGER, -- when the lease runs out; null unless the grant is active
    version       INTEGER NOT NULL,
    body          TEXT    NOT NULL, -- the whole grant in JSON; the columns above are for finding it
    final         INTEGER NOT NULL GENERATED ALWAYS AS (due_at IS NULL) VIRTUAL
) STRICT;

CREATE UNIQUE INDEX grants_by_key ON grants (agent_id, idem_key) WHERE idem_key IS NOT NULL;
CREATE INDEX grants_due ON grants (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX grants_silent ON grants (beat_every, silent_at) WHERE silent_at IS NOT NULL;
-- Every index ends with `n` by itself, which is what makes these three give a listing in its order.
CREATE INDEX grants_of_life ON grants (final);
CREATE INDEX grants_of_agent ON grants (agent_id);
CREATE INDEX grants_of_agent_and_life ON grants (agent_id, final);

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

CREATE TABLE intents (
    grant_n   INTEGER NOT NULL REFERENCES grants (n),
    step      INTEGER NOT NULL,
    action    TEXT    NOT NULL,
    object    TEXT    NOT NULL,
    opened_at INTEGER NOT NULL,
    closed_at INTEGER,
    PRIMARY KEY (grant_n, step)
) STRICT, WITHOUT ROWID;

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
