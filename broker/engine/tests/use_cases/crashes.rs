//! The broker dies at every boundary of every use case; another broker starts on the same store and leaves nothing.
//!
//! The boundaries are not listed: in each run the broker dies one boundary later than in the run before, until a run
//! completes. The tests cover a new step or transaction without a change.

use protocol::{ErrorCode, GrantStatus, IdempotencyKey, RevokeCause};

use crate::fixture::{Fixture, Gate};

/// Longer than every claim and every lease.
const A_WHILE: i64 = 61;

/// The client's next request after the restart.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Client {
    IsGone,
    Retries,
    GivesBackByKey,
}

#[tokio::test]
async fn a_crash_anywhere_in_elevate_leaves_nothing() {
    for client in [Client::IsGone, Client::Retries, Client::GivesBackByKey] {
        let mut boundary = 1;
        loop {
            let context = format!("elevate, boundary {boundary}, client {client:?}");
            let fixture = Fixture::new().await;
            let gate = Gate::dying_at(boundary);
            let dying = fixture.broker(gate.clone()).await;
            if gate.run(dying.elevate(fixture.elevation(1))).await.is_some() {
                break;
            }
            let broker = fixture.broker(Gate::open()).await;
            match client {
                Client::IsGone => {}
                Client::Retries => {
                    let grant = broker.elevate(fixture.elevation(1)).await.expect(&context).grant;
                    assert_eq!((grant.status, fixture.objects()), (GrantStatus::Active, 3), "{context}");
                    assert_eq!(fixture.grants().await.len(), 1, "{context}: a retry joins");
                }
                Client::GivesBackByKey => {
                    let caller = broker.caller(Some(&fixture.auth_token)).await.unwrap();
                    let key = engine::Revocable::Key(IdempotencyKey::from_random([1; 16]));
                    match broker.revoke(&caller, &key, RevokeCause::Asked).await {
                        // Not final while the first driver might only be slow.
                        Ok(grant) => assert!(
                            grant.status.is_final() || grant.status == GrantStatus::RollingBack,
                            "{context}: {:?}",
                            grant.status
                        ),
                        Err(refusal) => assert_eq!(refusal.code, ErrorCode::GrantNotFound, "{context}"),
                    }
                    assert_eq!(fixture.objects(), 0, "{context}: the revoke removes every object");
                    let late = broker.elevate(fixture.elevation(1)).await.unwrap_err();
                    assert_eq!(late.code, ErrorCode::GrantEnded, "{context}: the late elevation is refused");
                }
            }
            fixture.pass_time(A_WHILE);
            fixture.settle(&broker).await;
            fixture.assert_nothing_left(&context).await;
            boundary += 1;
        }
        assert!(boundary > 10, "only {boundary} boundaries were found in elevate");
    }
}

#[tokio::test]
async fn a_crash_anywhere_in_revoke_leaves_nothing() {
    for settles in [false, true] {
        for client in [Client::IsGone, Client::Retries] {
            let mut boundary = 1;
            loop {
                let context = format!("revoke, boundary {boundary}, client {client:?}, settles {settles}");
                let fixture = Fixture::new().await;
                *fixture.cloud.settles.lock().unwrap() = settles;
                let id =
                    fixture.broker(Gate::open()).await.elevate(fixture.elevation(1)).await.unwrap().grant.id;
                let gate = Gate::dying_at(boundary);
                let dying = fixture.broker(gate.clone()).await;
                let caller = dying.caller(Some(&fixture.auth_token)).await.unwrap();
                let what = engine::Revocable::Id(id.clone());
                if gate.run(dying.revoke(&caller, &what, RevokeCause::StepExited(0))).await.is_some() {
                    break;
                }
                let broker = fixture.broker(Gate::open()).await;
                if client == Client::Retries {
                    let grant = broker.revoke(&caller, &what, RevokeCause::StepExited(0)).await.unwrap();
                    assert_ne!(grant.status, GrantStatus::Active, "{context}");
                    assert_eq!(fixture.objects(), 0, "{context}");
                }
                for _ in 0..2 {
                    fixture.pass_time(A_WHILE);
                    fixture.settle(&broker).await;
                }
                fixture.assert_nothing_left(&context).await;
                boundary += 1;
            }
            assert!(boundary > 8, "only {boundary} boundaries were found in revoke");
        }
    }
}

