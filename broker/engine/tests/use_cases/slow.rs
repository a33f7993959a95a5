//! An elevation stands still at each of its boundaries while its grant is given back, and then goes on. Is
//! anything left?

use protocol::{GrantStatus, IdempotencyKey, RevokeCause};

use crate::fixture::{Fixture, Gate};

/// As long as the claim of an elevation.
const CLAIM: i64 = 30;

#[tokio::test]
async fn an_elevation_that_goes_on_after_its_revoke_leaves_nothing() {
    // Whether the request goes on to its end, or is cut off when its last change has landed.
    for ends in [true, false] {
        let mut boundary = 1;
        let mut given_all_the_same = 0;
        loop {
            let context = format!("boundary {boundary}, comes to its end: {ends}");
            let fixture = Fixture::new().await;
            let gate = Gate::stopping_at(boundary);
            let slow = fixture.broker(gate.clone()).await;
            let elevation = fixture.elevation(1);
            let elevating = tokio::spawn(async move { slow.elevate(elevation).await });
            while !gate.was_reached() && !elevating.is_finished() {
                tokio::task::yield_now().await;
            }
            if elevating.is_finished() {
                break;
            }
            // For long enough that it has to look again.
            fixture.pass_time(1);
            let broker = fixture.broker(Gate::open()).await;
            let caller = broker.caller(Some(&fixture.auth_token)).await.unwrap();
            let key = engine::Revocable::Key(IdempotencyKey::from_random([1; 16]));
            let answered = broker.revoke(&caller, &key, RevokeCause::Asked).await.map(|grant| grant.status);
            assert_eq!(fixture.objects(), 0, "{context}: gone as soon as it was given back");
            gate.go_on();
            if ends {
                if elevating.await.unwrap().is_ok() {
                    given_all_the_same += 1;
                    assert_eq!(answered.ok(), Some(GrantStatus::Revoked), "{context}");
                }
                assert_eq!(fixture.objects(), 0, "{context}: what came late was not taken back at once");
            } else {
                let before = fixture.objects();
                while fixture.objects() == before && !elevating.is_finished() {
                    tokio::task::yield_now().await;
                }
                elevating.abort();
                let final_already = answered.is_ok_and(GrantStatus::is_final);
                assert!(
                    fixture.objects() == 0 || !final_already,
                    "{context}: said to be gone, and came back"
                );
            }
            fixture.pass_time(CLAIM);
            fixture.settle(&broker).await;
            if !fixture.grants().await.is_empty() {
                fixture.assert_nothing_left(&context).await;
            }
            boundary += 1;
        }
        assert!(given_all_the_same <= 1, "{given_all_the_same}: more than the answer that was on its way");
        assert!(boundary > 10, "only {boundary} boundaries were found in elevate");
    }
}
