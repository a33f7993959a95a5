//! A driver is paused at each of its boundaries until its claim has lapsed, and others end the grant. When the
//! driver continues, it changes nothing at the target.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use domain::{Grant, Step, TargetKind};
use engine::{Engine, Revocable, Settings};
use policy::Permit;
use protocol::{Credentials, EnforcedBy, GrantId, GrantStatus, IdempotencyKey, RevokeCause, Timestamp};
use targets::claim::Claim;
use targets::{Fault, LateWrites, Plan, Presence, Removal, Target, TargetError};

use crate::fixture::{Fixture, Gate};

/// The engine's value.
const CLAIM: i64 = 30;
const LATE: Duration = Duration::from_secs(300);
/// The longest time until the target answers or its caller gives up.
const CALL: Duration = Duration::from_secs(5);

/// The session-deny policies that a revert installs and a sweep removes, and the objects of grants.
#[derive(Default)]
struct Refusals(Mutex<BTreeSet<String>>);

impl Refusals {
    fn left(&self) -> Vec<String> {
        self.0.lock().unwrap().iter().cloned().collect()
    }
}

/// The target as one broker sees it; a broker is paused before and after each call.
struct Refusing {
    refusals: Arc<Refusals>,
    gate: Arc<Gate>,
}

impl Refusing {
    async fn call(
        &self,
        claim: &Claim,
        change: impl FnOnce(&mut BTreeSet<String>),
    ) -> Result<(), TargetError> {
        self.gate.pass().await;
        if !claim.lasts_for(CALL) {
            let fault = Fault::Busy { retry_after: Duration::from_secs(1) };
            return Err(TargetError { what: "not sent".to_owned(), fault });
        }
        change(&mut self.refusals.0.lock().unwrap());
        self.gate.pass().await;
        Ok(())
    }
}

fn refusal(grant: &Grant) -> String {
    format!("refusal of {}", grant.id)
}

#[async_trait]
impl Target for Refusing {
    fn kind(&self) -> TargetKind {
        TargetKind::Token
    }

    fn late_writes(&self) -> LateWrites {
        LateWrites::Possible { within: LATE }
    }

    async fn plan(&self, _: &Permit, id: &GrantId, _: Timestamp) -> Result<Plan, TargetError> {
        let step = |part: &str| Step {
            action: "make".to_owned(),
            object: format!("{part} of {id}"),
            data: domain::StepData::default(),
            shared: false,
        };
        Ok(Plan { steps: vec![step("role"), step("policy")], enforced_by: EnforcedBy::Broker })
    }

    async fn apply(
        &self,
        _: &Grant,
        step: &Step,
        _: Timestamp,
        claim: &Claim,
    ) -> Result<String, TargetError> {
        self.call(claim, |there| _ = there.insert(step.object.clone())).await?;
        Ok("made".to_owned())
    }

    async fn revert(
        &self,
        grant: &Grant,
        step: &Step,
        now: Timestamp,
        claim: &Claim,
    ) -> Result<Removal, TargetError> {
        let undoing = |there: &mut BTreeSet<String>| {
            there.remove(&step.object);
            there.insert(refusal(grant));
        };
        self.call(claim, undoing).await?;
        // No session is left to refuse: removable when no late call is possible.
        Ok(Removal::Confirmed { proof: "gone".to_owned(), session_deny_until: Some(now) })
    }

    async fn observe(
        &self,
        _: &Grant,
        _: &Step,
        now: Timestamp,
        claim: &Claim,
    ) -> Result<Presence, TargetError> {
        self.call(claim, |_| {}).await?;
        Ok(Presence::Absent { proof: "gone".to_owned(), session_deny_until: Some(now) })
    }

    async fn remove_session_deny(
        &self,
        grant: &Grant,
        _: &Step,
        _: Timestamp,
        claim: &Claim,
    ) -> Result<Option<String>, TargetError> {
        self.call(claim, |there| _ = there.remove(&refusal(grant))).await?;
        Ok(None)
    }

    async fn credentials(&self, _: &Permit, _: &Grant, _: Timestamp) -> Result<Credentials, TargetError> {
        Ok(Credentials::Held)
    }
}

/// The use case that drives the grant when the process is paused.
#[derive(Debug, Clone, Copy)]
enum Driver {
    Elevation,
    Retry,
    Revoke,
    Worker,
}

struct LapsedClaim {
    fixture: Fixture,
    refusals: Arc<Refusals>,
}

impl LapsedClaim {
    async fn new() -> Self {
        Self { fixture: Fixture::new().await, refusals: Arc::default() }
    }

