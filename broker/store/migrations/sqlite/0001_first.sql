-- Times are milliseconds since 1970 in UTC. Rows of `grants` and `events` are never deleted, except for denied requests: each
-- is one row, however often it is denied, and is deleted when the request does not come again.

CREATE TABLE agents (
    id         TEXT    NOT NULL PRIMARY KEY,
    source     TEXT    NOT NULL, -- the registration's TOML text
    status     TEXT    NOT NULL,
    revision   INTEGER NOT NULL, -- raised by every change of the row
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
CREATE INDEX auth_tokens_to_purge ON auth_tokens (expires_at) WHERE expires_at IS NOT NULL;

CREATE TABLE grants (
    number             INTEGER NOT NULL PRIMARY KEY, -- grows: the order of listings
    id                 TEXT    NOT NULL UNIQUE,
    agent_id           TEXT    NOT NULL,
    idem_key           TEXT, -- null for a denied request
    status             TEXT    NOT NULL,
    requested_at       INTEGER, -- or when an approved grant was collected; null for a denied request, which counts as no grant of a run
    due_at             INTEGER, -- when a worker must act; null when nothing is left to do
    claimed_until      INTEGER, -- when the claim of a worker ends
    heartbeat_interval INTEGER, -- null without a lease
    last_heartbeat     INTEGER,
    lease_expires_at   INTEGER, -- null unless the grant is active or waits
    version            INTEGER NOT NULL, -- raised by every transition and claim
    body               TEXT    NOT NULL, -- the whole grant in JSON; the other columns are for queries
    denied_hash        TEXT, -- the hash of a denied request
    denials            INTEGER, -- how often it was denied
    denied_at          INTEGER, -- when it was denied last
    -- The run that requested the grant, as its issuer signs it; '' if nothing signed names a run. For the limit of grants of a run.
    run                TEXT    NOT NULL DEFAULT '',
    break_glass        INTEGER NOT NULL DEFAULT 0, -- whether it was taken in an emergency
    reevaluate_at      INTEGER, -- when a live grant must be decided again; null: only when something changes
    reevaluation       INTEGER NOT NULL DEFAULT 0, -- raised whenever the rules, posture or the agent change
    -- A final grant can still be due: its session-deny policies are removed later.
    final              INTEGER NOT NULL GENERATED ALWAYS AS (status IN ('denied', 'failed', 'revoked')) VIRTUAL
) STRICT;

CREATE UNIQUE INDEX grants_by_key ON grants (agent_id, idem_key) WHERE idem_key IS NOT NULL;
CREATE INDEX grants_due ON grants (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX grants_lease ON grants (heartbeat_interval, lease_expires_at) WHERE lease_expires_at IS NOT NULL;
-- SQLite appends `number` to every index, so these three yield listings in their order.
CREATE INDEX grants_final ON grants (final);
CREATE INDEX grants_of_agent ON grants (agent_id);
CREATE INDEX grants_final_of_agent ON grants (agent_id, final);
CREATE UNIQUE INDEX grants_denied ON grants (agent_id, denied_hash) WHERE denied_hash IS NOT NULL;
CREATE INDEX grants_denied_to_purge ON grants (denied_at) WHERE status = 'denied';
CREATE INDEX grants_active_of_run ON grants (agent_id, status, run) WHERE status IN ('pending_approval', 'applying', 'active');
CREATE INDEX grants_break_glass ON grants (break_glass) WHERE break_glass = 1;
CREATE INDEX grants_waiting ON grants (status) WHERE status = 'pending_approval';
CREATE INDEX grants_to_reevaluate ON grants (reevaluate_at) WHERE status IN ('pending_approval', 'active') AND reevaluate_at IS NOT NULL;
CREATE INDEX grants_recent_of_agent ON grants (agent_id, requested_at) WHERE requested_at IS NOT NULL;
CREATE INDEX grants_recent_of_run ON grants (agent_id, run, requested_at) WHERE requested_at IS NOT NULL;

-- By what grants are found, as their platforms signed it. Written once, with the grant.
CREATE TABLE grant_origins (
    grant_number INTEGER NOT NULL PRIMARY KEY REFERENCES grants (number),
    created_at   INTEGER NOT NULL,
    repository   TEXT,
    commit_id    TEXT,
    actor        TEXT -- the account that started the run
) STRICT;

CREATE INDEX grant_origins_created ON grant_origins (created_at);
CREATE INDEX grant_origins_repository ON grant_origins (repository) WHERE repository IS NOT NULL;
CREATE INDEX grant_origins_commit ON grant_origins (commit_id) WHERE commit_id IS NOT NULL;
CREATE INDEX grant_origins_actor ON grant_origins (actor) WHERE actor IS NOT NULL;

-- Kept by triggers, because counting a million grants takes as long as reading them.
CREATE TABLE grant_counts (
    status TEXT    NOT NULL PRIMARY KEY,
    grants INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TRIGGER grants_counted_on_insert AFTER INSERT ON grants BEGIN
    INSERT INTO grant_counts VALUES (new.status, 1) ON CONFLICT DO UPDATE SET grants = grants + 1;
END;

CREATE TRIGGER grants_counted_on_update AFTER UPDATE OF status ON grants WHEN old.status <> new.status BEGIN
    UPDATE grant_counts SET grants = grants - 1 WHERE status = old.status;
    INSERT INTO grant_counts VALUES (new.status, 1) ON CONFLICT DO UPDATE SET grants = grants + 1;
END;

CREATE TRIGGER grants_counted_on_delete AFTER DELETE ON grants BEGIN
    UPDATE grant_counts SET grants = grants - 1 WHERE status = old.status;
END;

-- `position` orders the events of all grants. There is one writer, so events become visible in this order. SQLite gives a row
-- the greatest position and one, so a position is used once as long as the event with the greatest one stays.
CREATE TABLE events (
    position     INTEGER NOT NULL PRIMARY KEY,
    grant_number INTEGER NOT NULL REFERENCES grants (number),
    seq          INTEGER NOT NULL, -- 1, 2, 3, … in the timeline of the grant
    at           INTEGER NOT NULL,
    kind         TEXT    NOT NULL,
    source       TEXT    NOT NULL,
    actor        TEXT, -- JSON; null unless an operator or a person caused it
    text         TEXT    NOT NULL,
    data         TEXT    NOT NULL, -- JSON
    prev_hash    TEXT    NOT NULL,
    hash         TEXT    NOT NULL,
    UNIQUE (grant_number, seq)
) STRICT;

CREATE INDEX events_for_persons ON events (position) WHERE kind IN ('approval', 'break_glass');

-- Tokens that may be used once: OIDC tokens, and break-glass codes.
CREATE TABLE consumed_oidc_tokens (
    token_hash   TEXT    NOT NULL PRIMARY KEY,
    bound_to     TEXT    NOT NULL, -- the job or request that consumed it
    forget_after INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX consumed_oidc_tokens_to_purge ON consumed_oidc_tokens (forget_after);

-- Keys that were revoked before they got a grant.
CREATE TABLE idempotency_key_tombstones (
    agent_id     TEXT    NOT NULL,
    idem_key     TEXT    NOT NULL,
    forget_after INTEGER NOT NULL,
    PRIMARY KEY (agent_id, idem_key)
) STRICT, WITHOUT ROWID;

CREATE INDEX idempotency_key_tombstones_to_purge ON idempotency_key_tombstones (forget_after);

-- Objects at a target that several grants share. `src/resource_lock.rs` has the rule.
CREATE TABLE shared_objects (
    object                TEXT    NOT NULL PRIMARY KEY,
    ownership             TEXT, -- 'managed' or 'foreign'; null if no driver has observed the object
    -- After the removal of a managed object: until when a late write of the broker may create it again.
    write_may_land_until  INTEGER,
    -- Until when an unanswered delete may still reach the target.
    delete_may_land_until INTEGER,
    locked_until          INTEGER, -- null: not locked
    fencing_token         INTEGER NOT NULL DEFAULT 0 -- raised by every acquisition of the lock
) STRICT;

-- The grants whose steps name a shared object, until they are final.
CREATE TABLE shared_object_refs (
    object       TEXT    NOT NULL,
    grant_number INTEGER NOT NULL REFERENCES grants (number),
    PRIMARY KEY (object, grant_number)
) STRICT, WITHOUT ROWID;

CREATE TABLE signing_keys (
    number      INTEGER NOT NULL PRIMARY KEY,
    kid         TEXT    NOT NULL UNIQUE,
    private_pem TEXT    NOT NULL,
    created_at  INTEGER NOT NULL
) STRICT;

CREATE TABLE rule_sets (
    digest     TEXT    NOT NULL PRIMARY KEY, -- SHA-256 of the files
    files      TEXT    NOT NULL, -- JSON: the texts by name
    created_at INTEGER NOT NULL,
    created_by TEXT    NOT NULL
) STRICT;

-- The row with the greatest version has the rules as they are. Without a row there are none.
CREATE TABLE rules_history (
    version   INTEGER NOT NULL PRIMARY KEY, -- 1, 2, 3, …
    at        INTEGER NOT NULL,
    author    TEXT    NOT NULL,
    action    TEXT    NOT NULL,
    active    TEXT    REFERENCES rule_sets (digest), -- the set that decides; null: what the boundary permits
    candidate TEXT    REFERENCES rule_sets (digest), -- the set that is evaluated beside it
    rollout   TEXT    NOT NULL -- JSON: globs of the agents for which the candidate decides
) STRICT;

-- Rows are deleted by age. The greatest number stays, so that none is used twice.
CREATE TABLE decisions (
    number         INTEGER NOT NULL PRIMARY KEY,
    at             INTEGER NOT NULL,
    kind           TEXT    NOT NULL,
    agent_id       TEXT    NOT NULL,
    grant_number   INTEGER, -- the grant may be a denied request that was deleted
    observation_id TEXT, -- of a step that ran without a grant
    facts          TEXT    NOT NULL, -- canonical JSON
    facts_digest   TEXT    NOT NULL, -- SHA-256 of `facts`
    rules          TEXT, -- the rule set that decided; null where none was active
    outcome        TEXT    NOT NULL,
    verdict        TEXT    NOT NULL, -- JSON
    shadow_rules   TEXT, -- the set that was evaluated beside it
    shadow_outcome TEXT,
    shadow         TEXT -- its verdict; null without a second set
) STRICT;

CREATE INDEX decisions_by_time ON decisions (at);
CREATE INDEX decisions_of_grant ON decisions (grant_number) WHERE grant_number IS NOT NULL;
CREATE INDEX decisions_dry_runs ON decisions (agent_id) WHERE kind = 'dry_run';
CREATE INDEX decisions_observed ON decisions (kind) WHERE kind = 'observe';
CREATE UNIQUE INDEX decisions_of_observation ON decisions (observation_id) WHERE observation_id IS NOT NULL;

-- What the steps of observations called.
CREATE TABLE observed_actions (
    observation_id TEXT    NOT NULL,
    name           TEXT    NOT NULL,
    status         TEXT    NOT NULL, -- '' if it is not known
    count          INTEGER NOT NULL,
    PRIMARY KEY (observation_id, name, status)
) STRICT, WITHOUT ROWID;

-- Sessions of persons.
CREATE TABLE sessions (
    hash         TEXT    NOT NULL PRIMARY KEY, -- SHA-256 of the session's token, or of the code that is exchanged for it
    issuer       TEXT NOT NULL,
    subject      TEXT NOT NULL,
    challenge    TEXT, -- what the client that exchanges the code has to prove; null afterwards
    body         TEXT    NOT NULL, -- JSON
    last_used_at INTEGER NOT NULL,
    ends_at      INTEGER NOT NULL, -- the absolute end
    expires_at   INTEGER NOT NULL  -- `ends_at`, or the end of the code
) STRICT, WITHOUT ROWID;

CREATE INDEX sessions_to_purge ON sessions (expires_at);
CREATE INDEX sessions_of_person ON sessions (issuer, subject);

-- Requests that persons approved in advance.
CREATE TABLE standing_approvals (
    id           TEXT    NOT NULL PRIMARY KEY,
    agent_id     TEXT    NOT NULL,
    body         TEXT    NOT NULL, -- JSON
    until        INTEGER NOT NULL,
    forget_after INTEGER NOT NULL  -- later than `until`: votes that it cast are looked up
) STRICT, WITHOUT ROWID;

CREATE INDEX standing_approvals_of_agent ON standing_approvals (agent_id, until);
CREATE INDEX standing_approvals_to_purge ON standing_approvals (forget_after);

-- Codes that are sealed for break-glass. A code that a grant consumed is in `consumed_oidc_tokens`.
CREATE TABLE break_glass_codes (
    id           TEXT    NOT NULL PRIMARY KEY,
    hash         TEXT    NOT NULL UNIQUE,
    body         TEXT    NOT NULL, -- JSON
    expires_at   INTEGER NOT NULL,
    forget_after INTEGER NOT NULL  -- later than `expires_at`: the code holds its grant
) STRICT, WITHOUT ROWID;

CREATE INDEX break_glass_codes_to_purge ON break_glass_codes (forget_after);

-- How far each reader of all events is.
CREATE TABLE event_consumers (
    name     TEXT    NOT NULL PRIMARY KEY,
    position INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Messages about requests that wait, to be sent and sent.
CREATE TABLE notifications (
    id              TEXT    NOT NULL PRIMARY KEY, -- in the order of creation
    bundle          TEXT    NOT NULL, -- channel, kind, agent and policies
    status          TEXT    NOT NULL,
    due_at          INTEGER NOT NULL,
    next_attempt_at INTEGER,          -- NULL unless it is pending
    forget_after    INTEGER,          -- NULL while it is pending
    body            TEXT    NOT NULL  -- JSON
) STRICT, WITHOUT ROWID;

CREATE INDEX notifications_due ON notifications (next_attempt_at) WHERE next_attempt_at IS NOT NULL;
CREATE INDEX notifications_of_bundle ON notifications (bundle, due_at);
CREATE INDEX notifications_to_purge ON notifications (forget_after) WHERE forget_after IS NOT NULL;

-- The newest statement of each source about each subject of requests.
CREATE TABLE posture (
    subject     TEXT    NOT NULL,
    source      TEXT    NOT NULL,
    ok          INTEGER NOT NULL, -- 0 or 1
    as_of       INTEGER NOT NULL,
    expires_at  INTEGER NOT NULL,
    received_at INTEGER NOT NULL,
    seq         INTEGER NOT NULL, -- from `meta.posture_seq`
    PRIMARY KEY (subject, source)
) STRICT, WITHOUT ROWID;

CREATE INDEX posture_by_source ON posture (source, subject);
CREATE INDEX posture_to_purge ON posture (expires_at);

-- One row.
CREATE TABLE meta (
    write_probe INTEGER NOT NULL, -- raised to find out whether writing works
    posture_seq INTEGER NOT NULL -- raised by every change of `posture`
) STRICT;

INSERT INTO meta VALUES (0, 0);
