//! Two brokers on one store and one cloud, and a director that chooses the next step.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::time::Duration;

use engine::{Clock, Elevation, Engine, Revocable, Settings};
use protocol::{GrantStatus, IdempotencyKey, RevokeCause};
use store::{GrantRecord, Listing, Memory};
use tokio::task::JoinHandle;

use super::cloud::{Call, CallOutcome, LATE, SharedCloud, SharedTarget};
use crate::fixture::{Fixture, Gate, Turns, operator};

const BROKERS: usize = 2;

pub(crate) struct Overlap {
    pub(crate) fixture: Fixture,
    pub(crate) cloud: Arc<SharedCloud>,
    turns: Arc<Turns>,
    brokers: Vec<Arc<Engine>>,
    tasks: RefCell<Vec<(usize, JoinHandle<()>)>>,
    played: Cell<u64>,
    foreign: Cell<bool>,
    /// Since the last observation.
    committed: Cell<bool>,
    was_there: Cell<bool>,
}

impl Overlap {
    pub(crate) async fn build() -> Self {
        let fixture = Fixture::on(Arc::new(Memory::default())).await;
        let turns = Arc::new(Turns::default());
        let cloud = SharedCloud::new(Arc::clone(&fixture.clock));
        let mut brokers = Vec::new();
        for broker in 0..BROKERS {
            let target = Arc::new(SharedTarget { cloud: Arc::clone(&cloud), broker });
            let settings = Settings { elevations_per_minute: 1_000_000, ..Settings::default() };
            brokers.push(fixture.broker_before(target, Gate::taking_turns(&turns, broker), settings).await);
        }
        // From here on only the director advances time.
        tokio::time::pause();
        Self {
            fixture,
            cloud,
            turns,
            brokers,
            tasks: RefCell::default(),
            played: Cell::new(0),
            foreign: Cell::new(false),
            committed: Cell::new(false),
            was_there: Cell::new(false),
        }
    }

    /// Starts another script, with a new object and new grants.
    pub(crate) fn begin(&self, foreign: bool, settles: bool) {
        self.played.set(self.played.get() + 1);
        self.foreign.set(foreign);
        self.cloud.begin(format!("object-{}", self.played.get()), foreign, settles);
    }

    fn key(&self, grant: u8) -> IdempotencyKey {
        IdempotencyKey::from_random((u128::from(self.played.get()) << 8 | u128::from(grant)).to_be_bytes())
    }

    fn elevation(&self, grant: u8) -> Elevation {
        let mut elevation = self.fixture.elevation(0);
        elevation.key = self.key(grant);
        elevation.request.ttl = "1m".parse().unwrap();
        elevation.request.heartbeat = false;
        elevation
    }

    fn runs(&self, broker: usize, work: impl Future<Output = ()> + Send + 'static) {
        self.tasks.borrow_mut().push((broker, tokio::spawn(work)));
    }

    pub(crate) fn elevate(&self, broker: usize, grant: u8) {
        let (engine, elevation) = (Arc::clone(&self.brokers[broker]), self.elevation(grant));
        self.runs(broker, async move { drop(engine.elevate(elevation).await) });
    }

    pub(crate) fn revoke(&self, broker: usize, grant: u8) {
        let (engine, what) = (Arc::clone(&self.brokers[broker]), Revocable::Key(self.key(grant)));
        let token = self.fixture.auth_token.clone();
        self.runs(broker, async move {
            let caller = engine.caller(Some(&token)).await.unwrap();
            drop(engine.revoke(&caller, &what, RevokeCause::Asked).await);
        });
    }

    pub(crate) fn sweep(&self, broker: usize) {
        let engine = Arc::clone(&self.brokers[broker]);
        self.runs(broker, async move { drop(engine.drive_due().await) });
    }

    /// Continues one paused task at its boundary, or answers one call at the cloud.
    pub(crate) fn advance(&self, n: usize) {
        let (gates, calls) = (self.turns.waiting(), self.cloud.sent());
        match n.checked_rem(gates + calls) {
            None => {}
            Some(n) if n < gates => {
                self.committed.set(true);
                self.turns.let_go_on(n);
            }
            Some(n) => {
                self.committed.set(true);
                self.cloud.decide(n - gates, CallOutcome::Answered);
            }
        }
    }

    pub(crate) fn resolves(&self, n: usize, outcome: CallOutcome) {
        if let Some(n) = n.checked_rem(self.cloud.sent()) {
            self.cloud.decide(n, outcome);
        }
    }

    /// Kills the broker; another one replaces it at once.
    pub(crate) fn crash(&self, broker: usize, calls: CallOutcome) {
        self.tasks.borrow_mut().retain(|(whose, task)| {
            if *whose == broker {
                task.abort();
            }
            *whose != broker
        });
        self.turns.forget(broker);
        self.cloud.caller_died(broker, calls);
    }

