//! Gathers the facts of a decision.

use std::collections::BTreeMap;

use domain::facts::{
    self, AgentFacts, DecisionFacts, IdentityFacts, PolicyFacts, PostureFacts, RequestFacts,
};
use domain::{Claims, Grant, Principal, Scope};
use protocol::{PolicyName, Provenance, Ttl};
use store::{DecisionContext, PostureStatement, StoredPosture};

use super::Loaded;
use super::decide::Asked;

/// The identity that a token proves.
pub(crate) fn identity_of(principal: &Principal) -> IdentityFacts {
    IdentityFacts { claims: principal.claims.clone(), ..of_provenance(&principal.provenance) }
}

/// The identity of a grant whose first decision is not recorded: without claims.
pub(crate) fn identity_of_grant(grant: &Grant) -> IdentityFacts {
    of_provenance(&grant.provenance)
}

fn of_provenance(provenance: &Provenance) -> IdentityFacts {
    IdentityFacts {
        trust: provenance.trust,
        platform: provenance.platform,
        issuer: provenance.issuer.clone(),
        subject: provenance.subject.clone(),
        signed: provenance.signed.clone(),
        claims: Claims::new(),
    }
}

/// The facts of requested access. A policy that the scope does not have is of normal sensitivity.
pub(crate) fn request_of(scope: &Scope, policies: &[PolicyName], ttl: Ttl, heartbeat: bool) -> RequestFacts {
    let policies = policies.iter().map(|name| PolicyFacts {
        name: name.clone(),
        sensitivity: scope.sensitivity.get(name).copied().unwrap_or_default(),
        digest: audit::sha256(&scope.target.meaning_of(name).unwrap_or_default()),
    });
    RequestFacts {
        scope: scope.name.clone(),
        target: scope.target.kind(),
        account: scope.target.account().map(str::to_owned),
        ttl,
        heartbeat,
        policies: policies.collect(),
    }
}

/// The facts of a request, complete.
pub(crate) fn gather(
    asked: &Asked<'_>,
    context: &DecisionContext,
    loaded: &Loaded,
    nonce: String,
) -> DecisionFacts {
    let registration = &asked.agent.registration;
    DecisionFacts {
        version: facts::VERSION,
        nonce,
        at: context.at,
        local: policy::rules::local_times(loaded.zones(), context.at),
        agent: AgentFacts {
            id: asked.agent.id.clone(),
            use_case: registration.use_case,
            labels: registration.labels.clone(),
            groups: registration.groups.clone(),
            registration: audit::sha256(&asked.agent.source),
        },
        request: asked.request.clone(),
        identity: asked.identity.clone(),
        observed: asked.observed.clone(),
        posture: combined(&context.posture),
        run: asked.before.unwrap_or(context.run),
    }
}

/// One finding for each source. Of several subjects, all must be in order.
fn combined(postures: &[StoredPosture]) -> BTreeMap<String, PostureFacts> {
    let mut combined: BTreeMap<String, PostureFacts> = BTreeMap::new();
    for StoredPosture { statement, .. } in postures {
        let PostureStatement { source, ok, as_of, expires_at, .. } = statement;
        let known = combined.entry(source.clone()).or_insert(PostureFacts {
            ok: true,
            as_of: *as_of,
            expires_at: *expires_at,
        });
        known.ok &= ok;
        known.as_of = known.as_of.min(*as_of);
        known.expires_at = known.expires_at.min(*expires_at);
    }
    combined
}
