//! The limit of open files (`RLIMIT_NOFILE`), and the share of it for client connections.

use std::io;

use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Enough for every sensible cap, and small enough for child processes that allocate a table by the limit.
const CEILING: u64 = 65_536;
/// Reserved for the database, outgoing calls (targets, OIDC issuers, traces) and the process itself.
const LEAST_RESERVE: u64 = 64;
/// The lowest cap, however low the limit of files is. The log warns about such a limit.
const LEAST_CONNECTIONS: u64 = 16;

/// The number of files that the process may open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileLimit(u64);

impl FileLimit {
    /// Raises the soft limit (`RLIMIT_NOFILE`) to the hard one, up to 65,536. A soft limit above that stays.
    pub fn raise() -> Self {
        let limit = getrlimit(Resource::Nofile);
        let Some(now) = limit.current else { return Self(CEILING) };
        let wanted = limit.maximum.unwrap_or(CEILING).min(CEILING);
        if wanted <= now {
            return Self(now);
        }
        match setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum: limit.maximum }) {
            Ok(()) => Self(wanted),
            Err(error) => {
                tracing::warn!(%error, now, wanted, "RLIMIT_NOFILE stays as it is");
                Self(now)
            }
        }
    }

    #[cfg(test)]
    pub(crate) fn of(limit: u64) -> Self {
        Self(limit)
    }

    pub(crate) fn limit(self) -> u64 {
        self.0
    }

    /// The number of client connections that keeps a reserve: a quarter of the files, at least 64, and one for each
    /// database connection.
    pub(crate) fn for_clients(self, database_connections: u32) -> u64 {
        let reserve = (self.0 / 4).max(LEAST_RESERVE) + u64::from(database_connections);
        self.0.saturating_sub(reserve).max(LEAST_CONNECTIONS)
    }
}

/// The name of an error that means that the process or the machine is out of files or socket memory.
pub(super) fn exhausted(error: &io::Error) -> Option<&'static str> {
    match Errno::from_io_error(error)? {
        Errno::MFILE => Some("EMFILE"),
        Errno::NFILE => Some("ENFILE"),
        Errno::NOBUFS => Some("ENOBUFS"),
        Errno::NOMEM => Some("ENOMEM"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reserve_is_kept_for_the_database_and_outgoing_calls() {
        for (files, database_connections, expected) in
            [(1024, 0, 768), (1024, 16, 752), (256, 0, 192), (65_536, 16, 49_136), (64, 0, 16), (0, 0, 16)]
        {
            assert_eq!(FileLimit(files).for_clients(database_connections), expected, "{files} files");
        }
    }
}
