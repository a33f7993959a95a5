//! A grant is created with its decision, if what the decision was made from still holds.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use domain::facts::RunFacts;
use domain::grant::Request;
use domain::{AgentStatus, Decision, DecisionKind};
use futures_util::future::{join, join_all};
use store::{
    ContextRequest, Created, DecisionContext, DecisionFilter, DeniedRequest, NewDecision, PostureStatement,
    Store,
};

use super::fixtures::{
    KEPT, accepted, active, agent_id, at, created, decision, denied, end, grant_id, key, once, registered,
    request, rules_changed, statement,
};

/// The context of a request at 1000 s.
pub(crate) async fn context(
    store: &dyn Store,
    agent: &str,
    run: Option<&str>,
    subjects: &[&str],
) -> DecisionContext {
    let subjects: Vec<String> = subjects.iter().map(|subject| (*subject).to_owned()).collect();
    let agent = agent_id(agent);
    let request = ContextRequest { agent: &agent, run, subjects: &subjects, except: None, now: at(1000) };
    store.decision_context(request).await.unwrap()
}

fn new<'a>(decision: &'a Decision, context: &'a DecisionContext) -> NewDecision<'a> {
    NewDecision { decision, context, reevaluate_at: None, check_run: true, check_posture: true }
}

async fn create(store: &dyn Store, request: Request, new: &NewDecision<'_>) -> Created {
    store.create_grant(&accepted(request), None, Some(&once("t")), None, Some(new)).await.unwrap()
}

fn of_run(agent: &str, number: u64, run: &str) -> Request {
    Request { run: (!run.is_empty()).then(|| run.to_owned()), ..request(agent, number) }
}

/// A request with this number gets a grant by a decision that depends on everything.
pub(crate) async fn a_grant_is_decided(store: &dyn Store, agent: &str, number: u64) {
    let context = context(store, agent, None, &["agent/orders"]).await;
    let decision = decision(DecisionKind::Elevate, agent, 1000);
    let wanted = accepted(request(agent, number));
    let made = store.create_grant(&wanted, None, None, None, Some(&new(&decision, &context))).await.unwrap();
    assert!(matches!(made, Created::New(_)), "{made:?}");
}

pub(crate) async fn a_decision_is_stored_with_its_grant(store: &dyn Store) {
    registered(store, "orders", "t1", 10).await;
    let context = context(store, "orders", None, &["agent/orders"]).await;
    let decision = decision(DecisionKind::Elevate, "orders", 1000);
    let new = NewDecision { reevaluate_at: Some(at(1500)), ..new(&decision, &context) };
    let Created::New(made) = create(store, request("orders", 1), &new).await else { panic!("no grant") };
    assert_eq!(made.reevaluation.unwrap().at, at(1500));
    let read = store.grant(&grant_id(1)).await.unwrap().unwrap();
    assert_eq!(read.reevaluation, made.reevaluation);

    let again = Request { id: grant_id(9), ..request("orders", 1) };
    assert!(matches!(create(store, again, &new).await, Created::Joined(_)));
    let stored = store.decisions_of(&grant_id(1)).await.unwrap();
    assert_eq!(stored.len(), 1, "a request that joins has no decision of its own");
    assert_eq!((&stored[0].decision, &stored[0].grant), (&decision, &Some(grant_id(1))));
    assert_eq!(stored[0].facts_digest, audit::facts_digest(&decision.facts));
    assert_eq!(store.decisions_after(0, DecisionFilter::default(), 10).await.unwrap(), stored);
    a_grant_is_decided(store, "orders", 2).await;
    assert_eq!(store.decisions_of(&grant_id(2)).await.unwrap().len(), 1);
}

pub(crate) async fn other_rules_refuse_a_decision(store: &dyn Store) {
    let before = context(store, "orders", None, &[]).await;
    rules_changed(store, 0, 990).await;
    let decision = decision(DecisionKind::Elevate, "orders", 1000);
    let refused = create(store, request("orders", 1), &new(&decision, &before)).await;
    assert!(matches!(refused, Created::ContextChanged), "{refused:?}");
    assert!(store.grant(&grant_id(1)).await.unwrap().is_none());
    assert!(store.decisions_after(0, DecisionFilter::default(), 10).await.unwrap().is_empty());

    let now = context(store, "orders", None, &[]).await;
    assert_eq!((before.rules_version, now.rules_version), (0, 1));
    // The token was not consumed.
    assert!(matches!(create(store, request("orders", 2), &new(&decision, &now)).await, Created::New(_)));
}

