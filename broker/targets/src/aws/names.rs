//! What is ours in an account called? Everything is named after its grant, so that it is found without a memory.

use domain::Step;
use protocol::GrantId;

/// Where our own roles are, so that an account's owner, and our reconciler, finds all of them at once.
pub(super) const ROLE_PATH: &str = "/cloudanix-jit/";
/// The tag that names the grant.
pub(super) const GRANT_TAG: &str = "cloudanix-jit:grant";
/// The tag that names the agent.
pub(super) const AGENT_TAG: &str = "cloudanix-jit:agent";

const PREFIX: &str = "jit-";
const DENY_PREFIX: &str = "jit-deny-";

/// What a step does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// An inline policy of the grant's own.
    PutPolicy,
    /// A managed policy, attached.
    AttachPolicy,
    /// A role of the grant's own.
    CreateRole,
    /// A session of a role.
    IssueSession,
    /// A service account's role.
    AssociatePod,
}

impl Action {
    /// Every one: the kill matrix asks whether it has met all of them.
    pub const ALL: &'static [Self] =
        &[Self::PutPolicy, Self::AttachPolicy, Self::CreateRole, Self::IssueSession, Self::AssociatePod];

    /// As it is stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PutPolicy => "put-policy",
            Self::AttachPolicy => "attach-policy",
            Self::CreateRole => "create-role",
            Self::IssueSession => "issue-session",
            Self::AssociatePod => "associate-pod",
        }
    }

    /// A stored step's.
    pub(super) fn of(step: &Step) -> Option<Self> {
        Self::ALL.iter().copied().find(|action| action.as_str() == step.action)
    }
}

/// The `n`th inline policy of a grant.
pub(super) fn policy(grant: &GrantId, n: usize) -> String {
    if n == 0 { format!("{PREFIX}{grant}") } else { format!("{PREFIX}{grant}-{}", n + 1) }
}

/// The role of a grant.
pub(super) fn role(grant: &GrantId) -> String {
    format!("{PREFIX}{grant}")
}

/// What keeps a grant's sessions dead.
pub(super) fn deny(grant: &GrantId) -> String {
    format!("{DENY_PREFIX}{grant}")
}

/// What a name says that it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ours {
    Policy(GrantId),
    Deny(GrantId),
}

/// Whether a name is one of ours.
pub(super) fn read(name: &str) -> Option<Ours> {
    if let Some(grant) = name.strip_prefix(DENY_PREFIX) {
        return grant.parse().ok().map(Ours::Deny);
    }
    let rest = name.strip_prefix(PREFIX)?;
    // `elev-` and the number of a second policy.
    let end = rest.match_indices('-').nth(1).map_or(rest.len(), |(at, _)| at);
    let (grant, number) = rest.split_at_checked(end)?;
    let numbered = number.is_empty() || number.strip_prefix('-').is_some_and(|n| n.parse::<u8>().is_ok());
    numbered.then(|| grant.parse().ok().map(Ours::Policy)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back() {
        let grant = GrantId::from_random([7; 8]);
        assert_eq!(read(&policy(&grant, 0)), Some(Ours::Policy(grant.clone())));
        assert_eq!(read(&policy(&grant, 9)), Some(Ours::Policy(grant.clone())));
        assert_eq!(read(&role(&grant)), Some(Ours::Policy(grant.clone())));
        assert_eq!(read(&deny(&grant)), Some(Ours::Deny(grant)));
        for foreign in
            ["jit", "jit-", "jit-deny-", "jit-elev", "jit-tools", "elev-0707070707070707", "jit-elev-x"]
        {
            assert_eq!(read(foreign), None, "{foreign}");
        }
    }
}
