-- Times are milliseconds since 1970 in UTC. Rows of `grants` and `events` are never deleted, except for denied requests: each
-- is one row, however often it is denied, and is deleted when the request does not come again.
--
-- Rows that belong to a grant have no foreign key to it: they are written in the statement that writes the grant, and a check
-- for each row would lock the grant's row once more.

CREATE TABLE agents (
    -- Sorted by bytes, whatever the database's collation is.
    id         TEXT   COLLATE "C" NOT NULL PRIMARY KEY,
    source     TEXT   NOT NULL, -- the registration's TOML text
    status     TEXT   NOT NULL,
    revision   BIGINT NOT NULL, -- raised by every change of the row
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);

CREATE TABLE auth_tokens (
    number     BIGINT GENERATED ALWAYS AS IDENTITY,
    id         TEXT   NOT NULL PRIMARY KEY, -- the public part
    agent_id   TEXT   NOT NULL REFERENCES agents (id),
    hash       TEXT   NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT
);

CREATE INDEX auth_tokens_of_agent ON auth_tokens (agent_id, created_at);
CREATE INDEX auth_tokens_to_purge ON auth_tokens (expires_at) WHERE expires_at IS NOT NULL;

CREATE TABLE grants (
    number             BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, -- grows: the order of listings
    id                 TEXT   NOT NULL UNIQUE,
    agent_id           TEXT   NOT NULL,
    idem_key           TEXT, -- null for a denied request
    status             TEXT   NOT NULL,
    requested_at       BIGINT, -- or when an approved grant was collected; null for a denied request, which counts as no grant of a run
    due_at             BIGINT, -- when a worker must act; null when nothing is left to do
    claimed_until      BIGINT, -- when the claim of a worker ends
    heartbeat_interval BIGINT, -- null without a lease
    last_heartbeat     BIGINT,
    lease_expires_at   BIGINT, -- null unless the grant is active or waits
    version            BIGINT NOT NULL, -- raised by every transition and claim
    -- The last event. A transaction that appends events updates this row, so appends to one timeline are serialized.
    last_seq           BIGINT,
    last_hash          TEXT,
    body               TEXT   NOT NULL, -- the whole grant in JSON; the other columns are for queries
    denied_hash        TEXT, -- the hash of a denied request
    denials            BIGINT, -- how often it was denied
    denied_at          BIGINT, -- when it was denied last
    -- The run that requested the grant, as its issuer signs it; '' if nothing signed names a run. For the limit of grants of a run.
    run                TEXT   NOT NULL DEFAULT '',
    break_glass        BOOLEAN NOT NULL DEFAULT false, -- whether it was taken in an emergency
    reevaluate_at      BIGINT, -- when a live grant must be decided again; null: only when something changes
    reevaluation       BIGINT NOT NULL DEFAULT 0 -- raised whenever the rules, posture or the agent change
);

