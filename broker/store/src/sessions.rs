//! Sessions of persons.

use domain::Session;
use protocol::Timestamp;

use crate::StoreError;
use crate::columns::Columns;
use crate::error::corrupt;

/// A session that has no token yet: its client exchanges a code for one (RFC 6749, RFC 7636).
#[derive(Debug, Clone, Copy)]
pub struct PendingSession<'a> {
    /// SHA-256 of the code, in hexadecimal.
    pub code_hash: &'a str,
    /// What the client that exchanges the code has to prove.
    pub challenge: &'a str,
    pub session: &'a Session,
    /// The code is accepted until then.
    pub code_expires_at: Timestamp,
}

/// A session with the time of its last use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredSession {
    pub session: Session,
    pub last_used_at: Timestamp,
}

pub(crate) fn body(session: &Session) -> Result<String, StoreError> {
    serde_json::to_string(session).map_err(|error| corrupt("a session to be stored", error))
}

/// From a row with `body` and `last_used_at`.
pub(crate) fn stored(row: &impl Columns) -> Result<StoredSession, StoreError> {
    let session = serde_json::from_str(row.text("body")?).map_err(|error| corrupt("a session", error))?;
    Ok(StoredSession { session, last_used_at: Timestamp::from_millis(row.number("last_used_at")?) })
}
