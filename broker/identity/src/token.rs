//! Strict parsing of tokens, before verification.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use domain::Claims;
use openidconnect::core::CoreJwsSigningAlgorithm;
use protocol::Timestamp;
use serde_json::{Map, Value};

use crate::strict_json;

/// The longest accepted token, in bytes.
const MAX_BYTES: usize = 16 * 1024;

/// 9999-12-31T23:59:59Z, the last second that a timestamp can have.
const LAST_SECOND: u64 = 253_402_300_799;

/// Headers that would select the key, and extensions and encodings that are not supported.
const REFUSED_HEADERS: [&str; 9] = ["jku", "jwk", "x5u", "x5c", "crit", "b64", "cty", "enc", "zip"];

/// A parsed token in compact form. Nothing in it is verified.
#[derive(Debug)]
pub struct UnverifiedToken {
    pub(crate) algorithm: CoreJwsSigningAlgorithm,
    pub(crate) key_id: Option<String>,
    pub(crate) issuer: String,
    pub(crate) subject: String,
    pub(crate) audiences: Vec<String>,
    pub(crate) expires: Timestamp,
    pub(crate) issued: Timestamp,
    pub(crate) not_before: Option<Timestamp>,
    pub(crate) id: Option<String>,
    pub(crate) claims: Claims,
    /// Header and payload, as signed.
    pub(crate) signed_part: String,
}

/// Why a text is not a workload token.
#[derive(Debug, thiserror::Error)]
pub enum Malformed {
    /// Longer than the limit.
    #[error("the token has {0} bytes: expected at most {MAX_BYTES}")]
    TooLong(usize),
    /// Not `header.payload.signature`.
    #[error("the token has {0} parts: expected header, payload and signature with a dot between them")]
    Parts(usize),
    /// Padding, whitespace, the other alphabet, or bits left over.
    #[error("the token's {part} is not base64url without padding")]
    Encoding {
        /// Header, payload or signature.
        part: &'static str,
    },
    /// Not JSON, with a duplicate name, or nested too deep.
    #[error("the token's {part} is not one well-formed JSON object: {problem}")]
    Json {
        /// Header or payload.
        part: &'static str,
        /// The error of the parser, which contains no values.
        problem: String,
    },
    /// `none`, an HMAC, or an unknown algorithm.
    #[error(
        "the token is signed with {found}: expected RS, PS or ES with SHA-256 or SHA-384, RS512, PS512 or EdDSA"
    )]
    Algorithm {
        /// The header's `alg`.
        found: String,
    },
    /// A header parameter that would select the key, or is not supported.
    #[error("the token's header has `{0}`: expected none of jku, jwk, x5u, x5c, crit, b64, cty, enc, zip")]
    Header(&'static str),
    /// A header parameter has the wrong type.
    #[error("the token's header `{name}` is {found}: expected {expected}")]
    HeaderValue {
        /// The parameter.
        name: &'static str,
        /// The expected type.
        expected: &'static str,
        /// The value that was found.
        found: String,
    },
    /// A required claim is missing or has the wrong type.
    #[error("the token's claim `{name}` is {found}: expected {expected}")]
    Claim {
        /// The claim.
        name: &'static str,
        /// The expected type.
        expected: &'static str,
        /// The value that was found.
        found: String,
    },
    /// A nested claim and a plain one have the same dotted name.
    #[error("the token's claim `{0}` is there twice, nested and with a dot in its name")]
    Ambiguous(String),
    /// A standard claim has the wrong type.
    #[error("the token is not an ID token: a standard claim has another type than OpenID Connect gives it")]
    NotAnIdToken,
}

/// The types of tokens that prove an identity. RFC 7519 allows that `typ` is absent; `at+jwt` and others mark tokens for
/// another purpose.
const IDENTITY_TYPES: Types = Types { known: &["jwt", "application/jwt"], absent: true, expected: "`JWT`" };