    /// Advances time, and stops each time the cloud applies a late call.
    pub(crate) async fn pass(&self, millis: i64) -> Result<(), String> {
        let end = self.fixture.clock.now().as_millis() + millis;
        loop {
            let now = self.fixture.clock.now().as_millis();
            let next = self.cloud.next().map_or(end, |at| at.as_millis().clamp(now, end));
            self.fixture.clock.pass_millis(next - now);
            tokio::time::advance(Duration::from_millis((next - now).unsigned_abs())).await;
            self.cloud.time_came();
            self.observe().await?;
            if next == end {
                return Ok(());
            }
        }
    }

    /// Checks the invariants.
    pub(crate) async fn observe(&self) -> Result<(), String> {
        self.turns.quiet().await;
        let mut ended = Vec::new();
        self.tasks.borrow_mut().retain_mut(|(_, task)| {
            let over = task.is_finished();
            if over {
                ended.push(std::mem::replace(task, tokio::spawn(async {})));
            }
            !over
        });
        for task in ended {
            task.await.map_err(|error| format!("a task panicked: {error}"))?;
        }
        let changes = self.cloud.changes().len();
        if changes > 1 {
            return Err(format!("{changes} changes of one object are on their way at once"));
        }
        let is_there = self.cloud.is_there();
        let was_there = self.was_there.replace(is_there);
        if is_there {
            return Ok(());
        }
        if self.foreign.get() {
            return Err("a foreign object was removed".to_owned());
        }
        if !self.committed.replace(false) && !was_there {
            return Ok(());
        }
        let now = self.fixture.clock.now();
        let live = self.live().await;
        match live
            .iter()
            .find(|stored| stored.grant.status() == GrantStatus::Active && now < stored.grant.expires_at)
        {
            Some(stored) => Err(format!("{} is active, but its object does not exist", stored.grant.id)),
            None => Ok(()),
        }
    }

    async fn live(&self) -> Vec<GrantRecord> {
        self.fixture
            .store
            .list(&Listing { live: Some(true), limit: 100, ..Listing::default() })
            .await
            .unwrap()
    }

    /// The owner of a foreign object removes it.
    pub(crate) fn owner_takes_it_away(&self) {
        self.foreign.set(false);
        self.cloud.owner_takes_it_away();
    }

    /// Another owner creates or removes the object: no grant references it, and no late write is possible.
    pub(crate) async fn owner_acts(&self) -> Result<(), String> {
        let referenced = !self.tasks.borrow().is_empty() || !self.live().await.is_empty();
        match (referenced, self.foreign.get(), self.cloud.is_there()) {
            (true, _, _) | (false, false, true) => Ok(()),
            (false, true, _) => {
                self.owner_takes_it_away();
                Ok(())
            }
            (false, false, false) => {
                self.pass(i64::try_from(2 * LATE.as_millis()).unwrap_or(i64::MAX)).await?;
                self.foreign.set(true);
                self.cloud.owner_puts_it_there();
                Ok(())
            }
        }
    }

    /// Elevates and revokes one grant.
    pub(crate) async fn episode(
        &self,
        broker: usize,
        grant: u8,
        outcome: Option<CallOutcome>,
    ) -> Result<(), String> {
        self.elevate(broker, grant);
        if let Some(outcome) = outcome {
            self.change_resolves(outcome).await?;
        }
        self.run_out().await?;
        self.revoke(broker, grant);
        self.run_out().await
    }

    /// Continues every task until a change is sent; the change gets this outcome.
    pub(crate) async fn change_resolves(&self, outcome: CallOutcome) -> Result<(), String> {
        for turn in 0..200 {
            self.observe().await?;
            if let Some(n) = self.cloud.changes().first() {
                self.cloud.decide(*n, outcome);
                return Ok(());
            }
            self.advance(turn);
        }
        Ok(())
    }

    /// Continues every task until such a call is sent; earlier calls are answered.
    pub(crate) async fn until_sent(&self, call: Call) -> Result<(), String> {
        for _ in 0..500 {
            self.observe().await?;
            match self.cloud.sent_first() {
                Some(sent) if sent == call => return Ok(()),
                Some(_) => self.resolves(0, CallOutcome::Answered),
                None if self.turns.waiting() > 0 => self.advance(0),
                None => self.pass(50).await?,
            }
        }
        Err(format!("{call:?} is never sent"))
    }

