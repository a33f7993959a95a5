-- Which run asked, as closely as its issuer signs it: '' where nothing signed says so. Counted where a registration limits
-- how many grants a run may have at once.
ALTER TABLE grants ADD COLUMN run TEXT NOT NULL DEFAULT '';
CREATE INDEX grants_active_of_run ON grants (agent_id, status, run) WHERE status IN ('applying', 'active');