/// Accepted values of the header `typ`.
pub(crate) struct Types {
    pub(crate) known: &'static [&'static str],
    /// Whether the header may be absent.
    pub(crate) absent: bool,
    pub(crate) expected: &'static str,
}

/// A signed object in compact form, parsed strictly. Nothing in it is verified.
pub(crate) struct Jws {
    pub(crate) algorithm: CoreJwsSigningAlgorithm,
    pub(crate) key_id: Option<String>,
    pub(crate) claims: Map<String, Value>,
    pub(crate) signature: Vec<u8>,
    /// Header and payload, as signed.
    pub(crate) signed_part: String,
}

impl Jws {
    pub(crate) fn parse(text: &str, types: &Types) -> Result<Self, Malformed> {
        if text.len() > MAX_BYTES {
            return Err(Malformed::TooLong(text.len()));
        }
        let mut parts = text.split('.');
        let (Some(header), Some(payload), Some(signature), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(Malformed::Parts(text.split('.').count()));
        };
        let signed_part = format!("{header}.{payload}");
        let header = object("header", header)?;
        let claims = object("payload", payload)?;
        let signature = decode("signature", signature)?;

        for name in REFUSED_HEADERS {
            if header.contains_key(name) {
                return Err(Malformed::Header(name));
            }
        }
        check_type(header.get("typ"), types)?;
        let algorithm = algorithm(header.get("alg"))?;
        let key_id = match header.get("kid") {
            None => None,
            Some(Value::String(kid)) => Some(kid.clone()),
            Some(other) => {
                return Err(Malformed::HeaderValue { name: "kid", expected: "text", found: shown(other) });
            }
        };
        Ok(Self { algorithm, key_id, claims, signature, signed_part })
    }
}

impl UnverifiedToken {
    /// Parses a token strictly. Does not verify it.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        let Jws { algorithm, key_id, claims, signature: _, signed_part } = Jws::parse(text, &IDENTITY_TYPES)?;
        Ok(Self {
            algorithm,
            key_id,
            issuer: text_claim(&claims, "iss")?,
            subject: text_claim(&claims, "sub")?,
            audiences: audiences(&claims)?,
            expires: required(&claims, "exp")?,
            issued: required(&claims, "iat")?,
            not_before: time_claim(&claims, "nbf")?,
            id: claims.contains_key("jti").then(|| text_claim(&claims, "jti")).transpose()?,
            claims: with_nested_names(claims)?,
            signed_part,
        })
    }

    /// The token's `iss`.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// The claims by name; nested claims also by path, like `kubernetes.io.pod.name`.
    pub fn claims(&self) -> &Claims {
        &self.claims
    }
}

fn decode(part: &'static str, text: &str) -> Result<Vec<u8>, Malformed> {
    match BASE64_URL_SAFE_NO_PAD.decode(text) {
        Ok(bytes) if !bytes.is_empty() => Ok(bytes),
        Ok(_) | Err(_) => Err(Malformed::Encoding { part }),
    }
}

fn object(part: &'static str, text: &str) -> Result<Map<String, Value>, Malformed> {
    strict_json::object(&decode(part, text)?)
        .map_err(|error| Malformed::Json { part, problem: error.to_string() })
}

fn check_type(found: Option<&Value>, types: &Types) -> Result<(), Malformed> {
    let known = |text: &str| types.known.iter().any(|known| text.eq_ignore_ascii_case(known));
    match found {
        None if types.absent => Ok(()),
        Some(value) if value.as_str().is_some_and(known) => Ok(()),
        found => {
            Err(Malformed::HeaderValue { name: "typ", expected: types.expected, found: shown_if_any(found) })
        }
    }
}

