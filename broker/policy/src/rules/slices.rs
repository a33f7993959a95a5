//! Slices of a rule set: a decision evaluates only rules whose heads can match the request.
//!
//! A rule set is divided by action and by the agent, group and policy that the head of each rule names. The slices of
//! one request are disjoint, and together they have every rule whose head can match. A rule whose head does not match is
//! not satisfied and cannot fail, because Cedar does not evaluate its conditions. So the answers of the slices, joined,
//! are the answer of the whole set; a property test compares the two.

use std::collections::{BTreeSet, HashMap};

use cedar_policy::{
    ActionConstraint, AuthorizationError, Authorizer, Decision, Entities, EntityUid, Policy, PolicySet,
    PrincipalConstraint, Request, ResourceConstraint,
};

use super::schema::Action;

/// Rules by the principal and then by the resource that their heads name; `None` for heads that name none.
type ByPrincipal = HashMap<Option<EntityUid>, HashMap<Option<EntityUid>, PolicySet>>;

#[derive(Debug, Default)]
pub(super) struct Slices {
    elevate: ByPrincipal,
    elevate_unattended: ByPrincipal,
}

/// The answer to one question.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) permits: BTreeSet<String>,
    pub(crate) forbids: BTreeSet<String>,
    /// Each rule that could not be evaluated, and why.
    pub(crate) errors: BTreeSet<(String, String)>,
}

impl Answer {
    pub(crate) fn is_allowed(&self) -> bool {
        self.errors.is_empty() && self.forbids.is_empty() && !self.permits.is_empty()
    }

    /// Asks one set of rules.
    pub(crate) fn ask(&mut self, rules: &PolicySet, request: &Request, entities: &Entities) {
        let response = Authorizer::new().is_authorized(request, rules, entities);
        let reasons = response.diagnostics().reason().map(|id| AsRef::<str>::as_ref(id).to_owned());
        match response.decision() {
            Decision::Allow => self.permits.extend(reasons),
            Decision::Deny => self.forbids.extend(reasons),
        }
        for error in response.diagnostics().errors() {
            let AuthorizationError::PolicyEvaluationError(error) = error;
            let id: &str = error.policy_id().as_ref();
            self.errors.insert((id.to_owned(), error.inner().to_string()));
        }
    }
}

impl Slices {
    pub(super) fn add(&mut self, rule: &Policy) -> Result<(), String> {
        let principal = match rule.principal_constraint() {
            PrincipalConstraint::Any | PrincipalConstraint::Is(_) => None,
            PrincipalConstraint::Eq(entity)
            | PrincipalConstraint::In(entity)
            | PrincipalConstraint::IsIn(_, entity) => Some(entity),
        };
        let resource = match rule.resource_constraint() {
            ResourceConstraint::Any | ResourceConstraint::Is(_) => None,
            ResourceConstraint::Eq(entity)
            | ResourceConstraint::In(entity)
            | ResourceConstraint::IsIn(_, entity) => Some(entity),
        };
        let actions = rule.action_constraint();
        let applies = |action: &&Action| match &actions {
            ActionConstraint::Any => true,
            ActionConstraint::Eq(entity) => entity == action.entity(),
            ActionConstraint::In(entities) => entities.contains(action.entity()),
        };
        for action in Action::ALL.iter().filter(applies) {
            let by_resource = self.of_mut(*action).entry(principal.clone()).or_default();
            by_resource
                .entry(resource.clone())
                .or_default()
                .add(rule.clone())
                .map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    /// The slices for a request: of the agent, of its groups and of neither, and in each those of the policy and of none.
    /// Every entity that `principal in …` can match is in `principals`: groups are in no other groups.
    pub(super) fn of<'s>(
        &'s self,
        action: Action,
        principals: &'s [Option<EntityUid>],
        resource: &'s Option<EntityUid>,
    ) -> impl Iterator<Item = &'s PolicySet> {
        let by_principal = match action {
            Action::Elevate => &self.elevate,
            Action::ElevateUnattended => &self.elevate_unattended,
        };
        let slices = principals.iter().filter_map(|principal| by_principal.get(principal));
        slices.flat_map(move |slice| [&None, resource].into_iter().filter_map(|resource| slice.get(resource)))
    }

    fn of_mut(&mut self, action: Action) -> &mut ByPrincipal {
        match action {
            Action::Elevate => &mut self.elevate,
            Action::ElevateUnattended => &mut self.elevate_unattended,
        }
    }
}
