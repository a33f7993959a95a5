//! The approval of a request by persons.
//!
//! A vote is for a digest of everything that its person was shown. When what is to be approved changes, the digest
//! changes, and the votes for the old one are gone.

use std::collections::{BTreeMap, BTreeSet};

use protocol::{Person, StandingApprovalId, Timestamp};
use serde::{Deserialize, Serialize};

use crate::session::Session;

/// The approval that a grant needs, with the votes for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approval {
    /// What is to be approved.
    pub subject: ApprovalSubject,
    /// How many persons have to approve.
    pub quorum: u32,
    /// The rules that ask for the approval.
    pub rules: Vec<String>,
    /// Their hints.
    pub hints: Vec<String>,
    /// The account that started the run, by its signed name and, where the platform signs it, by its id.
    pub started_by: BTreeSet<String>,
    /// Votes for approval: a vote against it ends the request.
    pub votes: Vec<Vote>,
}

/// What is to be approved, as digests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApprovalSubject {
    /// SHA-256 of all parts together.
    pub digest: String,
    /// SHA-256 of each part, by its name: a person learns which part has changed.
    pub parts: BTreeMap<String, String>,
}

/// A vote for approval.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vote {
    /// The session as it was: person, groups, and the time of the sign-in.
    pub session: Session,
    /// The time of the vote.
    pub at: Timestamp,
    /// The standing approval that voted for the person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub standing: Option<StandingApprovalId>,
}

impl Approval {
    /// Whether so many different persons approved as have to.
    pub fn is_given(&self) -> bool {
        let quorum = usize::try_from(self.quorum).unwrap_or(usize::MAX);
        self.persons().len() >= quorum.max(1)
    }

    /// Whether this person has approved.
    pub fn has_vote_of(&self, person: &Person) -> bool {
        self.persons().contains(&person.id())
    }

    /// The persons who approved, each once: by issuer and subject, whatever their names and groups are.
    fn persons(&self) -> BTreeSet<(&str, &str)> {
        self.votes.iter().map(|vote| vote.session.person.id()).collect()
    }
}

impl ApprovalSubject {
    /// The names of the parts that differ.
    pub fn changed_parts<'a>(&'a self, other: &'a Self) -> Vec<&'a str> {
        let names: BTreeSet<&str> = self.parts.keys().chain(other.parts.keys()).map(String::as_str).collect();
        names.into_iter().filter(|name| self.parts.get(*name) != other.parts.get(*name)).collect()
    }
}
