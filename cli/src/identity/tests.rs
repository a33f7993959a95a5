use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use protocol::{Secret, Timestamp};

/// A token for this audience that is good until 2100, signed by nobody.
pub(crate) fn fake_token(audience: &str) -> Secret {
    let claims = serde_json::json!({
        "iss": "https://issuer.example", "sub": "repo:o/r", "aud": audience, "exp": 4_102_444_800_i64,
    });
    Secret::new(format!("e30.{}.c2lnbmF0dXJl", URL_SAFE_NO_PAD.encode(claims.to_string())))
}

pub(crate) fn now() -> Timestamp {
    Timestamp::from_secs(1_780_000_000)
}