pub(crate) async fn another_registration_refuses_a_decision(store: &dyn Store) {
    let unknown = context(store, "orders", None, &[]).await;
    assert_eq!(unknown.agent_revision, None);
    registered(store, "orders", "t1", 10).await;
    let decision = decision(DecisionKind::Elevate, "orders", 1000);
    let refused = create(store, request("orders", 1), &new(&decision, &unknown)).await;
    assert!(matches!(refused, Created::ContextChanged), "{refused:?}");

    let before = context(store, "orders", None, &[]).await;
    let agent = store.agent(&agent_id("orders")).await.unwrap().unwrap();
    assert_eq!(before.agent_revision, Some(agent.revision));
    for status in [AgentStatus::Disabled, AgentStatus::Active] {
        store.set_agent_status(&agent_id("orders"), status, at(20)).await.unwrap();
    }
    let refused = create(store, request("orders", 1), &new(&decision, &before)).await;
    assert!(matches!(refused, Created::ContextChanged), "{refused:?}");
}

pub(crate) async fn grants_are_counted_by_run_and_hour(store: &dyn Store) {
    registered(store, "orders", "t1", 10).await;
    let none = RunFacts::default();
    assert_eq!(context(store, "orders", Some("a"), &[]).await.run, none);
    // Requested at 1000 s, which is the last hour until 4600 s.
    for (number, run) in [(1, "a"), (2, "b"), (3, "")] {
        let made = store.create_grant(&accepted(of_run("orders", number, run)), None, None, None, None).await;
        assert!(matches!(made, Ok(Created::New(_))));
    }
    end(store, &active(store, "orders", 4, None).await).await;
    super::fixtures::refused(store, "orders", 5).await;
    created(store, "stock", 6, None).await;

    let run_a = RunFacts { live: 2, last_hour: 3, agent_live: 3, agent_last_hour: 4 };
    assert_eq!(context(store, "orders", Some("a"), &[]).await.run, run_a);
    let unknown = RunFacts { live: 3, last_hour: 4, agent_live: 3, agent_last_hour: 4 };
    assert_eq!(context(store, "orders", None, &[]).await.run, unknown);

    let (orders, first) = (agent_id("orders"), grant_id(1));
    let request =
        ContextRequest { agent: &orders, run: Some("a"), subjects: &[], except: Some(&first), now: at(1000) };
    let others = store.decision_context(request).await.unwrap().run;
    assert_eq!(others, RunFacts { live: 1, last_hour: 2, agent_live: 2, agent_last_hour: 3 });
    let later = ContextRequest { except: None, now: at(4600), ..request };
    let later = store.decision_context(later).await.unwrap().run;
    assert_eq!(later, RunFacts { last_hour: 0, agent_last_hour: 0, ..run_a });
}

pub(crate) async fn grants_are_counted_up_to_a_limit(store: &dyn Store) {
    for from in (0..260).step_by(20) {
        join_all((from..from + 20).map(|number| created(store, "orders", number, None))).await;
    }
    let all = domain::facts::COUNTED;
    let capped = RunFacts { live: all, last_hour: all, agent_live: all, agent_last_hour: all };
    assert_eq!(context(store, "orders", Some("a"), &[]).await.run, capped);
}

pub(crate) async fn other_counts_refuse_a_decision_that_depends_on_them(store: &dyn Store) {
    registered(store, "orders", "t1", 10).await;
    let decision = decision(DecisionKind::Elevate, "orders", 1000);
    for (round, run) in [(0, "a"), (1, "")] {
        let before = context(store, "orders", Some(run).filter(|run| !run.is_empty()), &[]).await;
        created(store, "orders", 10 * round, None).await;
        let wanted = of_run("orders", 10 * round + 1, run);
        let refused = create(store, wanted.clone(), &new(&decision, &before)).await;
        assert!(matches!(refused, Created::ContextChanged), "{refused:?}");
        let free = NewDecision { check_run: false, ..new(&decision, &before) };
        let made = store.create_grant(&accepted(wanted), None, None, None, Some(&free)).await.unwrap();
        assert!(matches!(made, Created::New(_)), "{made:?}");
    }
}

