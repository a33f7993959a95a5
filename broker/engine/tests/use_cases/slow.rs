//! An elevation pauses at each of its boundaries while its grant is revoked, then continues; nothing is left.

use protocol::{GrantStatus, IdempotencyKey, RevokeCause};

use crate::fixture::{Fixture, Gate};

/// The duration of an elevation's claim, in seconds.
const CLAIM: i64 = 30;

#[tokio::test]
async fn elevation_that_continues_after_its_revoke_leaves_nothing() {
    // Whether the request completes, or is cancelled after its next change at the target.
    for ends in [true, false] {
        let mut boundary = 1;
        let mut acknowledged = 0;
        loop {
            let context = format!("boundary {boundary}, completes: {ends}");
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
            // Long enough that the driver reads the record again.
            fixture.pass_time(1);
            let broker = fixture.broker(Gate::open()).await;
            let caller = broker.caller(Some(&fixture.auth_token)).await.unwrap();
            let key = engine::Revocable::Key(IdempotencyKey::from_random([1; 16]));
            let answered = broker.revoke(&caller, &key, RevokeCause::Asked).await.map(|grant| grant.status);
            assert_eq!(fixture.objects(), 0, "{context}: the revoke removes every object");
            gate.go_on();
            if ends {
                if elevating.await.unwrap().is_ok() {
                    acknowledged += 1;
                    assert_eq!(answered.ok(), Some(GrantStatus::Revoked), "{context}");
                }
                assert_eq!(fixture.objects(), 0, "{context}: the driver reverts its late step at once");
            } else {
                let before = fixture.objects();
                while fixture.objects() == before && !elevating.is_finished() {
                    tokio::task::yield_now().await;
                }
                elevating.abort();
                let final_already = answered.is_ok_and(GrantStatus::is_final);
                assert!(
                    fixture.objects() == 0 || !final_already,
                    "{context}: an object exists after the grant was final"
                );
            }
            fixture.pass_time(CLAIM);
            fixture.settle(&broker).await;
            if !fixture.grants().await.is_empty() {
                fixture.assert_nothing_left(&context).await;
            }
            boundary += 1;
        }
        assert!(acknowledged <= 1, "{acknowledged}: only the response that was on its way");
        assert!(boundary > 10, "only {boundary} boundaries were found in elevate");
    }
}
