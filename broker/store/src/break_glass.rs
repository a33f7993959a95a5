//! Sealed break-glass codes.

use std::time::Duration;

use async_trait::async_trait;
use domain::SealedCode;
use protocol::{BreakGlassCodeId, Timestamp};

use crate::StoreError;
use crate::columns::Columns;
use crate::error::corrupt;

/// How long a code is kept after its end: it holds its grant until the grant ends.
pub const SEALED_CODES_KEPT_FOR: Duration = Duration::from_secs(24 * 60 * 60);

/// A sealed code in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedCode {
    pub code: SealedCode,
    /// Whether a grant consumed it ([`domain::ReplayGuard`]).
    pub used: bool,
}

/// The codes that are good for one grant each. A grant consumes its code as it consumes an OIDC token.
#[async_trait]
pub trait SealedCodes: Send + Sync {
    /// Stores new codes, all or none. The ids and hashes are new.
    async fn add_sealed_codes(&self, new: &[SealedCode]) -> Result<(), StoreError>;
    /// The code with this hash, also for a day after its end.
    async fn sealed_code(&self, hash: &str) -> Result<Option<SealedCode>, StoreError>;
    /// Codes that have not expired, the first to expire first.
    async fn sealed_codes(&self, now: Timestamp) -> Result<Vec<ListedCode>, StoreError>;
    /// Deletes a code. None if there is none.
    async fn remove_sealed_code(&self, id: &BreakGlassCodeId) -> Result<Option<SealedCode>, StoreError>;
}

pub(crate) fn body(code: &SealedCode) -> Result<String, StoreError> {
    serde_json::to_string(code).map_err(|error| corrupt("a break-glass code to be stored", error))
}

/// From a row with `body`.
pub(crate) fn stored(row: &impl Columns) -> Result<SealedCode, StoreError> {
    serde_json::from_str(row.text("body")?).map_err(|error| corrupt("a break-glass code", error))
}

pub(crate) fn forget_after(code: &SealedCode) -> Timestamp {
    code.expires_at.plus(SEALED_CODES_KEPT_FOR)
}
