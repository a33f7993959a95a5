//! How many refused requests are kept, and for how long?
//!
//! A holder of both credentials of an agent can be refused as often as it likes. So a request is one row, however
//! often it comes; an agent has a bounded number of such rows; and a row is deleted when the request stays away.

use std::time::Duration;

use domain::ReplayGuard;
use domain::grant::Moved;
use protocol::IdempotencyKey;

/// How many different refused requests are kept for one agent.
pub const DENIALS_KEPT: u32 = 1000;

/// How long a refused request is kept after it came the last time.
pub const DENIALS_KEPT_FOR: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// A refused request.
#[derive(Debug, Clone, Copy)]
pub struct Denying<'a> {
    /// The refused grant. Its request hash says which request it is.
    pub moved: &'a Moved,
    /// The key that it came with. A refusal does not keep it, but the use of its token is bound to it.
    pub key: &'a IdempotencyKey,
    /// The token that it came with, which is used up.
    pub replay: Option<&'a ReplayGuard>,
}

/// What became of a refused request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recorded {
    /// It is stored.
    New,
    /// It was there already, and was counted.
    Again,
    /// The agent has [`DENIALS_KEPT`] others: nothing was written but the use of its token.
    Full,
    /// Its token had been used for something else: nothing was written.
    Replayed,
}
