//! Is the grant still there while the step runs?

use std::time::Duration;

use protocol::{Grant, IdempotencyKey};
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep_until};

use crate::api::{Beat, Broker};

/// Why a step goes on without its grant.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Lapse {
    /// The broker says that it has ended, and why.
    Ended(String),
    /// Its time is over.
    Deadline,
}

/// Beats as the grant asks, and returns when the grant has ended. A beat that fails is no reason to do
/// anything: the next one follows, and the broker is patient for three of them.
pub(crate) async fn lapse(broker: &Broker, grant: &Grant, key: &IdempotencyKey, granted: Instant) -> Lapse {
    tokio::select! {
        ended = beat(broker, grant, key) => ended,
        // Counted on our own clock from the answer: clocks of runners are wrong now and then.
        () = sleep_until(granted + Duration::from(grant.ttl)) => Lapse::Deadline,
    }
}

async fn beat(broker: &Broker, grant: &Grant, key: &IdempotencyKey) -> Lapse {
    let Some(seconds) = grant.heartbeat_seconds else { return std::future::pending().await };
    let period = Duration::from_secs(u64::from(seconds.max(1)));
    let mut beats = interval_at(Instant::now() + period, period);
    beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        beats.tick().await;
        if let Ok(Beat::Ended(why)) = broker.heartbeat(&grant.id, key).await {
            return Lapse::Ended(why);
        }
    }
}