#[tokio::test]
async fn a_crash_anywhere_in_the_worker_leaves_nothing() {
    let mut boundary = 1;
    loop {
        let context = format!("sweep, boundary {boundary}");
        let fixture = Fixture::new().await;
        for key in 1..=2 {
            fixture.broker(Gate::open()).await.elevate(fixture.elevation(key)).await.unwrap();
        }
        let gate = Gate::dying_at(boundary);
        let dying = fixture.broker(gate.clone()).await;
        // Past every lease; this broker could record heartbeats all the time.
        fixture.pass_time(A_WHILE);
        if gate.run(dying.drive_due()).await.is_some() {
            break;
        }
        drop(dying);
        let broker = fixture.broker(Gate::open()).await;
        // The next broker restarts every lease, and waits until claims lapse.
        fixture.pass_time(A_WHILE);
        fixture.settle(&broker).await;
        fixture.assert_nothing_left(&context).await;
        boundary += 1;
    }
    assert!(boundary > 10, "only {boundary} boundaries were found in a sweep");
}

#[tokio::test]
async fn half_applied_grant_is_rolled_back_even_if_the_broker_crashes() {
    let mut boundary = 1;
    loop {
        let context = format!("failing apply, boundary {boundary}");
        let fixture = Fixture::new().await;
        *fixture.cloud.fail_apply_of.lock().unwrap() = Some("make-binding".to_owned());
        let gate = Gate::dying_at(boundary);
        let dying = fixture.broker(gate.clone()).await;
        if let Some(result) = gate.run(dying.elevate(fixture.elevation(1))).await {
            assert_eq!(result.unwrap_err().code, ErrorCode::TargetFailed);
            fixture.assert_nothing_left(&context).await;
            break;
        }
        let broker = fixture.broker(Gate::open()).await;
        fixture.pass_time(A_WHILE);
        fixture.settle(&broker).await;
        fixture.assert_nothing_left(&context).await;
        boundary += 1;
    }
    assert!(boundary > 12, "only {boundary} boundaries were found");
}

/// A target that changes nothing outside the broker: each use case is one transaction, so a crash is before or after it.
#[tokio::test]
async fn a_grant_without_outside_changes_begins_and_ends_in_one_transaction_each() {
    let inside = async || {
        let fixture = Fixture::new().await;
        *fixture.cloud.inside.lock().unwrap() = true;
        fixture
    };
    let mut boundary = 1;
    loop {
        let fixture = inside().await;
        let gate = Gate::dying_at(boundary);
        let dying = fixture.broker(gate.clone()).await;
        if gate.run(dying.elevate(fixture.elevation(1))).await.is_some() {
            break;
        }
        let there: Vec<GrantStatus> =
            fixture.grants().await.iter().map(|stored| stored.grant.status()).collect();
        assert!(there.is_empty() || there == [GrantStatus::Active], "boundary {boundary}: {there:?}");
        let broker = fixture.broker(Gate::open()).await;
        let grant = broker.elevate(fixture.elevation(1)).await.unwrap().grant;
        assert_eq!(
            (grant.status, fixture.grants().await.len()),
            (GrantStatus::Active, 1),
            "boundary {boundary}"
        );
        fixture.pass_time(A_WHILE);
        fixture.settle(&broker).await;
        fixture.assert_nothing_left(&format!("elevate, boundary {boundary}")).await;
        boundary += 1;
    }
    assert_eq!(boundary, 4, "before the transaction, after it, and before the answer");

    boundary = 1;
    loop {
        let fixture = inside().await;
        let id = fixture.broker(Gate::open()).await.elevate(fixture.elevation(1)).await.unwrap().grant.id;
        let gate = Gate::dying_at(boundary);
        let dying = fixture.broker(gate.clone()).await;
        let caller = dying.caller(Some(&fixture.auth_token)).await.unwrap();
        let what = engine::Revocable::Id(id.clone());
        if gate.run(dying.revoke(&caller, &what, RevokeCause::StepExited(0))).await.is_some() {
            break;
        }
        let broker = fixture.broker(Gate::open()).await;
        let revoked = broker.revoke(&caller, &what, RevokeCause::StepExited(0)).await.unwrap();
        assert_eq!(revoked.status, GrantStatus::Revoked, "boundary {boundary}");
        fixture.assert_nothing_left(&format!("revoke, boundary {boundary}")).await;
        boundary += 1;
    }
    assert_eq!(boundary, 3, "before the transaction and after it");
}