    async fn broker(&self, gate: Arc<Gate>) -> Arc<Engine> {
        let target = Refusing { refusals: Arc::clone(&self.refusals), gate: Arc::clone(&gate) };
        self.fixture.broker_before(Arc::new(target), gate, Settings::default()).await
    }

    async fn elevate(&self, broker: &Engine) {
        let mut elevation = self.fixture.elevation(1);
        elevation.request.heartbeat = false;
        drop(broker.elevate(elevation).await);
    }

    async fn revoke(&self, broker: &Engine) {
        let caller = broker.caller(Some(&self.fixture.auth_token)).await.unwrap();
        let key = Revocable::Key(IdempotencyKey::from_random([1; 16]));
        drop(broker.revoke(&caller, &key, RevokeCause::Asked).await);
    }

    /// Brings the grant into the state in which this driver starts.
    async fn reach(&self, driver: Driver, broker: &Arc<Engine>) {
        match driver {
            Driver::Elevation => {}
            Driver::Retry => {
                let gate = Gate::dying_at(4);
                let dies = self.broker(Arc::clone(&gate)).await;
                gate.run(self.elevate(&dies)).await;
                assert_eq!(self.fixture.grants().await.len(), 1);
            }
            Driver::Revoke => self.elevate(broker).await,
            Driver::Worker => {
                self.elevate(broker).await;
                // The deadline.
                self.fixture.pass_time(15 * 60);
            }
        }
    }

    async fn drive(&self, driver: Driver, broker: &Arc<Engine>) {
        match driver {
            Driver::Elevation | Driver::Retry => self.elevate(broker).await,
            Driver::Revoke => self.revoke(broker).await,
            Driver::Worker => drop(broker.drive_due().await),
        }
    }

    /// Passes time until nothing is due.
    async fn pass_to_the_end(&self, broker: &Arc<Engine>) {
        for _ in 0..100 {
            self.fixture.settle(broker).await;
            let grants = self.fixture.grants().await;
            let Some(due) = grants.iter().filter_map(|stored| stored.grant.due_at()).max() else { return };
            let left = due.since(broker.now()).as_secs().max(u64::try_from(CLAIM).unwrap());
            self.fixture.pass_time(i64::try_from(left).unwrap() + 1);
        }
        panic!("still due");
    }
}

/// Pauses the driver at this boundary. False if the driver ended before it.
async fn paused_at(boundary: usize, driver: Driver) -> bool {
    let lapsed = LapsedClaim::new().await;
    let other = lapsed.broker(Gate::open()).await;
    lapsed.reach(driver, &other).await;
    let gate = Gate::stopping_at(boundary);
    let paused = lapsed.broker(Arc::clone(&gate)).await;
    let mut driving = Box::pin(lapsed.drive(driver, &paused));
    let until_paused = async {
        while !gate.was_reached() {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        biased;
        () = &mut driving => return false,
        () = until_paused => {}
    }
    lapsed.fixture.pass_time(CLAIM + 1);
    lapsed.revoke(&other).await;
    lapsed.pass_to_the_end(&other).await;
    let left = lapsed.refusals.left();
    assert!(left.is_empty(), "{driver:?} is paused at boundary {boundary}: {left:?} is left");
    gate.go_on();
    driving.await;
    lapsed.pass_to_the_end(&other).await;
    let left = lapsed.refusals.left();
    assert!(left.is_empty(), "{driver:?} continued at boundary {boundary}, and {left:?} exists");
    true
}

#[tokio::test]
async fn driver_paused_until_its_claim_lapsed_changes_nothing() {
    for driver in [Driver::Elevation, Driver::Retry, Driver::Revoke, Driver::Worker] {
        let mut boundary = 1;
        while paused_at(boundary, driver).await {
            boundary += 1;
        }
        assert!(boundary > 5, "only {} boundaries of {driver:?} were found", boundary - 1);
    }
}

#[tokio::test]
async fn session_deny_is_removed_when_no_late_call_is_possible() {
    let lapsed = LapsedClaim::new().await;
    let broker = lapsed.broker(Gate::open()).await;
    lapsed.elevate(&broker).await;
    lapsed.revoke(&broker).await;
    let revoked = &lapsed.fixture.grants().await[0];
    assert_eq!(revoked.grant.status(), GrantStatus::Revoked);
    // A driver that began just before may send calls until its claim ends, and the target may apply them for `LATE`.
    lapsed.fixture.pass_time(CLAIM + i64::try_from(LATE.as_secs()).unwrap() - 1);
    lapsed.fixture.settle(&broker).await;
    assert_eq!(lapsed.refusals.left().len(), 1);
    lapsed.fixture.pass_time(1);
    lapsed.fixture.settle(&broker).await;
    assert_eq!(lapsed.refusals.left(), [""; 0]);
}
