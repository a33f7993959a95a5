-- A refused request is one row, however often it comes, and is deleted when it stays away. All other rows of `grants` and
-- `events` are never deleted.
ALTER TABLE grants ADD COLUMN denied_hash TEXT;  -- which request it was; null unless it was refused
ALTER TABLE grants ADD COLUMN denials INTEGER;   -- how often it was refused
ALTER TABLE grants ADD COLUMN denied_at INTEGER; -- when it was refused last

CREATE UNIQUE INDEX grants_denied ON grants (agent_id, denied_hash) WHERE denied_hash IS NOT NULL;
-- Those from before this migration have no `denied_at`.
CREATE INDEX grants_denied_to_forget ON grants (coalesce(denied_at, requested_at)) WHERE status = 'denied';

CREATE TRIGGER grants_counted_when_deleted AFTER DELETE ON grants BEGIN
    UPDATE grant_counts SET grants = grants - 1 WHERE status = old.status;
END;
