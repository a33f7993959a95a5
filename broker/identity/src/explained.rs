//! Says what trust rules that are being written accept: a token, or an earlier run. No principal is made here.

use domain::{Claims, TrustRule};
use protocol::{Secret, Timestamp};
use serde_json::Value;

use crate::platforms;
use crate::refused::Refused;
use crate::token::UnverifiedToken;
use crate::verifier::{Verifier, candidates};

/// What trust rules say to a token, or to an earlier run.
#[derive(Debug)]
pub struct Explained {
    /// The claims as the token has them, also where its signature was not verified.
    pub claims: Claims,
    /// Why the token itself is refused, apart from its claims. The signature is verified if a rule names the issuer; there is
    /// none for an earlier run.
    pub token: Option<Refused>,
    /// Why each rule refuses the token, in the order of the rules.
    pub rules: Vec<Option<Refused>>,
}

impl Verifier {
    /// Says of each rule whether it accepts the token, also of a token that has expired.
    pub async fn explain(
        &self,
        token: &Secret,
        rules: &[TrustRule],
        now: Timestamp,
    ) -> Result<Explained, Refused> {
        let unverified = UnverifiedToken::parse(token.reveal())?;
        let UnverifiedToken { issuer, audiences, claims, .. } = &unverified;
        let refusals = rules.iter().map(|rule| of_rule(rule, issuer, audiences, claims).err()).collect();
        let refused = match self.check_times(&unverified, now) {
            Err(refused) => Some(refused),
            Ok(()) => match candidates(issuer, audiences, rules) {
                Ok((_, audience)) => self.check_signature(token, &unverified, audience, now).await.err(),
                Err(_) => None,
            },
        };
        Ok(Explained { claims: unverified.claims, token: refused, rules: refusals })
    }
}

/// Says of each rule why it refuses a run whose claims were recorded.
pub fn explain_run(claims: Claims, rules: &[TrustRule]) -> Explained {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let issuer = claims.get("iss").and_then(text).unwrap_or_default();
    let audiences: Vec<String> = match claims.get("aud") {
        Some(Value::Array(several)) => several.iter().filter_map(text).collect(),
        one => one.and_then(text).into_iter().collect(),
    };
    let rules = rules.iter().map(|rule| of_rule(rule, &issuer, &audiences, &claims).err()).collect();
    Explained { claims, token: None, rules }
}

fn of_rule(rule: &TrustRule, issuer: &str, audiences: &[String], claims: &Claims) -> Result<(), Refused> {
    candidates(issuer, audiences, std::slice::from_ref(rule))?;
    platforms::accepts(rule, claims).map(|_| ())
}