/// Revokes that arrive beside an elevation do not make it be decided again and again.
pub(crate) async fn a_grant_that_ended_since_refuses_no_decision(store: &dyn Store) {
    registered(store, "orders", "t1", 10).await;
    let earlier = active(store, "orders", 1, None).await;
    let decision = decision(DecisionKind::Elevate, "orders", 1000);
    let before = context(store, "orders", Some("a"), &[]).await;
    assert_eq!(before.run.live, 1);
    end(store, &earlier).await;
    let made = create(store, of_run("orders", 2, "a"), &new(&decision, &before)).await;
    assert!(matches!(made, Created::New(_)), "{made:?}");
}

pub(crate) async fn other_posture_refuses_a_decision_that_depends_on_it(store: &dyn Store) {
    let subjects = ["agent/orders", "repository/octo-org/app"];
    let decision = decision(DecisionKind::Elevate, "orders", 1000);
    let before = context(store, "orders", None, &subjects).await;
    store.put_posture(&statement("edr", "repository/other", true, 900), at(1000)).await.unwrap();
    assert!(matches!(create(store, request("orders", 1), &new(&decision, &before)).await, Created::New(_)));

    let before = context(store, "orders", None, &subjects).await;
    assert!(before.posture.is_empty());
    store.put_posture(&statement("edr", "repository/octo-org/app", true, 900), at(1000)).await.unwrap();
    let with_posture = NewDecision { check_run: false, ..new(&decision, &before) };
    let wanted = accepted(request("orders", 2));
    let refused = store.create_grant(&wanted, None, None, None, Some(&with_posture)).await.unwrap();
    assert!(matches!(refused, Created::ContextChanged), "{refused:?}");
    let free = NewDecision { check_posture: false, ..with_posture };
    let made = store.create_grant(&wanted, None, None, None, Some(&free)).await.unwrap();
    assert!(matches!(made, Created::New(_)), "{made:?}");

    let now = context(store, "orders", None, &subjects).await;
    assert!(now.posture_seq > before.posture_seq);
    assert_eq!(now.posture.len(), 1);
    assert_eq!(now.posture[0].statement, statement("edr", "repository/octo-org/app", true, 900));
}

pub(crate) async fn other_refusals_come_before_a_changed_context(store: &dyn Store) {
    registered(store, "orders", "t1", 10).await;
    let before = context(store, "orders", Some("a"), &[]).await;
    created(store, "orders", 1, None).await;
    rules_changed(store, 0, 990).await;
    let decision = decision(DecisionKind::Elevate, "orders", 1000);
    let new = new(&decision, &before);
    assert!(matches!(create(store, request("orders", 1), &new).await, Created::Joined(_)));
    let one = NonZeroU32::new(1);
    let wanted = accepted(of_run("orders", 2, "a"));
    let refused = store.create_grant(&wanted, None, None, one, Some(&new)).await.unwrap();
    assert!(matches!(refused, Created::TooManyActive), "{refused:?}");
    store.revoke_key(&agent_id("orders"), &key(3), at(2000)).await.unwrap();
    assert!(matches!(create(store, request("orders", 3), &new).await, Created::KeyRevoked));
}

/// Four grants are created at the same time as a change of what they were decided from. Each is marked, or refused.
async fn none_slips_past<T>(
    store: &dyn Store,
    round: u64,
    subjects: &[&str],
    change: impl Future<Output = T>,
) -> T {
    let decision = decision(DecisionKind::Elevate, "orders", 1000);
    let before = context(store, "orders", None, subjects).await;
    let new = NewDecision { check_run: false, ..new(&decision, &before) };
    let wanted: Vec<_> = (0..4).map(|n| accepted(request("orders", 10 * round + n))).collect();
    let create = join_all(wanted.iter().map(|one| store.create_grant(one, None, None, None, Some(&new))));
    let (created, changed) = join(create, change).await;
    for created in created {
        let created = created.unwrap();
        if matches!(created, Created::ContextChanged) {
            continue;
        }
        let Created::New(created) = created else { panic!("{created:?}") };
        let now = store.grant(&created.grant.id).await.unwrap().unwrap();
        assert!(now.reevaluation.is_some(), "{round}: decided before the change, and not marked");
    }
    changed
}

pub(crate) async fn no_grant_slips_past_a_change_of_the_rules(store: &dyn Store) {
    registered(store, "orders", "t1", 10).await;
    for round in 0..20 {
        let version = i64::try_from(round).unwrap();
        none_slips_past(store, round, &[], rules_changed(store, version, 1000)).await;
    }
}

