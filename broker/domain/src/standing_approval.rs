//! A standing approval: a person approves requests of an agent in advance, so many of them and until a time.

use protocol::{AgentId, Facts, GrantId, Person, StandingApprovalId, Timestamp};
use serde::{Deserialize, Serialize};

use crate::boundary::{ScopeName, TargetKind};
use crate::facts::{PolicyFacts, RequestFacts};
use crate::session::Session;

/// A standing approval.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StandingApproval {
    /// Its id.
    pub id: StandingApprovalId,
    /// The session as it was.
    pub session: Session,
    /// The agent whose requests are approved.
    pub agent_id: AgentId,
    /// The kind of target.
    pub target: TargetKind,
    /// The account at the target, if it has accounts.
    pub account: Option<String>,
    /// The scope of the boundary.
    pub scope: ScopeName,
    /// The policies that a request may ask for, with what each meant when the person approved.
    pub policies: Vec<PolicyFacts>,
    /// The signed ref that a run has to have.
    pub git_ref: Option<String>,
    /// Why.
    pub because: Option<String>,
    /// For how many requests.
    pub uses: u32,
    /// The grants that it has approved.
    pub used_for: Vec<GrantId>,
    /// When the person approved.
    pub created_at: Timestamp,
    /// The end.
    pub until: Timestamp,
    /// Whether it was ended before.
    pub revoked: bool,
}

impl StandingApproval {
    /// Whether it approves requests at this time, as long as uses are left.
    pub fn is_in_force(&self, now: Timestamp) -> bool {
        !self.revoked && now < self.until
    }

    /// Whether it is for this request: for its agent, its target, no policy that the person did not approve or that
    /// means something else by now, and its ref.
    pub fn covers(&self, agent: &AgentId, request: &RequestFacts, signed: &Facts) -> bool {
        self.agent_id == *agent
            && (self.target, &self.scope, &self.account) == (request.target, &request.scope, &request.account)
            && request.policies.iter().all(|policy| self.policies.contains(policy))
            && (self.git_ref.is_none() || self.git_ref == signed.git_ref)
    }

    /// With a use for this grant, which counts once. None if no use is left.
    pub fn use_for(&self, grant: &GrantId) -> Option<Self> {
        if self.used_for.contains(grant) {
            return Some(self.clone());
        }
        let used = u32::try_from(self.used_for.len()).unwrap_or(u32::MAX);
        (used < self.uses).then(|| {
            let mut using = self.clone();
            using.used_for.push(grant.clone());
            using
        })
    }

    /// Whether this person made it.
    pub fn is_of(&self, person: &Person) -> bool {
        self.session.person.id() == person.id()
    }
}

#[cfg(test)]
mod tests {
    use std::slice::from_ref;

    use protocol::Ttl;

    use super::*;
    use crate::registration::Sensitivity;

    fn policy(name: &str, meaning: &str) -> PolicyFacts {
        let name = name.parse().unwrap();
        PolicyFacts { name, sensitivity: Sensitivity::Normal, digest: meaning.to_owned() }
    }

    fn standing(git_ref: Option<&str>) -> StandingApproval {
        let at = Timestamp::from_secs;
        let person =
            Person { issuer: "https://id.example".to_owned(), subject: "alice".to_owned(), name: None };
        StandingApproval {
            id: StandingApprovalId::from_bits([1; 8]),
            session: Session {
                person,
                groups: [].into(),
                accounts: [].into(),
                authenticated_at: at(0),
                started_at: at(0),
                ends_at: at(100),
            },
            agent_id: "deployer".parse().unwrap(),
            target: TargetKind::Aws,
            account: Some("111122223333".to_owned()),
            scope: "aws".parse().unwrap(),
            policies: vec![policy("read", "r"), policy("write", "w")],
            git_ref: git_ref.map(str::to_owned),
            because: None,
            uses: 2,
            used_for: Vec::new(),
            created_at: at(0),
            until: at(50),
            revoked: false,
        }
    }

    fn request(policies: &[PolicyFacts]) -> RequestFacts {
        RequestFacts {
            scope: "aws".parse().unwrap(),
            target: TargetKind::Aws,
            account: Some("111122223333".to_owned()),
            ttl: Ttl::from_secs(60).unwrap(),
            heartbeat: false,
            policies: policies.to_vec(),
        }
    }

    #[test]
    fn it_covers_what_the_person_saw_and_nothing_else() {
        let (deployer, other) = ("deployer".parse().unwrap(), "other".parse().unwrap());
        let signed = Facts { git_ref: Some("refs/heads/main".to_owned()), ..Facts::default() };
        let standing = standing(Some("refs/heads/main"));
        let (read, write) = (policy("read", "r"), policy("write", "w"));
        assert!(standing.covers(&deployer, &request(&[read.clone(), write.clone()]), &signed));
        assert!(standing.covers(&deployer, &request(from_ref(&read)), &signed));
        assert!(!standing.covers(&other, &request(from_ref(&read)), &signed));
        assert!(!standing.covers(&deployer, &request(&[read.clone(), policy("drop", "d")]), &signed));
        assert!(!standing.covers(&deployer, &request(&[policy("read", "changed")]), &signed));
        assert!(!standing.covers(&deployer, &request(from_ref(&read)), &Facts::default()));
        let elsewhere = RequestFacts { account: Some("444455556666".to_owned()), ..request(from_ref(&read)) };
        assert!(!standing.covers(&deployer, &elsewhere, &signed));
        let sensitive = PolicyFacts { sensitivity: Sensitivity::High, ..read };
        assert!(!standing.covers(&deployer, &request(&[sensitive]), &signed));
    }

    #[test]
    fn a_grant_uses_it_once_and_it_ends_with_its_uses_its_time_or_its_revocation() {
        let grants: Vec<GrantId> = (1..=3).map(|n| GrantId::from_random([n; 8])).collect();
        let once = standing(None).use_for(&grants[0]).unwrap();
        assert_eq!(once.use_for(&grants[0]), Some(once.clone()));
        let twice = once.use_for(&grants[1]).unwrap();
        assert_eq!(twice.used_for.len(), 2);
        assert_eq!(twice.use_for(&grants[2]), None);
        assert!(twice.use_for(&grants[0]).is_some(), "the same grant again");
        let at = Timestamp::from_secs;
        assert!(once.is_in_force(at(49)));
        assert!(!once.is_in_force(at(50)));
        assert!(!StandingApproval { revoked: true, ..once }.is_in_force(at(1)));
    }
}
