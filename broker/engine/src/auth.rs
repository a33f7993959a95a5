//! Finds the agent, operator, person or sealed code of a bearer token.

use std::fmt;
use std::sync::Arc;

use domain::{Agent, SealedCode, Session};
use protocol::break_glass::BreakGlassCode;
use protocol::people::Right;
use protocol::{Actor, AgentId, AuthToken, ErrorCode, OperatorName, Secret};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::clock::{NoRandomness, Random, random_hex};
use crate::people::{On, TOKEN_PREFIX};
use crate::{Engine, Refusal};

/// SHA-256 in hexadecimal, the form in which tokens are stored.
pub fn hash_of(token: &str) -> String {
    format!("{:x}", Sha256::digest(token))
}

/// SHA-256 of several texts in hexadecimal. Other texts with the same letters have another one.
pub(crate) fn hash_of_parts<'a>(parts: impl IntoIterator<Item = &'a str>) -> String {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update(part.len().to_be_bytes());
        hasher.update(part);
    }
    format!("{:x}", hasher.finalize())
}

/// A new operator (or introspection) token: `cjop_` and 64 random hexadecimal digits.
pub fn new_operator_token(source: &dyn Random) -> Result<Secret, NoRandomness> {
    Ok(Secret::new(format!("cjop_{}", random_hex::<32>(source)?)))
}

/// The tokens of operators and resource servers.
#[derive(Debug, Clone, Default)]
pub struct OperatorTokens {
    pub operators: Vec<NamedToken>,
    /// May introspect tokens, and nothing else.
    pub introspectors: Vec<NamedToken>,
}

/// A configured token: its name, and its hash as [`hash_of`] makes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedToken {
    /// Names the token's holder on timelines and in the log.
    pub name: OperatorName,
    /// SHA-256 in hexadecimal.
    pub hash: String,
}

/// A caller that is authenticated.
#[derive(Debug, Clone)]
pub enum Caller {
    /// The operator with this name.
    Operator(OperatorName),
    /// By the token of a session.
    Person(Box<Session>),
    /// By its auth token.
    Agent(Arc<Agent>),
    /// By a sealed break-glass code: it takes one grant, and holds it.
    Code(Box<SealedCode>),
}

impl Caller {
    /// For the log.
    pub(crate) fn shown(&self) -> String {
        match self {
            Self::Operator(name) => name.to_string(),
            Self::Person(session) => Actor::Person(session.person.clone()).to_string(),
            Self::Agent(agent) => format!("agent {}", agent.id),
            Self::Code(code) => code.actor().to_string(),
        }
    }
}

/// Who applies a registration or changes rules.
#[derive(Debug, Clone)]
pub enum Author {
    /// An operator or a person.
    Actor(Actor),
    /// The folder of registrations that the configuration names.
    Configuration,
}

impl fmt::Display for Author {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Actor(actor) => actor.fmt(f),
            // With a space, which no operator's name has.
            Self::Configuration => f.write_str("the configuration"),
        }
    }
}

fn has_hash(stored: &str, token: &str) -> bool {
    bool::from(stored.as_bytes().ct_eq(hash_of(token).as_bytes()))
}

fn name_of(tokens: &[NamedToken], token: &str) -> Option<OperatorName> {
    let hash = hash_of(token);
    // Compares with every hash, so that the duration does not reveal which one is similar.
    let matching = tokens.iter().fold(None, |found, one| {
        if bool::from(one.hash.as_bytes().ct_eq(hash.as_bytes())) { Some(one) } else { found }
    });
    matching.map(|one| one.name.clone())
}

pub(crate) fn not_accepted() -> Refusal {
    Refusal::new(
        ErrorCode::AuthTokenInvalid,
        "the auth token is not accepted: expected one that is known and not expired or revoked",
    )
    .hint("check CLOUDANIX_AUTH_TOKEN; an operator can run `cloudanix-jit agent rotate-token` for a new one")
}

pub(crate) fn not_for_agents() -> Refusal {
    Refusal::new(ErrorCode::AuthTokenInvalid, "expected an operator token, or the session of a person")
        .hint("run `cloudanix-jit login`, or set CLOUDANIX_OPERATOR_TOKEN; an agent's auth token does not do")
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
        if expired || !has_hash(&known.hash, bearer.reveal()) {
            return Err(not_accepted());
        }
        Ok(agent)
    }

    /// The operator whose token this is, or the person of the session, if the rules of persons permit it; refuses every
    /// other caller.
    pub async fn actor(&self, bearer: Option<&Secret>, right: Right, on: On<'_>) -> Result<Actor, Refusal> {
        let bearer = bearer
            .ok_or_else(|| missing().hint("run `cloudanix-jit login`, or set CLOUDANIX_OPERATOR_TOKEN"))?;
        if bearer.reveal().starts_with(TOKEN_PREFIX) {
            let session = self.session_of(Some(bearer)).await?;
            self.permit(&session, right, on).await?;
            return Ok(Actor::Person(session.person));
        }
        let name = name_of(&self.operators.load().operators, bearer.reveal());
        name.map(|name| Actor::Operator { name }).ok_or_else(not_for_agents)
    }

    /// Whether the caller has this right on grants of an agent. Who may not even see them does not learn that they exist.
    pub(crate) async fn admit(&self, caller: &Caller, right: Right, owner: &AgentId) -> Result<(), Refusal> {
        match caller {
            Caller::Operator(_) => Ok(()),
            Caller::Agent(agent) if agent.id == *owner => Ok(()),
            Caller::Agent(_) | Caller::Code(_) => Err(Refusal::no_such_grant()),
            Caller::Person(session) => {
                let Err(refusal) = self.permit(session, right, On::Agent(owner)).await else { return Ok(()) };
                match right {
                    Right::View => Err(Refusal::no_such_grant()),
                    Right::Operate | Right::Register | Right::Approve | Right::Audit | Right::BreakGlass => {
                        self.permit(session, Right::View, On::Agent(owner))
                            .await
                            .map_err(|_| Refusal::no_such_grant())?;
                        Err(refusal)
                    }
                }
            }
        }
    }

    /// An operator, a person, an agent, or the holder of a sealed code.
    pub async fn caller(&self, bearer: Option<&Secret>) -> Result<Caller, Refusal> {
        let operators = self.operators.load_full();
        if let Some(name) = bearer.and_then(|token| name_of(&operators.operators, token.reveal())) {
            return Ok(Caller::Operator(name));
        }
        if bearer.is_some_and(|token| token.reveal().starts_with(TOKEN_PREFIX)) {
            return Ok(Caller::Person(Box::new(self.session_of(bearer).await?)));
        }
        if let Some(code) = bearer.filter(|token| token.reveal().starts_with(BreakGlassCode::PREFIX)) {
            return Ok(Caller::Code(Box::new(self.sealed_code_of(code).await?)));
        }
        Ok(Caller::Agent(self.agent_of(bearer).await?))
    }

    /// The resource server or operator whose token this is; refuses every other caller.
    pub fn introspector(&self, bearer: Option<&Secret>) -> Result<OperatorName, Refusal> {
        let bearer = bearer.ok_or_else(missing)?;
        let (tokens, token) = (self.operators.load(), bearer.reveal());
        name_of(&tokens.introspectors, token).or_else(|| name_of(&tokens.operators, token)).ok_or_else(|| {
            Refusal::new(ErrorCode::AuthTokenInvalid, "expected an introspection token or an operator token")
        })
    }
}
