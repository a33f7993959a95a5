//! Checks a registration that is being written, and tries its trust rules on a token or on an earlier run.

use std::collections::BTreeMap;

use domain::{Claims, Registration};
use identity::{Explained, Refused};
use protocol::agents::{CheckRegistration, RegistrationChecked, TrustRefused, TrustTrial};
use protocol::people::Right;
use protocol::{ErrorCode, GrantId, Secret};
use serde_json::Value;

use crate::{Engine, On, Refusal};

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
        let rules = registration.trust.as_deref().unwrap_or_default();
        let explained = match (&request.token, &request.grant) {
            (None, None) => None,
            (Some(token), None) => Some(self.verifier.explain(token, rules, self.clock.now()).await?),
            (None, Some(grant)) => {
                Some(identity::explain_run(self.recorded_claims(bearer, grant).await?, rules))
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
            trial: explained.map(trial),
        })
    }

    /// The signed claims of the run that requested a grant.
    async fn recorded_claims(&self, bearer: Option<&Secret>, id: &GrantId) -> Result<Claims, Refusal> {
        let caller = self.person_or_operator(bearer).await?;
        let decisions = self.recorded_decisions(&caller, id).await?;
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

fn trial(explained: Explained) -> TrustTrial {
    TrustTrial {
        claims: shown(&explained.claims),
        token: explained.token.map(to_wire),
        rules: explained.rules.into_iter().map(|refused| refused.map(to_wire)).collect(),
    }
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
