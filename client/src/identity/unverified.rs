//! The claims of a token, decoded and not verified: for an early refusal with advice and for people, never for a
//! decision. The broker verifies.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use protocol::{Secret, Timestamp};
use serde_json::{Map, Value};

/// The longest token that is read.
const LONGEST: usize = 32 * 1024;

/// How far this machine's clock may be behind or ahead; the broker's is the one that counts.
const LEEWAY: Duration = Duration::from_secs(60);

/// The claims of a token, unverified.
#[derive(Debug, Clone)]
pub struct UnverifiedClaims(Map<String, Value>);

/// Why a token cannot be used. Quotes nothing of its signature.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// The token is longer than any issuer's.
    #[error("expected at most {LONGEST} bytes, found {found}")]
    TooLong {
        /// Its length.
        found: usize,
    },
    /// The token has not three parts.
    #[error("expected a JWT of 3 parts separated by dots, found {found}")]
    NotAJwt {
        /// How many it has.
        found: usize,
    },
    /// The middle part cannot be read.
    #[error("expected a JSON object in base64url in its second part, found something else")]
    Unreadable,
    /// A claim of every ID token is missing.
    #[error("expected the claim `{claim}`, found none")]
    Missing {
        /// The claim.
        claim: &'static str,
    },
    /// The token is for another audience.
    #[error("expected the audience `{expected}`, found {}", list(found))]
    WrongAudience {
        /// The broker's.
        expected: String,
        /// The token's.
        found: Vec<String>,
    },
    /// The token has expired.
    #[error(
        "expected `exp` in the future, found {expired_at}, which is past by this machine's clock ({now})"
    )]
    Expired {
        /// When it expired.
        expired_at: Timestamp,
        /// The time of this machine.
        now: Timestamp,
    },
}

fn list(audiences: &[String]) -> String {
    let quoted: Vec<String> =
        audiences.iter().map(|audience| format!("`{}`", protocol::printable::printable(audience))).collect();
    if quoted.is_empty() { "none".to_owned() } else { quoted.join(", ") }
}

impl UnverifiedClaims {
    /// Takes the claims out of a token in compact form.
    pub fn read(token: &Secret) -> Result<Self, Unfit> {
        let token = token.reveal();
        if token.len() > LONGEST {
            return Err(Unfit::TooLong { found: token.len() });
        }
        let parts: Vec<&str> = token.split('.').collect();
        let [header, payload, signature] = parts.as_slice() else {
            return Err(Unfit::NotAJwt { found: parts.len() });
        };
        let filled = [header, payload, signature].iter().filter(|part| !part.is_empty()).count();
        if filled != 3 {
            return Err(Unfit::NotAJwt { found: filled });
        }
        let object = |part: &str| {
            let bytes = URL_SAFE_NO_PAD.decode(part).ok()?;
            serde_json::from_slice::<Map<String, Value>>(&bytes).ok()
        };
        object(payload).map(Self).ok_or(Unfit::Unreadable)
    }

    /// Whether a broker that expects this audience could accept the token.
    pub fn check(&self, audience: &str, now: Timestamp) -> Result<(), Unfit> {
        if self.issuer().is_none() {
            return Err(Unfit::Missing { claim: "iss" });
        }
        let found = self.audiences();
        if !found.contains(&audience) {
            let found = found.into_iter().map(str::to_owned).collect();
            return Err(Unfit::WrongAudience { expected: audience.to_owned(), found });
        }
        let expired_at = self.expires_at().ok_or(Unfit::Missing { claim: "exp" })?;
        if expired_at.plus(LEEWAY) <= now {
            return Err(Unfit::Expired { expired_at, now });
        }
        Ok(())
    }

    /// `iss`.
    pub fn issuer(&self) -> Option<&str> {
        self.0.get("iss").and_then(Value::as_str).filter(|issuer| !issuer.is_empty())
    }

    /// `aud`, which may be one text or a list.
    pub fn audiences(&self) -> Vec<&str> {
        match self.0.get("aud") {
            Some(Value::Array(list)) => list.iter().filter_map(Value::as_str).collect(),
            one => one.and_then(Value::as_str).into_iter().collect(),
        }
    }

    /// `exp`; a fraction of a second is cut.
    pub fn expires_at(&self) -> Option<Timestamp> {
        let exp = self.0.get("exp")?;
        exp.as_i64().or_else(|| exp.as_f64().map(|secs| secs as i64)).map(Timestamp::from_secs)
    }

    /// Every claim.
    pub fn all(&self) -> &Map<String, Value> {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn token(claims: &Value) -> Secret {
        Secret::new(format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims.to_string())))
    }

    fn checked(claims: &Value) -> Result<(), Unfit> {
        UnverifiedClaims::read(&token(claims))?.check("cloudanix-jit", Timestamp::from_secs(1000))
    }

    #[test]
    fn tokens_that_a_broker_could_accept_pass() {
        for claims in [
            json!({"iss": "https://i", "aud": "cloudanix-jit", "exp": 2000}),
            json!({"iss": "https://i", "aud": ["other", "cloudanix-jit"], "exp": 2000.5}),
            // The clock here may be a little ahead of the issuer's.
            json!({"iss": "https://i", "aud": "cloudanix-jit", "exp": 941}),
        ] {
            assert_eq!(checked(&claims), Ok(()), "{claims}");
        }
    }

    #[test]
    fn tokens_that_a_broker_would_refuse_are_refused_with_the_reason() {
        for (claims, words) in [
            (json!({"aud": "cloudanix-jit", "exp": 2000}), "expected the claim `iss`, found none"),
            (json!({"iss": 7, "aud": "cloudanix-jit", "exp": 2000}), "expected the claim `iss`, found none"),
            (json!({"iss": "https://i", "aud": "cloudanix-jit"}), "expected the claim `exp`, found none"),
            (json!({"iss": "https://i", "exp": 2000}), "expected the audience `cloudanix-jit`, found none"),
            (
                json!({"iss": "https://i", "aud": "cloudanix-jit2", "exp": 2000}),
                "expected the audience `cloudanix-jit`, found `cloudanix-jit2`",
            ),
            (
                json!({"iss": "https://i", "aud": ["a", "b\u{1b}[2J"], "exp": 2000}),
                "expected the audience `cloudanix-jit`, found `a`, `b\\u{1b}[2J`",
            ),
            (
                json!({"iss": "https://i", "aud": "cloudanix-jit", "exp": 940}),
                "expected `exp` in the future, found 1970-01-01T00:15:40.000Z, which is past by this machine's \
                 clock (1970-01-01T00:16:40.000Z)",
            ),
        ] {
            assert_eq!(checked(&claims).unwrap_err().to_string(), words);
        }
    }

    #[test]
    fn text_that_is_no_token_is_refused_and_not_quoted() {
        for (text, problem) in [
            ("hunter2", Unfit::NotAJwt { found: 1 }),
            ("hunter2.hunter2", Unfit::NotAJwt { found: 2 }),
            ("a.b.c.d.e", Unfit::NotAJwt { found: 5 }),
            ("e30..hunter2", Unfit::NotAJwt { found: 2 }),
            ("e30.hunter2.hunter2", Unfit::Unreadable),
            ("e30.W10.hunter2", Unfit::Unreadable),
            (&"x".repeat(LONGEST + 1), Unfit::TooLong { found: LONGEST + 1 }),
        ] {
            let found = UnverifiedClaims::read(&Secret::new(text)).unwrap_err();
            assert_eq!(found, problem);
            assert!(!found.to_string().contains("hunter2"));
        }
    }
}
