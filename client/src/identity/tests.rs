use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use protocol::{Secret, Timestamp};

use super::*;

mod detection;
mod endpoints;
mod environments;
#[cfg(unix)]
mod fetching;

/// A token for this audience with a meaningless signature, valid until 2100.
pub(crate) fn fake_token(audience: &str) -> Secret {
    let claims = serde_json::json!({
        "iss": "https://issuer.example", "sub": "repo:o/r", "aud": audience, "exp": 4_102_444_800_i64,
    });
    Secret::new(format!("e30.{}.c2lnbmF0dXJl", URL_SAFE_NO_PAD.encode(claims.to_string())))
}

fn now() -> Timestamp {
    Timestamp::from_secs(1_780_000_000)
}

/// An HTTP client as the library builds it: no redirects, nothing from the process environment.
fn http() -> reqwest::Client {
    crate::Network::from_env(&Env::from_pairs([("", ""); 0])).client(crate::Connections::Kept).unwrap()
}

/// The identity with these variables and no files.
fn found(pairs: &[(&str, &str)]) -> Result<Option<Identity>, IdentityError> {
    detect(&Env::from_pairs(pairs.iter().copied()), &Files::below(Path::new("/nonexistent")))
}

fn failure(pairs: &[(&str, &str)]) -> IdentityError {
    found(pairs).err().unwrap_or_else(|| panic!("{pairs:?} is accepted"))
}
