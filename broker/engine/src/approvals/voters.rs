//! Who may vote: persons whom the rules permit, and never the one who started the run.

use domain::{Agent, Approval, Grant, Sensitivity, Session, Vote};
use policy::{Requested, Resource};
use protocol::people::Right;
use protocol::{ErrorCode, Platform, Provenance, Timestamp};

use crate::people::On;
use crate::{Engine, Refusal};

/// Platforms whose signed `actor` is the account of a person. Elsewhere it is a service account, or is not signed.
pub const PLATFORMS_OF_PERSONS: [Platform; 4] =
    [Platform::Github, Platform::Forgejo, Platform::Gitlab, Platform::Bitbucket];

impl Engine {
    /// Refuses a person whom the rules of persons do not permit to decide such a request. `at` is the time of the vote.
    pub(crate) fn may_vote(
        &self,
        session: &Session,
        agent: &Agent,
        requested: Requested<'_>,
        at: Timestamp,
    ) -> Result<(), Refusal> {
        let permitted =
            self.people()?.rules.permit(session, Right::Approve, Resource::Request(agent, requested), at);
        permitted.map_err(|not| self.not_permitted(session, Right::Approve, On::Agent(&agent.id), not))
    }

    /// Refuses a person who may vote and not approve: the run is the person's own, or the sign-in is too old.
    pub(crate) fn may_approve(
        &self,
        session: &Session,
        agent: &Agent,
        grant: &Grant,
        at: Timestamp,
    ) -> Result<(), Refusal> {
        self.may_vote(session, agent, grant.into(), at)?;
        if let Some(approval) = &grant.approval {
            not_the_actor(session, approval, &grant.provenance)?;
        }
        self.ensure_fresh(session, agent, grant.into(), at)
    }

    /// Refuses to approve a policy of high sensitivity too long after the person's sign-in.
    pub(crate) fn ensure_fresh(
        &self,
        session: &Session,
        agent: &Agent,
        requested: Requested<'_>,
        at: Timestamp,
    ) -> Result<(), Refusal> {
        let fresh = self.people()?.fresh;
        if !is_sensitive(agent, requested) || at <= session.authenticated_at.plus(fresh) {
            return Ok(());
        }
        let minutes = fresh.as_secs() / 60;
        Err(Refusal::new(
            ErrorCode::FreshSignInRequired,
            format!("a policy of high sensitivity is approved within {minutes} min of the sign-in"),
        )
        .hint("run `cloudanix-jit login --fresh`, and vote again"))
    }

    /// Whether all votes still count: by the rules of persons as they are now, and unless the standing approval that
    /// cast one was revoked.
    pub(crate) async fn all_votes_count(
        &self,
        approval: &Approval,
        agent: &Agent,
        grant: &Grant,
    ) -> Result<bool, Refusal> {
        // Without a provider no vote can be judged.
        self.people()?;
        for vote in &approval.votes {
            let refusal = match self.may_approve(&vote.session, agent, grant, vote.at) {
                Ok(()) if !self.is_still_approved(vote).await? => {
                    "the standing approval was revoked".to_owned()
                }
                Ok(()) => continue,
                Err(refusal) => refusal.to_string(),
            };
            let person = &vote.session.person.subject;
            tracing::warn!(grant = %grant.id, person, refusal, "a vote does not count any more");
            return Ok(false);
        }
        Ok(true)
    }

    async fn is_still_approved(&self, vote: &Vote) -> Result<bool, Refusal> {
        let Some(id) = &vote.standing else { return Ok(true) };
        let standing = self.store.standing_approval(id).await?;
        Ok(standing.is_some_and(|standing| !standing.revoked))
    }
}

/// Whether a requested policy is of high sensitivity.
fn is_sensitive(agent: &Agent, requested: Requested<'_>) -> bool {
    let Some(scope) = agent.registration.boundary.scope(requested.scope.as_str()) else { return true };
    let sensitivity = |name| scope.sensitivity.get(name).copied().unwrap_or_default();
    requested.policies.iter().any(|name| sensitivity(name) == Sensitivity::High)
}

