//! How many files may this process open, and how many of them are for connections of clients?

use std::io;

use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Enough for every limit that makes sense, and small enough for children that still use `select`-sized tables.
const CEILING: u64 = 65_536;
/// Kept for the database, outgoing calls (targets, OIDC issuers, traces) and what the process itself needs.
const LEAST_RESERVE: u64 = 64;
/// Below this a broker serves no client; the limit of files is then the fault, and the log says so.
const LEAST_CONNECTIONS: u64 = 16;

/// The number of files that this process may open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Files(u64);

impl Files {
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

    /// As if this were the limit.
    #[cfg(test)]
    pub(crate) fn of(limit: u64) -> Self {
        Self(limit)
    }

    /// The limit.
    pub(crate) fn limit(self) -> u64 {
        self.0
    }

    /// How many connections of clients leave a reserve: a quarter, at least 64, and all of the database's.
    pub(crate) fn for_clients(self, of_database: u32) -> u64 {
        let reserve = (self.0 / 4).max(LEAST_RESERVE) + u64::from(of_database);
        self.0.saturating_sub(reserve).max(LEAST_CONNECTIONS)
    }
}

/// The name of an error that says that this process, or the machine, is out of files or of memory for sockets.
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
        for (files, of_database, expected) in
            [(1024, 0, 768), (1024, 16, 752), (256, 0, 192), (65_536, 16, 49_136), (64, 0, 16), (0, 0, 16)]
        {
            assert_eq!(Files(files).for_clients(of_database), expected, "{files} files");
        }
    }
}
