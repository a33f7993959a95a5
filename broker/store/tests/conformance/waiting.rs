//! Grants that wait for approval: listed, kept alive by heartbeats, marked, counted, and changed by one driver at a time.

use std::num::NonZeroU32;

use domain::grant::{Transition, Waiting};
use domain::{Approval, ApprovalSubject, EndCause, Grant, Lease, State, Step, Vote};
use protocol::{EnforcedBy, GrantId, GrantStatus};
use store::{Created, Due, GrantRecord, HeartbeatOutcome, Listing, Only, Precondition, SaveOutcome, Store};

use super::deciding::context;
use super::fixtures::{
    agent_id, at, created, done, grant_id, is_new, key, lease, registered, request, rules_changed, session,
};

/// Waits from 1000 s to 4600 s.
fn asked(number: u64) -> Transition {
    let subject = ApprovalSubject { digest: "d".repeat(64), parts: [].into() };
    let (rules, hints) = (vec!["two".to_owned()], vec!["ask \"us\"\0".to_owned()]);
    let started_by = ["octocat".to_owned()].into();
    let approval = Approval { subject, quorum: 2, rules, hints, started_by, votes: Vec::new() };
    Grant::waiting(request("orders", number), at(1000), approval, at(4600))
}

async fn waiting(store: &dyn Store, number: u64, lease: Option<Lease>) -> GrantRecord {
    is_new(store.create_grant(&asked(number), lease, None, None, None).await.unwrap())
}

fn vote(record: &GrantRecord, subject: &str, collect_until: Option<i64>) -> Transition {
    let vote = Vote { session: session(subject), at: at(1100), standing: None };
    record.grant.clone().vote(vote, Some("ticket"), collect_until.map(at)).unwrap()
}

async fn listed(store: &dyn Store) -> Vec<GrantId> {
    let listing = Listing { only: Some(Only::Waiting), limit: 10, ..Listing::default() };
    store.list(&listing).await.unwrap().into_iter().map(|record| record.grant.id).collect()
}

pub(crate) async fn a_waiting_grant_is_listed_until_it_is_collected_or_ends(store: &dyn Store) {
    created(store, "orders", 1, None).await;
    let (second, third) = (waiting(store, 2, None).await, waiting(store, 3, None).await);
    assert_eq!(listed(store).await, [grant_id(3), grant_id(2)]);
    let voted = done(store, &second, &vote(&second, "alice", None)).await;
    let approved = done(store, &voted, &vote(&voted, "bob", Some(1400))).await;
    assert_eq!(listed(store).await.len(), 2, "an approved grant waits for its run");
    let stored = store.grant(&grant_id(2)).await.unwrap().unwrap();
    assert_eq!(stored.grant, approved.grant);
    let waits = State::Waiting(Waiting { approved_at: Some(at(1100)), until: at(1400) });
    assert_eq!(stored.grant.state, waits);
    let steps = vec![Step {
        action: "attach".to_owned(),
        object: "shared-object".to_owned(),
        data: domain::StepData::default(),
        shared: true,
    }];
    let collect = approved.grant.clone().collect(at(1200), EnforcedBy::Cloud, steps, at(1230)).unwrap();
    let collected = done(store, &approved, &collect).await;
    assert_eq!(collected.grant.expires_at, at(1200 + 900));
    assert_eq!(store.other_references("shared-object", &grant_id(9)).await.unwrap(), 1);
    assert_eq!(listed(store).await, [grant_id(3)]);
    done(store, &third, &third.grant.clone().end(at(1300), EndCause::NotApproved).unwrap()).await;
    assert!(listed(store).await.is_empty());
    let counts = store.count_by_status().await.unwrap();
    assert_eq!(counts.get(&GrantStatus::PendingApproval), None);
    assert_eq!(counts.get(&GrantStatus::Denied), Some(&1));
    store.purge(at(1300).plus(store::DENIALS_KEPT_FOR), super::fixtures::KEPT).await.unwrap();
    assert!(store.grant(&grant_id(3)).await.unwrap().is_some(), "what persons decided is kept");
}

pub(crate) async fn a_waiting_grant_lives_by_heartbeats_until_its_wait_is_over(store: &dyn Store) {
    waiting(store, 1, Some(lease(1000))).await;
    waiting(store, 2, None).await;
    let due = |now| Due { now: at(now), ready_since: at(0), claimed_until: at(now + 1), limit: 10 };
    assert!(store.claim_due(due(1029)).await.unwrap().is_empty());
    let beat = store.heartbeat(&grant_id(1), &agent_id("orders"), &key(1), at(1029)).await.unwrap();
    assert!(matches!(beat, HeartbeatOutcome::Recorded(_)), "{beat:?}");
    assert!(store.claim_due(due(1058)).await.unwrap().is_empty());
    let silent = store.claim_due(due(1059)).await.unwrap();
    assert_eq!(silent.iter().map(|record| &record.grant.id).collect::<Vec<_>>(), [&grant_id(1)]);
    done(store, &silent[0], &silent[0].grant.clone().end(at(1059), EndCause::LeaseLost).unwrap()).await;
    let beat = store.heartbeat(&grant_id(1), &agent_id("orders"), &key(1), at(1060)).await.unwrap();
    assert!(matches!(beat, HeartbeatOutcome::Ended(_)), "{beat:?}");
    assert!(store.claim_due(due(4599)).await.unwrap().is_empty());
    let over = store.claim_due(due(4600)).await.unwrap();
    assert_eq!(over.iter().map(|record| &record.grant.id).collect::<Vec<_>>(), [&grant_id(2)]);
}

pub(crate) async fn a_waiting_grant_counts_for_its_run_and_is_marked(store: &dyn Store) {
    registered(store, "orders", "t1", 10).await;
    let record = waiting(store, 1, None).await;
    assert_eq!(context(store, "orders", None, &[]).await.run.agent_live, 1);
    let one = NonZeroU32::new(1);
    let second = store.create_grant(&asked(2), None, None, one, None).await.unwrap();
    assert!(matches!(second, Created::TooManyActive), "{second:?}");
    rules_changed(store, 0, 1003).await;
    let due = Due { now: at(1003), ready_since: at(0), claimed_until: at(1063), limit: 10 };
    let marked = store.claim_due(due).await.unwrap();
    let mark = marked[0].reevaluation.unwrap().mark;
    assert!(store.reevaluated(&marked[0], mark, None, None).await.unwrap());
    assert!(store.claim_due(Due { now: at(1004), ..due }).await.unwrap().is_empty());
    assert_ne!(marked[0].version, record.version);
}

pub(crate) async fn of_two_votes_at_once_one_has_to_be_repeated(store: &dyn Store) {
    let record = waiting(store, 1, None).await;
    let (first, second) = (vote(&record, "alice", None), vote(&record, "bob", None));
    let saved = futures_util::future::join(
        store.save(&record, &first, Precondition::Version, None),
        store.save(&record, &second, Precondition::Version, None),
    );
    let (first, second) = saved.await;
    let done = [first.unwrap(), second.unwrap()]
        .iter()
        .filter(|outcome| matches!(outcome, SaveOutcome::Done(_)))
        .count();
    assert_eq!(done, 1);
    let stored = store.grant(&grant_id(1)).await.unwrap().unwrap();
    assert_eq!(stored.grant.approval.unwrap().votes.len(), 1);
    assert_eq!(store.events(&grant_id(1)).await.unwrap().len(), 3);
}