fn algorithm(found: Option<&Value>) -> Result<CoreJwsSigningAlgorithm, Malformed> {
    match found.and_then(Value::as_str) {
        Some("RS256") => Ok(CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha256),
        Some("RS384") => Ok(CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha384),
        Some("RS512") => Ok(CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha512),
        Some("PS256") => Ok(CoreJwsSigningAlgorithm::RsaSsaPssSha256),
        Some("PS384") => Ok(CoreJwsSigningAlgorithm::RsaSsaPssSha384),
        Some("PS512") => Ok(CoreJwsSigningAlgorithm::RsaSsaPssSha512),
        Some("ES256") => Ok(CoreJwsSigningAlgorithm::EcdsaP256Sha256),
        Some("ES384") => Ok(CoreJwsSigningAlgorithm::EcdsaP384Sha384),
        Some("EdDSA") => Ok(CoreJwsSigningAlgorithm::EdDsa),
        Some(other) => Err(Malformed::Algorithm { found: format!("`{}`", cut(other)) }),
        None => Err(Malformed::Algorithm { found: found.map_or_else(|| "nothing".to_owned(), shown) }),
    }
}

pub(crate) fn text_claim(claims: &Map<String, Value>, name: &'static str) -> Result<String, Malformed> {
    match claims.get(name) {
        Some(Value::String(text)) if !text.is_empty() => Ok(text.clone()),
        other => Err(Malformed::Claim { name, expected: "text", found: shown_if_any(other) }),
    }
}

pub(crate) fn audiences(claims: &Map<String, Value>) -> Result<Vec<String>, Malformed> {
    let found = claims.get("aud");
    let wrong =
        || Malformed::Claim { name: "aud", expected: "text or a list of texts", found: shown_if_any(found) };
    match found {
        Some(Value::String(one)) => Ok(vec![one.clone()]),
        Some(Value::Array(several)) if !several.is_empty() => {
            several.iter().map(|one| one.as_str().map(str::to_owned).ok_or_else(wrong)).collect()
        }
        _ => Err(wrong()),
    }
}

pub(crate) fn required(claims: &Map<String, Value>, name: &'static str) -> Result<Timestamp, Malformed> {
    time_claim(claims, name)?.ok_or_else(|| Malformed::Claim {
        name,
        expected: "seconds since 1970",
        found: "missing".to_owned(),
    })
}

/// Parses a time. RFC 7519 allows fractions of a second, which no platform uses; they are refused to avoid rounding.
fn time_claim(claims: &Map<String, Value>, name: &'static str) -> Result<Option<Timestamp>, Malformed> {
    let Some(found) = claims.get(name) else { return Ok(None) };
    let secs = found.as_u64().filter(|secs| *secs <= LAST_SECOND).and_then(|secs| i64::try_from(secs).ok());
    match secs {
        Some(secs) => Ok(Some(Timestamp::from_secs(secs))),
        None => Err(Malformed::Claim { name, expected: "whole seconds since 1970", found: shown(found) }),
    }
}

/// Adds the members of nested claims under their dotted path, so that a trust rule can name them.
fn with_nested_names(claims: Map<String, Value>) -> Result<Claims, Malformed> {
    let mut named = Claims::new();
    for (name, value) in &claims {
        name_members(name, value, &mut named)?;
    }
    for (name, value) in claims {
        if named.insert(name.clone(), value).is_some() {
            return Err(Malformed::Ambiguous(cut(&name)));
        }
    }
    Ok(named)
}

fn name_members(prefix: &str, value: &Value, named: &mut Claims) -> Result<(), Malformed> {
    let Value::Object(members) = value else { return Ok(()) };
    for (member, value) in members {
        let name = format!("{prefix}.{member}");
        name_members(&name, value, named)?;
        if named.insert(name.clone(), value.clone()).is_some() {
            return Err(Malformed::Ambiguous(cut(&name)));
        }
    }
    Ok(())
}

fn shown_if_any(value: Option<&Value>) -> String {
    value.map_or_else(|| "missing".to_owned(), shown)
}

fn shown(value: &Value) -> String {
    format!("`{}`", cut(&value.to_string()))
}

/// Shortens untrusted text for a line of the log.
pub(crate) fn cut(text: &str) -> String {
    let mut cut: String = text.chars().take(200).collect();
    if cut.len() < text.len() {
        cut.push('…');
    }
    cut
}
