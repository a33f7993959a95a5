//! Finds the agent or the operator of a bearer token.

use std::sync::Arc;

use domain::Agent;
use protocol::{AgentId, AuthToken, ErrorCode, Secret};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::clock::{NoRandomness, Random, random};
use crate::{Engine, Refusal};

/// SHA-256 in hexadecimal, the form in which tokens are stored.
pub fn hash_of(token: &str) -> String {
    format!("{:x}", Sha256::digest(token))
}

/// A new operator (or introspection) token: `cjop_` and 64 random hexadecimal digits.
pub fn new_operator_token(source: &dyn Random) -> Result<Secret, NoRandomness> {
    let bytes: [u8; 32] = random(source)?;
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(Secret::new(format!("cjop_{hex}")))
}

/// Hashes of the tokens of operators and resource servers.
#[derive(Debug, Clone, Default)]
pub struct OperatorTokens {
    pub operators: Vec<String>,
    /// May introspect, and nothing else.
    pub introspectors: Vec<String>,
}

/// A caller that is authenticated.
#[derive(Debug, Clone)]
pub enum Caller {
    Operator,
    /// By its auth token.
    Agent(Arc<Agent>),
}

impl Caller {
    /// Whether the caller may see and end grants of this agent.
    pub(crate) fn can_access(&self, owner: &AgentId) -> bool {
        match self {
            Self::Operator => true,
            Self::Agent(agent) => agent.id == *owner,
        }
    }
}

fn is_among(hashes: &[String], token: &str) -> bool {
    let hash = hash_of(token);
    // Compares with every hash, so that the duration does not reveal which one is similar.
    hashes.iter().fold(false, |found, one| found | bool::from(one.as_bytes().ct_eq(hash.as_bytes())))
}

fn not_accepted() -> Refusal {
    Refusal::new(
        ErrorCode::AuthTokenInvalid,
        "the auth token is not accepted: expected one that is known and not expired or revoked",
    )
    .hint("check CLOUDANIX_AUTH_TOKEN; an operator can run `cloudanix-jit agent rotate-token` for a new one")
}

fn missing() -> Refusal {
    Refusal::new(ErrorCode::AuthTokenMissing, "expected `Authorization: Bearer …`, found no such header")
        .hint("set CLOUDANIX_AUTH_TOKEN")
}

impl Engine {
    /// The agent of this auth token. Whether it may elevate is decided by the policy: a disabled agent can always revoke.
    pub async fn agent_of(&self, bearer: Option<&Secret>) -> Result<Arc<Agent>, Refusal> {
        let bearer = bearer.ok_or_else(missing)?;
        let token = AuthToken::parse(bearer.reveal()).map_err(|error| {
            Refusal::new(ErrorCode::AuthTokenInvalid, error.to_string())
                .hint("check CLOUDANIX_AUTH_TOKEN for a cut or doubled paste")
        })?;
        let (known, agent) = self.store.credential(token.id()).await?.ok_or_else(not_accepted)?;
        let expired = known.expires_at.is_some_and(|expires_at| expires_at <= self.clock.now());
        if expired || !is_among(std::slice::from_ref(&known.hash), bearer.reveal()) {
            return Err(not_accepted());
        }
        Ok(agent)
    }

    /// Requires an operator token.
    pub fn operator(&self, bearer: Option<&Secret>) -> Result<(), Refusal> {
        let bearer = bearer.ok_or_else(|| missing().hint("set CLOUDANIX_OPERATOR_TOKEN"))?;
        if is_among(&self.operators.load().operators, bearer.reveal()) {
            return Ok(());
        }
        Err(Refusal::new(ErrorCode::AuthTokenInvalid, "expected an operator token")
            .hint("set CLOUDANIX_OPERATOR_TOKEN; an agent's auth token does not do"))
    }

    /// Requires an operator token or an auth token.
    pub async fn caller(&self, bearer: Option<&Secret>) -> Result<Caller, Refusal> {
        if let Some(token) = bearer
            && is_among(&self.operators.load().operators, token.reveal())
        {
            return Ok(Caller::Operator);
        }
        Ok(Caller::Agent(self.agent_of(bearer).await?))
    }

    /// Requires an operator token or an introspection token.
    pub fn introspector(&self, bearer: Option<&Secret>) -> Result<(), Refusal> {
        let bearer = bearer.ok_or_else(missing)?;
        let token = bearer.reveal();
        if is_among(&self.operators.load().introspectors, token)
            || is_among(&self.operators.load().operators, token)
        {
            return Ok(());
        }
        Err(Refusal::new(ErrorCode::AuthTokenInvalid, "expected an introspection token or an operator token"))
    }
}
