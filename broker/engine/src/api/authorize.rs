//! Verifies the caller of an elevation and checks the boundary, before the first write.

use std::sync::Arc;

use domain::facts::{ObservedFacts, RequestFacts};
use domain::{Agent, Boundary, Claims, DecisionKind, Principal, Scope};
use policy::{AccessRequest, Holder, WithinBoundary};
use protocol::{Decision, ElevateRequest, ErrorCode, Facts, PolicyName, Provenance, Secret, Trust};
use tracing::Instrument;

use crate::request_limits::Kind;
use crate::rules::decide::Asked;
use crate::rules::facts::{identity_of, request_of};
use crate::{Engine, Refusal, spans};

/// Why an identity is refused, while its auth token is accepted. An issuer that cannot be asked is not among them.
const IDENTITY_REFUSED: [ErrorCode; 7] = [
    ErrorCode::OidcTokenMissing,
    ErrorCode::OidcTokenInvalid,
    ErrorCode::IssuerNotTrusted,
    ErrorCode::ClaimsNotTrusted,
    ErrorCode::ForkRefused,
    ErrorCode::SshRerunRefused,
    ErrorCode::EventRefused,
];

/// A request whose agent and identity are verified, and which was compared with the boundary.
pub(super) struct Authorized {
    pub(super) agent: Arc<Agent>,
    pub(super) principal: Principal,
    pub(super) checked: Result<WithinBoundary, policy::Denied>,
    pub(super) request: RequestFacts,
    pub(super) observed: ObservedFacts,
    pub(super) break_glass: bool,
}

impl Authorized {
    /// For a decision by the rules.
    pub(super) fn asked(&self) -> Asked<'_> {
        Asked {
            agent: &self.agent,
            checked: self.checked.clone(),
            request: self.request.clone(),
            identity: identity_of(&self.principal),
            observed: self.observed.clone(),
            run: self.principal.run.as_deref(),
            before: None,
            grant: None,
            approval: None,
            break_glass: self.break_glass,
        }
    }
}

impl Engine {
    /// The decision of [`Engine::elevate`], which is recorded; provisions nothing, and does not use up the OIDC token.
    pub async fn dry_run(
        &self,
        bearer: Option<&Secret>,
        request: &ElevateRequest,
        observed: ObservedFacts,
    ) -> Result<Decision, Refusal> {
        let authorized = self.authorize(bearer, request, observed).await?;
        let decided = self.decide(DecisionKind::DryRun, authorized.asked()).await?;
        self.store.record_decision(None, &decided.decision).await?;
        let permit = decided.permit?;
        let mut checks = vec![match authorized.principal.provenance.trust {
            Trust::Oidc => "both credentials lead to the same agent".to_owned(),
            Trust::AuthTokenOnly => "trusted by its auth token alone (dangerous)".to_owned(),
            Trust::BreakGlass => "taken in an emergency".to_owned(),
        }];
        checks.extend(permit.checks());
        Ok(Decision {
            agent_id: authorized.agent.id.clone(),
            policies: permit.policies().to_vec(),
            target: permit.scope_name().to_string(),
            ttl: permit.ttl(),
            max_session: permit.max_session(),
            checks,
        })
    }

    pub(super) async fn authorize(
        &self,
        bearer: Option<&Secret>,
        request: &ElevateRequest,
        observed: ObservedFacts,
    ) -> Result<Authorized, Refusal> {
        let agent = self.agent_of(bearer).await?;
        if agent.id != request.agent_id {
            return Err(Refusal::new(
                ErrorCode::AgentMismatch,
                format!("the auth token is not agent `{}`'s", request.agent_id),
            )
            .hint("CLOUDANIX_AUTH_TOKEN and CLOUDANIX_AGENT_ID have to be of one registration"));
        }
        well_formed(request)?;
        let principal =
            self.identify(&agent, request.oidc_token.as_ref()).instrument(spans::identity()).await?;
        let asked = AccessRequest {
            policies: &request.policies,
            ttl: request.ttl,
            target: request.target.as_deref(),
            holder: if request.heartbeat { Holder::Heartbeat } else { Holder::DeadlineOnly },
        };
        let checked = policy::check(&agent, asked);
        let kind = if checked.is_ok() { Kind::Elevation } else { Kind::Denied };
        self.request_limits.acquire(kind, &agent.id, self.clock.now())?;
        let scope = asked_scope(&agent.registration.boundary, request.target.as_deref());
        let policies = checked.as_ref().map_or(request.policies.as_slice(), WithinBoundary::policies);
        let facts = request_of(scope, policies, request.ttl, request.heartbeat);
        Ok(Authorized { agent, principal, checked, request: facts, observed, break_glass: false })
    }