    /// Continues every task for this many boundaries or pauses; the cloud answers nothing.
    pub(crate) async fn without_the_cloud(&self, moves: usize) -> Result<(), String> {
        for _ in 0..moves {
            self.observe().await?;
            match self.turns.waiting() {
                0 => self.pass(50).await?,
                _ => self.advance(0),
            }
        }
        Ok(())
    }

    /// Continues every task but the one paused for longest, for this many moves.
    pub(crate) async fn without_the_first(&self, moves: usize) -> Result<(), String> {
        for _ in 0..moves {
            self.observe().await?;
            match (self.cloud.sent(), self.turns.waiting()) {
                (0, 0 | 1) => self.pass(50).await?,
                (0, _) => self.advance(1),
                (_, _) => self.resolves(0, CallOutcome::Answered),
            }
        }
        Ok(())
    }

    pub(crate) async fn status(&self, grant: u8) -> Option<GrantStatus> {
        let agent = crate::fixture::AGENT.parse().unwrap();
        let found = self.fixture.store.grant_by_key(&agent, &self.key(grant)).await.unwrap();
        found.map(|stored| stored.grant.status())
    }

    /// Continues every task, without faults, until all have ended.
    pub(crate) async fn run_out(&self) -> Result<(), String> {
        for turn in 0..50_000 {
            self.observe().await?;
            if self.tasks.borrow().is_empty() {
                return Ok(());
            }
            // Tasks may only wait for a lock of a dead broker: advance time too.
            let somebody_can = self.turns.waiting() + self.cloud.sent() > 0 && turn % 64 != 63;
            if somebody_can {
                // In turn: a task that waits for another must not be the only one that continues.
                self.advance(turn);
            } else {
                self.pass(1_000).await?;
            }
        }
        Err("tasks never end".to_owned())
    }

    /// Passes every deadline, claim and late write without new requests, then sweeps once.
    pub(crate) async fn end(&self, grants: u8) -> Result<(), String> {
        self.run_out().await?;
        self.pass(120_000).await?;
        self.sweep(0);
        self.run_out().await?;
        if self.cloud.is_there() != self.foreign.get() {
            return Err(format!(
                "after one sweep: exists {}, foreign {}",
                self.cloud.is_there(),
                self.foreign.get()
            ));
        }
        for _ in 0..20 {
            if self.live().await.is_empty() {
                break;
            }
            self.pass(61_000).await?;
            self.sweep(1);
            self.run_out().await?;
        }
        if self.cloud.is_there() != self.foreign.get() {
            return Err(format!(
                "at the end: there {}, foreign {}",
                self.cloud.is_there(),
                self.foreign.get()
            ));
        }
        self.timelines_are_complete(grants).await?;
        for _ in 0..20 {
            if self.cloud.refused().is_empty() {
                return Ok(());
            }
            self.pass(60_000).await?;
            self.sweep(0);
            self.run_out().await?;
        }
        Err(format!("the session-deny policies of {:?} stay", self.cloud.refused()))
    }

    /// The timelines of every grant, for the message of a failed test.
    pub(crate) async fn timelines(&self, grants: u8) -> String {
        let agent = crate::fixture::AGENT.parse().unwrap();
        let mut timelines = Vec::new();
        for grant in 0..grants {
            let found = self.fixture.store.grant_by_key(&agent, &self.key(grant)).await.unwrap();
            let Some(stored) = found else { continue };
            timelines.push((
                stored.grant.requested_at,
                format!("{} is {:?}", stored.grant.id, stored.grant.state),
            ));
            for event in self.fixture.store.events(&stored.grant.id).await.unwrap() {
                timelines.push((event.at, format!("{} {:?} {}", stored.grant.id, event.kind, event.text)));
            }
        }
        timelines.sort();
        let lines = timelines.into_iter().map(|(at, line)| format!("{} {line}", at.as_millis()));
        lines.collect::<Vec<_>>().join("\n")
    }

    async fn timelines_are_complete(&self, grants: u8) -> Result<(), String> {
        let agent = crate::fixture::AGENT.parse().unwrap();
        for grant in 0..grants {
            let found = self.fixture.store.grant_by_key(&agent, &self.key(grant)).await.unwrap();
            let Some(stored) = found else { continue };
            let id = &stored.grant.id;
            if !stored.grant.status().is_final() {
                return Err(format!("{id} is not final: {:?}", stored.grant.status()));
            }
            let told = self.brokers[0].timeline(&operator(), id).await.unwrap();
            let ends = told
                .events
                .iter()
                .filter(|event| {
                    matches!(event.kind, protocol::EventKind::Revoked | protocol::EventKind::Failed)
                })
                .count();
            if !told.intact || ends != 1 {
                return Err(format!("{id}: intact {}, {ends} final events", told.intact));
            }
        }
        Ok(())
    }
}
