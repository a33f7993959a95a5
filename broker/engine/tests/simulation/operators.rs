//! Operators who change the rules, and a scanner that reports the posture of agents.

use std::sync::Arc;
use std::time::Duration;

use engine::{Author, Engine};
use protocol::Actor;
use protocol::posture::PostureReport;
use protocol::rules::{ApplyRules, RuleSetRole};

use crate::fixture::{AGENTS, Fixture, REPLICAS, SCANNER};
use crate::rule_sets;

/// The interval between two reports.
const SCAN_EVERY: Duration = Duration::from_secs(10);
/// The agents of a rollout.
const ROLLOUTS: [&[&str]; 3] = [&["agent-1"], &["agent-0", "agent-2"], &["agent-*"]];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    Apply,
    ApplyCandidate,
    RollOut,
    Promote,
    RollBack,
    ClearCandidate,
}

/// A candidate is useful only while it stays for a while, so that little clears it.
const CHANGES: [Change; 10] = [
    Change::Apply,
    Change::Apply,
    Change::ApplyCandidate,
    Change::ApplyCandidate,
    Change::RollOut,
    Change::RollOut,
    Change::Promote,
    Change::Promote,
    Change::RollBack,
    Change::ClearCandidate,
];

/// Changes rules and reports posture through random replicas, for ever.
pub(crate) async fn run(fixture: Arc<Fixture>) {
    let Some(every) = fixture.fault_rates.rules_every else { return };
    tokio::join!(change_rules(&fixture, every), report_posture(&fixture));
}

/// The last changes of a run, without faults: a new candidate, and what becomes of it.
pub(crate) async fn last_changes(fixture: &Arc<Fixture>) {
    if fixture.fault_rates.rules_every.is_none() {
        return;
    }
    for changes in [[Change::ApplyCandidate; 3], [Change::Promote, Change::RollOut, Change::RollBack]] {
        tokio::time::sleep(fixture.rng.millis(1_000, 5_000)).await;
        report(fixture);
        change(fixture, *fixture.rng.pick(&changes));
    }
}

async fn change_rules(fixture: &Arc<Fixture>, every: Duration) {
    let most = 2 * u64::try_from(every.as_millis()).unwrap();
    loop {
        tokio::time::sleep(fixture.rng.millis(500, most)).await;
        change(fixture, *fixture.rng.pick(&CHANGES));
    }
}

async fn report_posture(fixture: &Arc<Fixture>) {
    loop {
        tokio::time::sleep(SCAN_EVERY).await;
        report(fixture);
    }
}

/// Changes the rules through one replica, which may fail halfway.
fn change(fixture: &Arc<Fixture>, change: Change) {
    let rng = &fixture.rng;
    let n = rng.below(REPLICAS);
    let (set, agents) = (rng.below(rule_sets::all().len()), *rng.pick(&ROLLOUTS));
    let Some(engine) = fixture.replica(n) else { return };
    fixture.trace.say(&format!("operator · {change:?}, set {set}, agents {agents:?}"));
    let one = Arc::clone(fixture);
    fixture.runs(n, async move {
        if let Err(refusal) = make(&engine, change, set, agents).await {
            one.trace.say(&format!("operator · {change:?}: {}", refusal.detail));
        }
    });
}

async fn make(engine: &Engine, change: Change, set: usize, agents: &[&str]) -> Result<(), engine::Refusal> {
    let operator = Actor::Operator { name: "release-bot".parse().unwrap() };
    let apply = async |role| {
        let files = rule_sets::all()[set].files.clone();
        let request = ApplyRules { files, cases: Default::default(), role, check_only: false };
        engine.apply_rules(&request, &Author::Actor(operator.clone())).await.map(drop)
    };
    match change {
        Change::Apply => apply(RuleSetRole::Active).await,
        Change::ApplyCandidate => apply(RuleSetRole::Candidate).await,
        Change::RollOut => {
            let agents: Vec<String> = agents.iter().map(|glob| (*glob).to_owned()).collect();
            engine.roll_out_rules(&agents, &operator).await.map(drop)
        }
        Change::Promote => engine.promote_rules(&operator).await.map(drop),
        Change::RollBack => engine.roll_back_rules(&operator).await.map(drop),
        Change::ClearCandidate => engine.clear_candidate(&operator).await.map(drop),
    }
}

/// Reports each agent through a random replica. Reports can arrive late and in another order.
fn report(fixture: &Arc<Fixture>) {
    for agent in 0..AGENTS {
        let n = fixture.rng.below(REPLICAS);
        let finding =
            PostureReport { ok: fixture.rng.chance(850), as_of: fixture.trace.now(), expires_at: None };
        let Some(engine) = fixture.replica(n) else { continue };
        let (subject, token) = (format!("agent/agent-{agent}"), fixture.scanner_token.clone());
        fixture.runs(n, async move {
            drop(engine.put_posture(Some(&token), SCANNER, &subject, &finding).await);
        });
    }
}
