//! Checks a registration that is being written, and tries its trust rules on a token or on a run of before.

use std::collections::BTreeMap;

use domain::{Claims, Registration};
use identity::Refused;
use protocol::agents::{CheckRegistration, RegistrationChecked, TrustRefused, TrustTrial};
use protocol::people::Right;
use protocol::{ErrorCode, GrantId, Secret};
use serde_json::Value;

use crate::{Caller, Engine, On, Refusal};

/// The longest claim in an answer, in characters.
const MAX_CLAIM: usize = 300;

impl Engine {
    /// What [`Engine::apply_agent`] would say to a registration, and what its trust rules say to a token, or to the recorded
    /// claims of a grant. Changes nothing: the token can still be used.
    pub async fn check_registration(
        &self,
        bearer: Option<&Secret>,
        request: &CheckRegistration,
    ) -> Result<RegistrationChecked, Refusal> {
        self.actor(bearer, Right::Register, On::Broker).await?;
        let registration = self.parse_registration(&request.registration).await?;
        let trial = match (&request.token, &request.grant) {
            (None, None) => None,
            (Some(token), None) => Some(self.try_token(&registration, token).await?),
            (None, Some(grant)) => {
                let caller = self.person_or_operator(bearer).await?;
                Some(self.try_grant(&registration, &caller, grant).await?)
            }
            (Some(_), Some(_)) => {
                let detail = "expected a token or a grant to try the trust rules on, found both";
                return Err(Refusal::new(ErrorCode::InvalidRequest, detail));
            }
        };
        Ok(RegistrationChecked {
            exists: self.store.agent(&registration.id).await?.is_some(),
            from_file: self.agents_from_files.load().contains(&registration.id),
            warnings: warnings(&registration),
            agent_id: registration.id,
            trial,
        })
    }

    async fn try_token(&self, registration: &Registration, token: &Secret) -> Result<TrustTrial, Refusal> {
        let rules = registration.trust.as_deref().unwrap_or_default();
        let explained = self.verifier.explain(token, rules, self.clock.now()).await?;
        Ok(TrustTrial {
            claims: shown(&explained.claims),
            token: explained.token.map(to_wire),
            rules: explained.rules.into_iter().map(|refused| refused.map(to_wire)).collect(),
        })
    }

    async fn try_grant(
        &self,
        registration: &Registration,
        caller: &Caller,
        id: &GrantId,
    ) -> Result<TrustTrial, Refusal> {
        let claims = self.recorded_claims(caller, id).await?;
        let rules = registration.trust.as_deref().unwrap_or_default();
        let refused = identity::explain_run(&claims, rules);
        Ok(TrustTrial {
            claims: shown(&claims),
            token: None,
            rules: refused.into_iter().map(|refused| refused.map(to_wire)).collect(),
        })
    }

    /// The signed claims of the run that requested a grant.
    async fn recorded_claims(&self, caller: &Caller, id: &GrantId) -> Result<Claims, Refusal> {
        let grant = self.state(caller, id).await?;
        self.admit(caller, Right::Audit, &grant.agent_id).await?;
        let decisions = self.store.decisions_of(id).await?;
        let claims = decisions.into_iter().map(|stored| stored.decision.facts.identity.claims);
        claims.into_iter().find(|claims| !claims.is_empty()).ok_or_else(|| {
            let detail = format!("no signed claims are recorded of the grant `{id}`");
            Refusal::new(ErrorCode::InvalidRequest, detail)
                .hint("its run had no OIDC token, or its facts are older than `keep_decisions`: try a token")
        })
    }
}

/// What the operator who applies a registration should look at.
pub(super) fn warnings(registration: &Registration) -> Vec<String> {
    registration.boundary.scopes().flat_map(|scope| scope.target.warnings()).collect()
}

fn to_wire(refused: Refused) -> TrustRefused {
    let refusal = Refusal::from(refused);
    TrustRefused { detail: refusal.detail, hint: refusal.hint }
}

/// The claims that a rule can name, without the id of the token.
fn shown(claims: &Claims) -> BTreeMap<String, String> {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let cut = |text: String| text.chars().take(MAX_CLAIM).collect();
    let claims = claims.iter().filter(|(name, value)| *name != "jti" && !value.is_object());
    claims.map(|(name, value)| (name.clone(), cut(text(value)))).collect()
}
