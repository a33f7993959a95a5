//! Who may vote: persons whom the rules permit, and never the one who started the run.

use domain::{Agent, Approval, Grant, Sensitivity, Session, Vote};
use policy::Resource;
use protocol::people::Right;
use protocol::{ErrorCode, Platform, Timestamp};

use crate::people::On;
use crate::{Engine, Refusal};

/// Platforms whose signed `actor` is the account of a person. Elsewhere it is a service account, or is not signed.
pub const PLATFORMS_OF_PERSONS: [Platform; 4] =
    [Platform::Github, Platform::Forgejo, Platform::Gitlab, Platform::Bitbucket];

impl Engine {
    /// Refuses a person who may not approve this request. `at` is the time of the vote.
    pub(crate) fn may_approve(
        &self,
        session: &Session,
        agent: &Agent,
        grant: &Grant,
        at: Timestamp,
    ) -> Result<(), Refusal> {
        let people = self.people()?;
        people
            .rules
            .permit(session, Right::Approve, Resource::Request(agent, grant), at)
            .map_err(|not| self.not_permitted(session, Right::Approve, On::Agent(&agent.id), not))?;
        not_the_actor(session, grant)?;
        if is_sensitive(agent, grant) && session.authenticated_at.plus(people.fresh) < at {
            let minutes = people.fresh.as_secs() / 60;
            return Err(Refusal::new(
                ErrorCode::FreshSignInRequired,
                format!("a policy of high sensitivity is approved within {minutes} min of the sign-in"),
            )
            .hint("run `cloudanix-jit login --fresh`, and vote again"));
        }
        Ok(())
    }

    /// Whether everyone who approved may still do so, by the rules of persons as they are now.
    pub(crate) fn all_votes_count(
        &self,
        approval: &Approval,
        agent: &Agent,
        grant: &Grant,
    ) -> Result<bool, Refusal> {
        // Without a provider no vote can be judged.
        self.people()?;
        let counts = |vote: &Vote| {
            let refusal = self.may_approve(&vote.session, agent, grant, vote.at).err();
            if let Some(refusal) = &refusal {
                let person = &vote.session.person.subject;
                tracing::warn!(grant = %grant.id, person, %refusal, "a vote does not count any more");
            }
            refusal.is_none()
        };
        Ok(approval.votes.iter().all(counts))
    }
}

/// Whether a requested policy is of high sensitivity.
fn is_sensitive(agent: &Agent, grant: &Grant) -> bool {
    let Some(scope) = agent.registration.boundary.scope(grant.scope.as_str()) else { return true };
    let sensitivity = |name| scope.sensitivity.get(name).copied().unwrap_or_default();
    grant.policies.iter().any(|name| sensitivity(name) == Sensitivity::High)
}

/// Refuses the person whose account started the run, and a person of whom that cannot be told.
fn not_the_actor(session: &Session, grant: &Grant) -> Result<(), Refusal> {
    let provenance = &grant.provenance;
    let Some(platform) = provenance.platform.filter(|platform| PLATFORMS_OF_PERSONS.contains(platform))
    else {
        return Ok(());
    };
    let Some(actor) = provenance.signed.actor.as_deref() else { return Ok(()) };
    let name = platform.as_str();
    let Some(account) = session.accounts.get(name) else {
        return Err(Refusal::new(
            ErrorCode::AccountUnknown,
            format!(
                "`{actor}` at {name} started the run, and it is not known which account at {name} is {}'s",
                session.person.shown()
            ),
        )
        .hint(format!(
            "an operator names the claim with it in `people.accounts.{name}` of the broker's configuration"
        )));
    };
    // Names of accounts differ in more than case on none of these platforms.
    if account.eq_ignore_ascii_case(actor) {
        return Err(Refusal::new(
            ErrorCode::OwnRequest,
            format!(
                "{} started the run as `{actor}` at {name}: another person has to approve it",
                session.person.shown()
            ),
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use domain::grant::Request;
    use domain::{ApprovalSubject, TargetKind};
    use protocol::{GrantId, IdempotencyKey, Person, Provenance};

    use super::*;

    fn grant(platform: Option<Platform>, actor: Option<&str>) -> Grant {
        let mut provenance = Provenance { platform, ..Provenance::default() };
        provenance.signed.actor = actor.map(str::to_owned);
        let request = Request {
            id: GrantId::from_random([1; 8]),
            agent_id: "orders-agent".parse().unwrap(),
            key: IdempotencyKey::from_random([1; 16]),
            request_hash: String::new(),
            policies: Vec::new(),
            target: TargetKind::Token,
            scope: TargetKind::Token.into(),
            ttl: "15m".parse().unwrap(),
            reason: None,
            provenance,
            run: None,
        };
        let subject = ApprovalSubject { digest: String::new(), parts: [].into() };
        let approval =
            Approval { subject, quorum: 1, rules: Vec::new(), hints: Vec::new(), votes: Vec::new() };
        Grant::waiting(request, Timestamp::from_secs(0), approval, Timestamp::from_secs(60)).grant
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
            (github, Some("octocat"), Some(("github", "hubot")), None),
            (github, Some("octocat"), Some(("gitlab", "hubot")), Some(ErrorCode::AccountUnknown)),
            // The subject at the provider is no account at the platform.
            (github, Some("hubot"), None, Some(ErrorCode::AccountUnknown)),
            (github, None, None, None),
            (kubernetes, Some("ci/deployer"), None, None),
            (None, None, None, None),
        ] {
            let found = not_the_actor(&session(account), &grant(platform, actor));
            assert_eq!(
                found.err().map(|refusal| refusal.code),
                expected,
                "{platform:?} {actor:?} {account:?}"
            );
        }
    }
}