    /// A request whose identity was refused, as one that is denied; for observations. Its auth token alone says whose it
    /// is. Other refusals stay what they are.
    pub(super) async fn as_denied(
        &self,
        bearer: Option<&Secret>,
        request: &ElevateRequest,
        observed: ObservedFacts,
        refusal: Refusal,
    ) -> Result<Authorized, Refusal> {
        if !IDENTITY_REFUSED.contains(&refusal.code) {
            return Err(refusal);
        }
        let agent = self.agent_of(bearer).await?;
        let principal = Principal {
            agent_id: agent.id.clone(),
            provenance: Provenance { trust: Trust::AuthTokenOnly, ..Provenance::default() },
            claims: Claims::new(),
            run: None,
            replay: None,
        };
        let scope = asked_scope(&agent.registration.boundary, request.target.as_deref());
        let facts = request_of(scope, &request.policies, request.ttl, request.heartbeat);
        let hint = refusal.hint.unwrap_or_default();
        let denied = policy::Denied { code: refusal.code, detail: refusal.detail, hint };
        Ok(Authorized {
            agent,
            principal,
            checked: Err(denied),
            request: facts,
            observed,
            break_glass: false,
        })
    }

    async fn identify(&self, agent: &Agent, token: Option<&Secret>) -> Result<Principal, Refusal> {
        let registration = &agent.registration;
        let trust = registration.trust.as_ref().map_err(|refused| {
            Refusal::new(
                ErrorCode::InvalidRegistration,
                format!("the registration of agent `{}` is not accepted any more: {refused}", agent.id),
            )
            .hint("an operator applies a corrected file with `cloudanix-jit agent apply`")
        })?;
        match token {
            // A token is verified even where none is required: an invalid one must not be worth more than none.
            Some(token) if !trust.is_empty() => {
                let now = self.clock.now();
                let verified = self.verifier.verify(token, &agent.id, trust, now).await;
                verified.map_err(|refused| {
                    // The caller did not cause an outage, and is not limited for it.
                    if matches!(refused, identity::Refused::IssuerUnavailable { .. }) {
                        self.counters.authentication_failures();
                        return refused.into();
                    }
                    self.unproven(&agent.id, refused.into())
                })
            }
            Some(_) | None if registration.auth_token_only => Ok(Principal {
                agent_id: agent.id.clone(),
                provenance: Provenance { trust: Trust::AuthTokenOnly, ..Provenance::default() },
                claims: Claims::new(),
                run: None,
                replay: None,
            }),
            Some(_) | None => {
                let missing = Refusal::new(
                    ErrorCode::OidcTokenMissing,
                    "expected the workload's OIDC token in `oidc_token`, found none",
                )
                .hint("run `cloudanix-jit doctor` in the job: it says which token was looked for and where");
                Err(self.unproven(&agent.id, missing))
            }
        }
    }
}

/// The scope that the request names, or the first: a denial for want of a scope is recorded with it.
pub(super) fn asked_scope<'b>(boundary: &'b Boundary, target: Option<&str>) -> &'b Scope {
    let named = target.and_then(|target| boundary.scope(target));
    named.unwrap_or_else(|| boundary.first())
}

/// Checks that need no identity.
fn well_formed(request: &ElevateRequest) -> Result<(), Refusal> {
    let refuse = |detail: String| Err(Refusal::new(ErrorCode::InvalidRequest, detail));
    access_well_formed(&request.policies, request.target.as_deref(), &request.claimed)?;
    let max = protocol::elevate::MAX_REASON;
    if let Some(len) = request.reason.as_ref().map(|reason| reason.chars().count()).filter(|len| *len > max) {
        return refuse(format!("reason: expected at most {max} characters, found {len}"));
    }
    Ok(())
}

/// The form of what is asked for, and of what the client claims about itself.
pub(super) fn access_well_formed(
    policies: &[PolicyName],
    target: Option<&str>,
    claimed: &Facts,
) -> Result<(), Refusal> {
    let refuse = |detail: String| Err(Refusal::new(ErrorCode::InvalidRequest, detail));
    let (policies, max) = (policies.len(), protocol::elevate::MAX_POLICIES);
    if policies == 0 || policies > max {
        return refuse(format!("policies: expected 1 to {max}, found {policies}"));
    }
    let max = protocol::elevate::MAX_TARGET;
    if let Some(len) = target.map(|target| target.chars().count()).filter(|len| *len > max) {
        return refuse(format!("target: expected at most {max} characters, found {len}"));
    }
    let max = protocol::elevate::MAX_REASON;
    if let Some((name, fact)) = claimed.iter().find(|(_, fact)| fact.chars().count() > max) {
        let found = fact.chars().count();
        return refuse(format!("claimed.{name}: expected at most {max} characters, found {found}"));
    }
    Ok(())
}
