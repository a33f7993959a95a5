//! Fills a database with a million live grants in a minute, as copies of one grant of a broker.

use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use postgres_for_tests::Server;
use protocol::Timestamp;

use crate::fixture::Database;

const SCRIPT: &str = include_str!("fill.py");

/// Copies of a grant. Its broker must be stopped.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Copies<'a> {
    pub(crate) of: &'a str,
    pub(crate) count: u64,
    /// Index of the first copy; no two copies have the same.
    pub(crate) first: u64,
    /// Deadline of the copies, if not the grant's own.
    pub(crate) deadline: Option<Timestamp>,
}

impl Copies<'_> {
    pub(crate) fn make(&self, database: &Database, server: Option<&Server>) -> Result<()> {
        match (database, server) {
            _ if self.count == 0 => Ok(()),
            (Database::File(path), _) => self.in_sqlite(path.to_str().context("a path in UTF-8")?),
            (Database::Server { url, .. }, Some(server)) => {
                self.in_postgres(server, url.rsplit('/').next().context("a database's name")?);
                Ok(())
            }
            (Database::Server { .. }, None) => bail!("expected the server of the database"),
        }
    }

    fn in_sqlite(&self, path: &str) -> Result<()> {
        let mut python = Command::new("python3");
        python.args(["-c", SCRIPT, path, self.of, &self.count.to_string(), &self.first.to_string()]);
        if let Some(deadline) = self.deadline {
            python.args([deadline.as_millis().to_string(), deadline.to_string()]);
        }
        let output = python.output().context("cannot start `python3`")?;
        ensure!(output.status.success(), "no copies: {}", String::from_utf8_lossy(&output.stderr));
        Ok(())
    }

    fn in_postgres(&self, server: &Server, database: &str) {
        let Self { of, count, first, deadline } = *self;
        let id = format!("'elev-' || lpad(to_hex({first}::bigint + i), 16, '0')");
        let key = format!("lpad(to_hex({first}::bigint + i), 32, '0')");
        let body = format!("replace(replace(body, id, {id}), idem_key, {key})");
        let (due_at, body) = match deadline {
            None => ("due_at".to_owned(), body),
            Some(deadline) => {
                let old = "'\"expires_at\":\"' || (body::json ->> 'expires_at') || '\"'";
                let new = format!("'\"expires_at\":\"{deadline}\"'");
                (deadline.as_millis().to_string(), format!("replace({body}, {old}, {new})"))
            }
        };
        let made = format!(
            "CREATE TEMPORARY TABLE pattern AS SELECT * FROM grants WHERE id = '{of}';
             CREATE TEMPORARY TABLE before AS SELECT max(number) AS number FROM grants;
             INSERT INTO grants (id, agent_id, idem_key, status, requested_at, due_at, heartbeat_interval, last_heartbeat,
                                 lease_expires_at, version, last_seq, last_hash, body)
             SELECT {id}, agent_id, {key}, status, requested_at, {due_at}, heartbeat_interval, last_heartbeat, lease_expires_at, version,
                    last_seq, last_hash, {body}
             FROM pattern, generate_series(1, {count}) AS i;
             INSERT INTO idempotency_keys (agent_id, idem_key, grant_id)
             SELECT agent_id, idem_key, id FROM grants WHERE number > (SELECT number FROM before);
             INSERT INTO grant_origins
             SELECT g.number, created_at, repository, commit_id, actor FROM grants g, grant_origins
             WHERE g.number > (SELECT number FROM before) AND grant_number = (SELECT number FROM pattern);
             INSERT INTO grant_counts SELECT status, {count} FROM pattern;
             INSERT INTO events (grant_number, seq, at, kind, source, text, data, prev_hash, hash)
             SELECT g.number, seq, at, kind, source, text, data, prev_hash, hash FROM grants g, events
             WHERE g.number > (SELECT number FROM before) AND grant_number = (SELECT number FROM pattern);"
        );
        server.query(database, &made);
        server.query(database, "VACUUM (ANALYZE)");
    }
}
