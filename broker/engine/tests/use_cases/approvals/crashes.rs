//! The broker dies at every boundary of request, vote and collection; another one starts on the same store.

use super::*;

/// Longer than every claim and every lease.
const A_WHILE: i64 = 61;

#[tokio::test]
async fn a_crash_anywhere_loses_no_approval_and_gives_no_grant_without_one() {
    for part in ["request", "vote", "collect"] {
        let mut boundary = 1;
        loop {
            let context = format!("{part}, boundary {boundary}");
            let fixture = Fixture::new().await;
            let first = broker_with(&fixture, ONE).await;
            let alice = signed_in(&fixture, &first, "alice", "payments").await;
            if part != "request" {
                let grant = asked(&fixture, &first).await;
                if part == "collect" {
                    approve(&first, &alice, &grant).await.unwrap();
                }
            }
            let gate = Gate::dying_at(boundary);
            let dying = broker(&fixture, gate.clone()).await;
            let done = match part {
                "vote" => {
                    let grant = broker_state(&fixture, &first).await;
                    gate.run(approve(&dying, &alice, &grant)).await.is_some()
                }
                _ => gate.run(dying.elevate(elevation(&fixture, 1))).await.is_some(),
            };
            if done {
                break;
            }
            drop(dying);
            let after = broker(&fixture, Gate::open()).await;
            fixture.settle(&after).await;
            let grant = after.elevate(elevation(&fixture, 1)).await.expect(&context).grant;
            if part == "request" {
                assert_eq!(grant.status, GrantStatus::PendingApproval, "{context}: no person has voted");
            }
            if grant.status == GrantStatus::PendingApproval {
                assert_ne!(part, "collect", "{context}: the approval is lost");
                assert_eq!(fixture.objects(), 0, "{context}");
                approve(&after, &alice, &grant).await.expect(&context);
            }
            let active = after.elevate(elevation(&fixture, 1)).await.expect(&context).grant;
            assert_eq!((active.status, fixture.objects()), (GrantStatus::Active, 3), "{context}");
            assert_eq!(approval(&active).approved_by.len(), 1, "{context}: the vote counts once");
            assert_eq!(fixture.grants().await.len(), 1, "{context}: a retry joins");
            events(&after, &active.id).await;
            fixture.pass_time(15 * 60 + A_WHILE);
            fixture.settle(&after).await;
            fixture.pass_time(A_WHILE);
            fixture.settle(&after).await;
            fixture.assert_nothing_left(&context).await;
            boundary += 1;
        }
        assert!(boundary > 2, "only {boundary} boundaries were found in {part}");
    }
}

async fn broker_state(fixture: &Fixture, broker: &Engine) -> Grant {
    let id = fixture.grants().await[0].grant.id.clone();
    state(broker, &id).await
}

#[tokio::test]
async fn the_worker_goes_on_with_an_approved_grant_whose_broker_died() {
    let mut activated_by_worker = 0;
    for boundary in 1.. {
        let context = format!("collect, boundary {boundary}");
        let fixture = Fixture::new().await;
        let first = broker_with(&fixture, ONE).await;
        let grant = first.elevate(fixture.elevation(1)).await.unwrap().grant;
        let alice = signed_in(&fixture, &first, "alice", "payments").await;
        approve(&first, &alice, &grant).await.unwrap();
        let gate = Gate::dying_at(boundary);
        let dying = broker(&fixture, gate.clone()).await;
        if gate.run(dying.elevate(fixture.elevation(1))).await.is_some() {
            break;
        }
        drop(dying);
        let after = broker(&fixture, Gate::open()).await;
        // The client's last heartbeat is within its lease, and the claim of the dead broker has ended.
        for _ in 0..4 {
            fixture.pass_time(10);
            let key = &fixture.elevation(1).key;
            let _ = after.heartbeat(Some(&fixture.auth_token), &grant.id, key).await;
            fixture.settle(&after).await;
        }
        let now = state(&after, &grant.id).await;
        if now.status == GrantStatus::Active {
            activated_by_worker += 1;
            assert_eq!(fixture.objects(), 3, "{context}");
        }
        // The client is gone.
        for _ in 0..3 {
            fixture.pass_time(A_WHILE);
            fixture.settle(&after).await;
        }
        assert_eq!(fixture.objects(), 0, "{context}");
        let ended = state(&after, &grant.id).await.status;
        assert!(ended.is_final(), "{context}: {ended:?}");
        events(&after, &grant.id).await;
    }
    assert!(activated_by_worker > 0, "the worker activated no grant");
}
