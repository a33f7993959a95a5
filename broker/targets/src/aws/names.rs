//! The names of managed objects. Each contains its grant's id, so that the reconciler finds it without a record.

use protocol::GrantId;

/// The path of the roles of grants, so that an account's owner and the reconciler can list them.
pub(super) const ROLE_PATH: &str = "/cloudanix-jit/";
/// The tag that names the grant.
pub(super) const GRANT_TAG: &str = "cloudanix-jit:grant";
/// The tag that names the agent.
pub(super) const AGENT_TAG: &str = "cloudanix-jit:agent";

const PREFIX: &str = "jit-";
const DENY_PREFIX: &str = "jit-deny-";

/// The `n`th inline policy of a grant.
pub(super) fn policy(grant: &GrantId, n: usize) -> String {
    if n == 0 { format!("{PREFIX}{grant}") } else { format!("{PREFIX}{grant}-{}", n + 1) }
}

/// A grant's own role.
pub(super) fn role(grant: &GrantId) -> String {
    format!("{PREFIX}{grant}")
}

/// A grant's session-deny policy.
pub(super) fn deny(grant: &GrantId) -> String {
    format!("{DENY_PREFIX}{grant}")
}

/// A parsed name of a managed object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ManagedName {
    /// An inline policy or a role.
    Access(GrantId),
    /// A session-deny policy.
    SessionDeny(GrantId),
}

/// Parses a name; `None` if the object is foreign.
pub(super) fn parse(name: &str) -> Option<ManagedName> {
    if let Some(grant) = name.strip_prefix(DENY_PREFIX) {
        return grant.parse().ok().map(ManagedName::SessionDeny);
    }
    let rest = name.strip_prefix(PREFIX)?;
    // `elev-` and the number of a second policy.
    let end = rest.match_indices('-').nth(1).map_or(rest.len(), |(at, _)| at);
    let (grant, number) = rest.split_at_checked(end)?;
    let numbered = number.is_empty() || number.strip_prefix('-').is_some_and(|n| n.parse::<u8>().is_ok());
    numbered.then(|| grant.parse().ok().map(ManagedName::Access)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_managed_name_is_parsed_and_a_foreign_one_is_not() {
        let grant = GrantId::from_random([7; 8]);
        assert_eq!(parse(&policy(&grant, 0)), Some(ManagedName::Access(grant.clone())));
        assert_eq!(parse(&policy(&grant, 9)), Some(ManagedName::Access(grant.clone())));
        assert_eq!(parse(&role(&grant)), Some(ManagedName::Access(grant.clone())));
        assert_eq!(parse(&deny(&grant)), Some(ManagedName::SessionDeny(grant)));
        for foreign in
            ["jit", "jit-", "jit-deny-", "jit-elev", "jit-tools", "elev-0707070707070707", "jit-elev-x"]
        {
            assert_eq!(parse(foreign), None, "{foreign}");
        }
    }
}