/// Refuses the person whose account started the run, and a person of whom that cannot be told.
fn not_the_actor(session: &Session, approval: &Approval, provenance: &Provenance) -> Result<(), Refusal> {
    let (Some(platform), Some(id)) = (provenance.platform, approval.started_by.first()) else {
        return Ok(());
    };
    let actor = provenance.signed.actor.as_ref().unwrap_or(id);
    let (name, shown) = (platform.as_str(), session.person.shown());
    let Some(account) = session.accounts.get(name) else {
        return Err(Refusal::new(
            ErrorCode::AccountUnknown,
            format!(
                "`{actor}` at {name} started the run, and it is not known which account at {name} is {shown}'s"
            ),
        )
        .hint(format!(
            "an operator names the claim with it in `people.accounts.{name}` of the broker's configuration"
        )));
    };
    // Names of accounts differ in more than case on each of these platforms.
    if approval.started_by.iter().any(|started| started.eq_ignore_ascii_case(account)) {
        return Err(Refusal::new(
            ErrorCode::OwnRequest,
            format!("{shown} started the run as `{actor}` at {name}: another person has to approve it"),
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use protocol::Person;
    use serde_json::json;

    use super::super::started_by;
    use super::*;

    fn provenance(platform: Option<Platform>, actor: Option<&str>) -> Provenance {
        let mut provenance = Provenance { platform, ..Provenance::default() };
        provenance.signed.actor = actor.map(str::to_owned);
        provenance
    }

    fn approval(provenance: &Provenance) -> Approval {
        let claims = [("actor_id".to_owned(), json!("583231")), ("sub".to_owned(), json!("hubot"))].into();
        let subject = domain::ApprovalSubject { digest: String::new(), parts: [].into() };
        Approval {
            subject,
            quorum: 1,
            rules: Vec::new(),
            hints: Vec::new(),
            started_by: started_by(provenance, &claims),
            votes: Vec::new(),
        }
    }

    fn session(account: Option<(&str, &str)>) -> Session {
        Session {
            person: Person {
                issuer: "https://login.example.com".to_owned(),
                subject: "octocat".to_owned(),
                name: None,
            },
            groups: [].into(),
            accounts: account.into_iter().map(|(at, name)| (at.to_owned(), name.to_owned())).collect(),
            authenticated_at: Timestamp::from_secs(0),
            started_at: Timestamp::from_secs(0),
            ends_at: Timestamp::from_secs(60),
        }
    }

    #[test]
    fn the_account_that_started_the_run_is_compared_at_its_own_platform() {
        let (github, kubernetes) = (Some(Platform::Github), Some(Platform::Kubernetes));
        for (platform, actor, account, expected) in [
            (github, Some("octocat"), Some(("github", "octocat")), Some(ErrorCode::OwnRequest)),
            (github, Some("octocat"), Some(("github", "OctoCat")), Some(ErrorCode::OwnRequest)),
            // By the id of the account, whatever its name is by now.
            (github, Some("octocat"), Some(("github", "583231")), Some(ErrorCode::OwnRequest)),
            (github, Some("octocat"), Some(("github", "hubot")), None),
            (github, Some("octocat"), Some(("gitlab", "hubot")), Some(ErrorCode::AccountUnknown)),
            // The subject at the provider is no account at the platform.
            (github, Some("hubot"), None, Some(ErrorCode::AccountUnknown)),
            (kubernetes, Some("ci/deployer"), None, None),
            (None, None, None, None),
        ] {
            let provenance = provenance(platform, actor);
            let found = not_the_actor(&session(account), &approval(&provenance), &provenance);
            let found = found.err().map(|refusal| refusal.code);
            assert_eq!(found, expected, "{platform:?} {actor:?} {account:?}");
        }
    }
}