CREATE INDEX grants_due ON grants (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX grants_lease ON grants (heartbeat_interval, lease_expires_at) WHERE lease_expires_at IS NOT NULL;
CREATE INDEX grants_of_agent ON grants (agent_id, number);
CREATE INDEX grants_live ON grants (number) WHERE status NOT IN ('denied', 'failed', 'revoked');
CREATE INDEX grants_live_of_agent ON grants (agent_id, number) WHERE status NOT IN ('denied', 'failed', 'revoked');
CREATE UNIQUE INDEX grants_denied ON grants (agent_id, denied_hash) WHERE denied_hash IS NOT NULL;
CREATE INDEX grants_denied_to_purge ON grants (denied_at) WHERE status = 'denied';
CREATE INDEX grants_active_of_run ON grants (agent_id, status, run) WHERE status IN ('pending_approval', 'applying', 'active');
CREATE INDEX grants_break_glass ON grants (number) WHERE break_glass;
CREATE INDEX grants_waiting ON grants (number) WHERE status = 'pending_approval';
CREATE INDEX grants_to_reevaluate ON grants (reevaluate_at) WHERE status IN ('pending_approval', 'active') AND reevaluate_at IS NOT NULL;
CREATE INDEX grants_recent_of_agent ON grants (agent_id, requested_at) WHERE requested_at IS NOT NULL;
CREATE INDEX grants_recent_of_run ON grants (agent_id, run, requested_at) WHERE requested_at IS NOT NULL;

-- By what grants are found, as their platforms signed it. Written once, with the grant.
CREATE TABLE grant_origins (
    grant_number BIGINT PRIMARY KEY, -- no foreign key: the statement that writes the grant writes its origin too
    created_at   BIGINT NOT NULL,
    repository   TEXT COLLATE "C",
    commit_id    TEXT COLLATE "C",
    actor        TEXT COLLATE "C" -- the account that started the run
);

CREATE INDEX grant_origins_created ON grant_origins (created_at);
CREATE INDEX grant_origins_repository ON grant_origins (repository, grant_number) WHERE repository IS NOT NULL;
CREATE INDEX grant_origins_commit ON grant_origins (commit_id) WHERE commit_id IS NOT NULL;
CREATE INDEX grant_origins_actor ON grant_origins (actor, grant_number) WHERE actor IS NOT NULL;

-- A key belongs to a grant, or is a tombstone because it was revoked before it got one. An elevation and a revoke insert the
-- same row, so one of them comes first.
CREATE TABLE idempotency_keys (
    agent_id     TEXT   NOT NULL,
    idem_key     TEXT   NOT NULL,
    grant_id     TEXT, -- null for a tombstone
    forget_after BIGINT, -- when a tombstone is deleted; null with a grant
    PRIMARY KEY (agent_id, idem_key),
    CHECK ((grant_id IS NULL) = (forget_after IS NOT NULL))
);

CREATE INDEX idempotency_keys_to_purge ON idempotency_keys (forget_after) WHERE forget_after IS NOT NULL;

-- The number of grants with a status is the sum of the changes. With one row for each status every transition would wait for
-- that row; the rows are compacted now and then.
CREATE TABLE grant_counts (
    status TEXT   NOT NULL,
    change BIGINT NOT NULL
);

-- `position` orders the events of all grants, and the events of one grant like `seq`. Transactions do not commit in this order:
-- see `src/postgres/tail.rs`.
CREATE TABLE events (
    position     BIGINT GENERATED ALWAYS AS IDENTITY UNIQUE,
    grant_number BIGINT NOT NULL,
    seq          BIGINT NOT NULL, -- 1, 2, 3, … in the timeline of the grant
    at           BIGINT NOT NULL,
    kind         TEXT   NOT NULL,
    source       TEXT   NOT NULL,
    actor        TEXT, -- JSON; null unless an operator or a person caused it
    text         TEXT   NOT NULL, -- `\0` stands for NUL, which PostgreSQL does not store, and `\\` for `\`
    data         TEXT   NOT NULL, -- JSON
    prev_hash    TEXT   NOT NULL,
    hash         TEXT   NOT NULL,
    PRIMARY KEY (grant_number, seq)
);

CREATE INDEX events_for_persons ON events (position) WHERE kind IN ('approval', 'break_glass');

-- Tokens that may be used once: OIDC tokens, and break-glass codes.
CREATE TABLE consumed_oidc_tokens (
    token_hash   TEXT   NOT NULL PRIMARY KEY,
    bound_to     TEXT   NOT NULL, -- the job or request that consumed it, escaped like `events.text`
    forget_after BIGINT NOT NULL
);

CREATE INDEX consumed_oidc_tokens_to_purge ON consumed_oidc_tokens (forget_after);

-- Objects at a target that several grants share. `src/resource_lock.rs` has the rule.
CREATE TABLE shared_objects (
    object                TEXT   NOT NULL PRIMARY KEY,
    ownership             TEXT, -- 'managed' or 'foreign'; null if no driver has observed the object
    -- After the removal of a managed object: until when a late write of the broker may create it again.
    write_may_land_until  BIGINT,
    -- Until when an unanswered delete may still reach the target.
    delete_may_land_until BIGINT,
    locked_until          BIGINT, -- null: not locked
    fencing_token         BIGINT NOT NULL DEFAULT 0 -- raised by every acquisition of the lock
);

-- The grants whose steps name a shared object, until they are final.
CREATE TABLE shared_object_refs (
    object       TEXT   NOT NULL,
    grant_number BIGINT NOT NULL,
    PRIMARY KEY (object, grant_number)
);

CREATE TABLE signing_keys (
    number      BIGINT GENERATED ALWAYS AS IDENTITY,
    kid         TEXT   NOT NULL PRIMARY KEY,
    -- The newest key when this one was made, '' for the first. Each key has one follower, so concurrent rotations make one key.
    follows     TEXT   NOT NULL UNIQUE,
    private_pem TEXT   NOT NULL,
    created_at  BIGINT NOT NULL
);

CREATE TABLE rule_sets (
    digest     TEXT    NOT NULL PRIMARY KEY, -- SHA-256 of the files
    files      TEXT    NOT NULL, -- JSON: the texts by name
    created_at BIGINT  NOT NULL,
    created_by TEXT    NOT NULL
);

-- The row with the greatest version has the rules as they are. Without a row there are none.
CREATE TABLE rules_history (
    version   BIGINT  NOT NULL PRIMARY KEY, -- 1, 2, 3, …
    at        BIGINT  NOT NULL,
    author    TEXT    NOT NULL,
    action    TEXT    NOT NULL,
    active    TEXT    REFERENCES rule_sets (digest), -- the set that decides; null: what the boundary permits
    candidate TEXT    REFERENCES rule_sets (digest), -- the set that is evaluated beside it
    rollout   TEXT    NOT NULL -- JSON: globs of the agents for which the candidate decides
);

-- Rows are deleted by age. The greatest number stays, so that none is used twice.
CREATE TABLE decisions (
    number         BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at             BIGINT  NOT NULL,
    kind           TEXT    NOT NULL,
    agent_id       TEXT    NOT NULL,
    grant_number   BIGINT , -- the grant may be a denied request that was deleted
    observation_id TEXT, -- of a step that ran without a grant
    facts          TEXT    NOT NULL, -- canonical JSON
    facts_digest   TEXT    NOT NULL, -- SHA-256 of `facts`
    rules          TEXT, -- the rule set that decided; null where none was active
    outcome        TEXT    NOT NULL,
    verdict        TEXT    NOT NULL, -- JSON
    shadow_rules   TEXT, -- the set that was evaluated beside it
    shadow_outcome TEXT,
    shadow         TEXT -- its verdict; null without a second set
);

CREATE INDEX decisions_by_time ON decisions (at, number);
CREATE INDEX decisions_of_grant ON decisions (grant_number, number) WHERE grant_number IS NOT NULL;
CREATE INDEX decisions_dry_runs ON decisions (agent_id, number) WHERE kind = 'dry_run';
CREATE INDEX decisions_observed ON decisions (number) WHERE kind = 'observe';
CREATE UNIQUE INDEX decisions_of_observation ON decisions (observation_id) WHERE observation_id IS NOT NULL;

-- What the steps of observations called.
CREATE TABLE observed_actions (
    observation_id TEXT    NOT NULL,
    name           TEXT    NOT NULL, -- escaped like `events.text`
    status         TEXT    NOT NULL, -- '' if it is not known
    count          BIGINT  NOT NULL,
    PRIMARY KEY (observation_id, name, status)
);

-- Sessions of persons.
CREATE TABLE sessions (
    hash         TEXT   NOT NULL PRIMARY KEY, -- SHA-256 of the session's token, or of the code that is exchanged for it
    issuer       TEXT NOT NULL,
    subject      TEXT NOT NULL,
    challenge    TEXT, -- what the client that exchanges the code has to prove; null afterwards
    body         TEXT   NOT NULL, -- JSON
    last_used_at BIGINT NOT NULL,
    ends_at      BIGINT NOT NULL, -- the absolute end
    expires_at   BIGINT NOT NULL  -- `ends_at`, or the end of the code
);

CREATE INDEX sessions_to_purge ON sessions (expires_at);
CREATE INDEX sessions_of_person ON sessions (issuer, subject);

-- Requests that persons approved in advance.
CREATE TABLE standing_approvals (
    id           TEXT    NOT NULL PRIMARY KEY,
    agent_id     TEXT    NOT NULL,
    body         TEXT    NOT NULL, -- JSON
    until        BIGINT  NOT NULL,
    forget_after BIGINT  NOT NULL  -- later than `until`: votes that it cast are looked up
);

CREATE INDEX standing_approvals_of_agent ON standing_approvals (agent_id, until);
CREATE INDEX standing_approvals_to_purge ON standing_approvals (forget_after);

-- Codes that are sealed for break-glass. A code that a grant consumed is in `consumed_oidc_tokens`.
CREATE TABLE break_glass_codes (
    id           TEXT   NOT NULL PRIMARY KEY,
    hash         TEXT   NOT NULL UNIQUE,
    body         TEXT   NOT NULL, -- JSON
    expires_at   BIGINT NOT NULL,
    forget_after BIGINT NOT NULL  -- later than `expires_at`: the code holds its grant
);

CREATE INDEX break_glass_codes_to_purge ON break_glass_codes (forget_after);

-- How far each reader of all events is.
CREATE TABLE event_consumers (
    name     TEXT    NOT NULL PRIMARY KEY,
    position BIGINT NOT NULL
);

-- Messages about requests that wait, to be sent and sent.
CREATE TABLE notifications (
    id              TEXT    COLLATE "C" NOT NULL PRIMARY KEY, -- in the order of creation
    bundle          TEXT    NOT NULL, -- channel, kind, agent and policies
    status          TEXT    NOT NULL,
    due_at          BIGINT NOT NULL,
    next_attempt_at BIGINT,          -- NULL unless it is pending
    forget_after    BIGINT,          -- NULL while it is pending
    body            TEXT    NOT NULL  -- JSON
);

CREATE INDEX notifications_due ON notifications (next_attempt_at) WHERE next_attempt_at IS NOT NULL;
CREATE INDEX notifications_of_bundle ON notifications (bundle, due_at);
CREATE INDEX notifications_to_purge ON notifications (forget_after) WHERE forget_after IS NOT NULL;

-- The newest statement of each source about each subject of requests.
CREATE TABLE posture (
    subject     TEXT    COLLATE "C" NOT NULL, -- escaped like `events.text`
    source      TEXT    COLLATE "C" NOT NULL,
    ok          BIGINT  NOT NULL, -- 0 or 1
    as_of       BIGINT  NOT NULL,
    expires_at  BIGINT  NOT NULL,
    received_at BIGINT  NOT NULL,
    seq         BIGINT  GENERATED ALWAYS AS IDENTITY, -- grows with every change of the table
    PRIMARY KEY (subject, source)
);

CREATE INDEX posture_by_source ON posture (source, subject);
CREATE INDEX posture_to_purge ON posture (expires_at);

-- Versions of the rules and of the posture about subjects, which stay as they are until the transaction ends. A volatile
-- function reads what was committed while it waited for its locks; a statement would not.
CREATE FUNCTION locked_versions (subjects TEXT[]) RETURNS TABLE (rules_version BIGINT, posture_seq BIGINT)
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(1, 0);
    PERFORM pg_advisory_xact_lock_shared(2, hashtext(one)) FROM unnest(subjects) AS one;
    RETURN QUERY SELECT (SELECT coalesce(max(version), 0) FROM rules_history),
                        (SELECT coalesce(max(seq), 0) FROM posture WHERE subject = ANY (subjects));
END
$$;

-- One row.
CREATE TABLE meta (
    write_probe       BIGINT NOT NULL, -- raised to find out whether writing works
    -- The minimum schema version that a broker must support; raised by migrations that break older brokers.
    min_broker_schema BIGINT NOT NULL
);

INSERT INTO meta VALUES (0, 1);
