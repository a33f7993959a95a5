//! New idempotency keys.

use protocol::IdempotencyKey;

use crate::error::Error;

/// A new idempotency key: 128 bits from the operating system's random numbers.
pub fn new_key() -> Result<IdempotencyKey, Error> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)
        .map_err(|error| Error::unexpected(format!("the system has no random numbers: {error}")))?;
    Ok(IdempotencyKey::from_random(bytes))
}
