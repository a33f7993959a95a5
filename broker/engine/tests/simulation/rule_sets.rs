//! The rule sets that operators apply, each in Cedar and, as the ledger's own answer, in Rust.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use policy::rules::RuleSet;
use protocol::AgentId;
use protocol::rules::RuleSetDigest;

/// What the answers of the sets depend on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Context<'a> {
    pub(crate) agent: &'a AgentId,
    /// What the scanner says of the agent; none if it is silent or late.
    pub(crate) is_ok: Option<bool>,
    /// Other live grants of the agent when the grant was created.
    pub(crate) live: u32,
}

/// A rule set of the simulation.
pub(crate) struct SimulatedSet {
    pub(crate) rules: RuleSet,
    pub(crate) files: BTreeMap<String, String>,
    permits: fn(Context<'_>) -> bool,
}

/// The agent that a set forbids.
const FORBIDDEN: &str = "agent-1";

static SETS: LazyLock<Vec<SimulatedSet>> = LazyLock::new(|| {
    vec![
        SimulatedSet::of("", |_| true),
        SimulatedSet::of(
            r#"@id("agent") forbid (principal == Agent::"agent-1", action, resource);"#,
            |context| context.agent.as_str() != FORBIDDEN,
        ),
        SimulatedSet::of(
            r#"@id("scanned") forbid (principal, action, resource)
            unless { context.posture.hasTag("scanner") && context.posture.getTag("scanner").ok };"#,
            |context| context.is_ok == Some(true),
        ),
        SimulatedSet::of(
            r#"@id("pair") forbid (principal, action, resource) when { context.run.agent_live >= 2 };"#,
            |context| context.live < 2,
        ),
    ]
});

impl SimulatedSet {
    fn of(forbid: &str, permits: fn(Context<'_>) -> bool) -> Self {
        let text = format!("@id(\"all\") permit (principal, action, resource);\n{forbid}");
        let files = BTreeMap::from([("rules.cedar".to_owned(), text)]);
        Self { rules: RuleSet::parse(&files).unwrap(), files, permits }
    }
}

/// The sets in a fixed order.
pub(crate) fn all() -> &'static [SimulatedSet] {
    &SETS
}

pub(crate) fn by_digest(digest: &RuleSetDigest) -> Option<&'static SimulatedSet> {
    SETS.iter().find(|set| set.rules.digest() == digest)
}

/// Whether a set permits a request; without one the boundary alone counts.
pub(crate) fn permits(digest: Option<&RuleSetDigest>, context: Context<'_>) -> bool {
    digest.is_none_or(|digest| by_digest(digest).is_some_and(|set| (set.permits)(context)))
}