pub(crate) async fn no_grant_slips_past_a_statement_about_its_subject(store: &dyn Store) {
    registered(store, "orders", "t1", 10).await;
    for round in 0..20 {
        let as_of = 100 + i64::try_from(round).unwrap();
        let statement =
            PostureStatement { ok: round % 2 == 0, ..statement("edr", "agent/orders", true, as_of) };
        let put = store.put_posture(&statement, at(1000));
        let stored = none_slips_past(store, round, &["agent/orders", "run/7"], put).await;
        assert_eq!(stored.unwrap(), protocol::posture::PostureOutcome::Changed);
    }
}

pub(crate) async fn no_grant_slips_past_a_new_registration(store: &dyn Store) {
    registered(store, "orders", "t1", 10).await;
    for round in 0..20 {
        let source = super::fixtures::toml("orders", &format!("round {round}"));
        let token = super::fixtures::token("orders", "t1", 10);
        let apply = super::fixtures::apply(store, &source, store::ApplyMode::Replace, &token, 1000);
        none_slips_past(store, round, &[], apply).await;
    }
}

pub(crate) async fn one_of_two_decisions_from_the_same_counts_holds(store: &dyn Store) {
    registered(store, "orders", "t1", 10).await;
    for round in 0..20 {
        let decision = decision(DecisionKind::Elevate, "orders", 1000);
        let before = context(store, "orders", Some("a"), &[]).await;
        let new = new(&decision, &before);
        let wanted: Vec<_> = (0..4).map(|n| accepted(of_run("orders", 10 * round + n, "a"))).collect();
        let created =
            join_all(wanted.iter().map(|one| store.create_grant(one, None, None, None, Some(&new)))).await;
        let made = created.into_iter().filter(|one| matches!(one, Ok(Created::New(_)))).count();
        assert_eq!(made, 1, "{round}");
    }
}

pub(crate) async fn a_denial_has_the_decision_of_its_first_request(store: &dyn Store) {
    let deny = async |id, decision: &Decision| {
        let mut transition = denied("orders", 1, 1000);
        transition.grant.id = grant_id(id);
        let denying =
            DeniedRequest { transition: &transition, key: &key(id), replay: None, decision: Some(decision) };
        store.record_denied(denying).await.unwrap()
    };
    let first = decision(DecisionKind::Elevate, "orders", 1000);
    deny(1, &first).await;
    deny(2, &decision(DecisionKind::Elevate, "orders", 1001)).await;
    let stored = store.decisions_after(0, DecisionFilter::default(), 10).await.unwrap();
    assert_eq!(stored.len(), 1);
    assert_eq!((&stored[0].decision, &stored[0].grant), (&first, &Some(grant_id(1))));
    assert_eq!(store.decisions_of(&grant_id(1)).await.unwrap(), stored);

    created(store, "orders", 5, None).await;
    store.purge(at(1000).plus(store::DENIALS_KEPT_FOR), 10 * KEPT).await.unwrap();
    let left = store.decisions_after(0, DecisionFilter::default(), 10).await.unwrap();
    assert_eq!((left.len(), &left[0].grant), (1, &None), "the decision outlives the record of the request");
    created(store, "orders", 6, None).await;
    assert!(store.decisions_of(&grant_id(6)).await.unwrap().is_empty());
}

/// A change that fails in the middle leaves nothing behind.
pub(crate) async fn a_failing_grant_leaves_no_decision(store: &dyn Store) {
    let taken = created(store, "orders", 0, None).await.grant.id;
    let context = context(store, "orders", None, &[]).await;
    let decision = decision(DecisionKind::Elevate, "orders", 1000);
    let new = NewDecision { check_run: false, ..new(&decision, &context) };
    let results = join_all((1..30).map(async |number| {
        let mut wanted = request("orders", number);
        if number % 3 == 0 {
            wanted.id = taken.clone();
        }
        (number, store.create_grant(&accepted(wanted), None, None, None, Some(&new)).await.is_ok())
    }))
    .await;
    let made: BTreeMap<_, _> = results.into_iter().collect();
    assert!(made.iter().all(|(number, made)| *made == (number % 3 != 0)), "{made:?}");
    let stored = store.decisions_after(0, DecisionFilter::default(), 100).await.unwrap();
    assert_eq!(stored.len(), 20);
    assert!(store.decisions_of(&taken).await.unwrap().is_empty());
}
