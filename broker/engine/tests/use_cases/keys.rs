//! Rotation and removal of signing keys.

use crate::fixture::{Fixture, Gate};

fn kids(broker: &engine::Engine) -> Vec<String> {
    let jwks = broker.issuer().jwks();
    jwks["keys"].as_array().unwrap().iter().map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn keys_rotate_and_old_keys_stay_until_their_signatures_expire() {
    const DAY: i64 = 24 * 60 * 60;
    let fixture = Fixture::new().await;
    let broker = fixture.broker(Gate::open()).await;
    let first = kids(&broker);
    assert_eq!(first.len(), 1);
    assert_eq!(kids(fixture.broker(Gate::open()).await.as_ref()), first, "a restart keeps the key");
    fixture.pass_time(30 * DAY);
    broker.housekeeping().await.unwrap();
    let both = kids(&broker);
    assert_eq!((both.len(), both.contains(&first[0])), (2, true));
    fixture.pass_time(DAY);
    broker.housekeeping().await.unwrap();
    assert_eq!(kids(&broker).len(), 2, "a token of a day ago may still be valid");
    fixture.pass_time(DAY);
    broker.housekeeping().await.unwrap();
    broker.housekeeping().await.unwrap();
    assert_eq!(kids(&broker), both[1..], "the first key is removed");
}

#[tokio::test]
async fn keys_created_every_day_do_not_accumulate() {
    const HOUR: i64 = 60 * 60;
    let fixture = Fixture::new().await;
    let daily = engine::Settings {
        signing_key_age: std::time::Duration::from_secs(24 * 60 * 60),
        ..engine::Settings::default()
    };
    let broker = fixture.broker_with(Gate::open(), daily).await;
    for _ in 0..24 * 14 {
        fixture.pass_time(HOUR);
        broker.housekeeping().await.unwrap();
    }
    let left = kids(&broker).len();
    assert!((2..=4).contains(&left), "{left} keys after a fortnight");
}
