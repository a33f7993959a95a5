//! What the health of a broker says of grants that did not end, and of the last comparison with the targets.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use engine::{Engine, NamedToken, OperatorTokens, Revocable, Settings, UnknownGrants, hash_of};
use protocol::health::Health;
use protocol::{GrantStatus, RevokeCause, Secret};

use crate::approvals;
use crate::fixture::{Fixture, Gate, operator};

async fn health(broker: &Engine) -> Health {
    let operators = vec![NamedToken { name: "ops".parse().unwrap(), hash: hash_of("token") }];
    let operators = OperatorTokens { operators, introspectors: Vec::new() };
    broker.reconfigure(Settings::default(), operators, Vec::new());
    broker.health(Some(&Secret::new("token")), false, 0).await.unwrap()
}

#[tokio::test]
async fn a_grant_whose_revoke_fails_is_stuck_until_it_is_gone() {
    let fixture = Fixture::new().await;
    let broker = fixture.broker(Gate::open()).await;
    let grant = broker.elevate(fixture.elevation(1)).await.unwrap().grant;
    let active = health(&broker).await;
    assert!(active.stuck.is_empty() && active.grants["active"] == 1, "{active:?}");
    fixture.cloud.revert_failures_left.store(60, Ordering::SeqCst);
    broker.revoke(&operator(), &Revocable::Id(grant.id.clone()), RevokeCause::Asked).await.unwrap();
    let mut was_stuck = false;
    for _ in 0..100 {
        fixture.pass_time(60);
        fixture.settle(&broker).await;
        let stuck = health(&broker).await.stuck;
        was_stuck |=
            stuck.iter().any(|found| found.id == grant.id && found.status == GrantStatus::RevokeFailing);
    }
    assert!(was_stuck);
    assert!(health(&broker).await.stuck.is_empty());
}

#[tokio::test]
async fn a_grant_that_outlives_its_deadline_is_stuck() {
    let fixture = Fixture::new().await;
    let broker = fixture.broker(Gate::open()).await;
    let grant = broker.elevate(fixture.elevation(1)).await.unwrap().grant;
    // No worker drives it to its end.
    fixture.pass_time(24 * 60 * 60);
    let stuck = health(&broker).await.stuck;
    assert_eq!(stuck.iter().map(|found| &found.id).collect::<Vec<_>>(), [&grant.id]);
    assert!(health(&broker).await.not_ready.is_some(), "no worker runs");
}

#[tokio::test]
async fn a_request_that_waits_is_not_stuck() {
    let fixture = Fixture::new().await;
    let broker = approvals::broker_with(&fixture, approvals::ONE).await;
    let waiting = approvals::asked(&fixture, &broker).await;
    fixture.pass_time(30 * 60);
    assert!(waiting.expires_at < broker.now());
    assert_eq!(health(&broker).await.stuck.len(), 0);
}

#[tokio::test]
async fn the_last_comparison_is_remembered() {
    let fixture = Fixture::new().await;
    let broker = Arc::new(fixture.broker(Gate::open()).await);
    assert_eq!(health(&broker).await.reconciled, None);
    let found = broker.reconcile(UnknownGrants::Report).await.unwrap();
    let last = health(&broker).await.reconciled.unwrap();
    assert_eq!((last.found, last.at), (found, broker.now()));
}
