//! A broker in a world that can be stopped at any point: a store that survives, a cloud that keeps what was
//! made in it, a clock that the test moves, and a gate at which the process can die.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering};

use engine::{Caller, Clock, Elevation, Engine, NoRandomness, OperatorTokens, Parts, Random, Settings};
use protocol::{ElevateRequest, Facts, GrantId, GrantStatus, IdempotencyKey, Secret, Timeline, Timestamp};
use signing::Issuer;
use store::{ApplyMode, Listing, Sqlite, SqlitePath, Store};
use targets::Target;
use tokio::sync::Notify;

mod cloud;
mod gated_store;
mod turns;
pub(crate) use cloud::Cloud;
use cloud::CloudTarget;
use gated_store::GatedStore;
pub(crate) use turns::Turns;

/// Where the process dies: at the n-th boundary that it comes to.
#[derive(Default)]
pub(crate) struct Gate {
    passed: AtomicUsize,
    dies_at: Option<usize>,
    died: Notify,
    stops_at: Option<usize>,
    goes_on: Notify,
    turns: Option<(Arc<Turns>, usize)>,
}

impl Gate {
    pub(crate) fn open() -> Arc<Self> {
        Arc::default()
    }

    pub(crate) fn dying_at(boundary: usize) -> Arc<Self> {
        Arc::new(Self { dies_at: Some(boundary), ..Self::default() })
    }

    /// Stands still at a boundary until it is told to go on: a slow call, a process that was not scheduled.
    pub(crate) fn stopping_at(boundary: usize) -> Arc<Self> {
        Arc::new(Self { stops_at: Some(boundary), ..Self::default() })
    }

    /// Stands still at every boundary until it is this broker's turn.
    pub(crate) fn taking_turns(turns: &Arc<Turns>, broker: usize) -> Arc<Self> {
        Arc::new(Self { turns: Some((Arc::clone(turns), broker)), ..Self::default() })
    }

    /// A look or a change in the store, which is on another thread.
    pub(crate) async fn working<T>(&self, work: impl Future<Output = T>) -> T {
        let _working = self.turns.as_ref().map(|(turns, _)| turns.working());
        work.await
    }

    pub(crate) fn go_on(&self) {
        self.goes_on.notify_one();
    }

    /// Whether the boundary at which it stands still was come to.
    pub(crate) fn was_reached(&self) -> bool {
        self.stops_at.is_some_and(|boundary| self.passed.load(Ordering::SeqCst) >= boundary)
    }

    pub(crate) async fn pass(&self) {
        if let Some((turns, broker)) = &self.turns {
            turns.wait(*broker).await;
        }
        let n = self.passed.fetch_add(1, Ordering::SeqCst) + 1;
        if self.stops_at == Some(n) {
            self.goes_on.notified().await;
        }
        if self.dies_at == Some(n) {
            self.died.notify_one();
            // Nothing after this point ever runs: what a SIGKILL does.
            std::future::pending::<()>().await;
        }
    }

    /// Runs until it ends or the process dies. None if it died.
    pub(crate) async fn run<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            done = work => Some(done),
            () = self.died.notified() => None,
        }
    }
}

#[derive(Default)]
pub(crate) struct TestClock(AtomicI64);

impl TestClock {
    pub(crate) fn pass_millis(&self, millis: i64) {
        self.0.fetch_add(millis, Ordering::SeqCst);
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::SeqCst))
    }
}

#[derive(Default)]
struct Counting(AtomicU64);

impl Random for Counting {
    fn fill(&self, buffer: &mut [u8]) -> Result<(), NoRandomness> {
        for byte in buffer.iter_mut() {
            let n = self.0.fetch_add(1, Ordering::SeqCst).wrapping_mul(0x9E37_79B9_7F4A_7C15);
            *byte = n.to_be_bytes()[0];
        }
        Ok(())
    }
}

pub(crate) const AGENT: &str = "orders-agent";

/// What survives a crash.
pub(crate) struct World {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) cloud: Arc<Cloud>,
    pub(crate) clock: Arc<TestClock>,
    random: Arc<Counting>,
    pub(crate) auth_token: Secret,
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::on(Arc::new(Sqlite::open(SqlitePath::Memory).await.unwrap())).await
    }

    /// With this store, which is empty.
    pub(crate) async fn on(store: Arc<dyn Store>) -> Self {
        let mut world = Self {
            store,
            cloud: Arc::default(),
            clock: Arc::new(TestClock(AtomicI64::new(1_000_000_000))),
            random: Arc::default(),
            auth_token: Secret::new(""),
        };
        world.auth_token = world.register(AGENT).await;
        world
    }

    pub(crate) async fn register(&self, id: &str) -> Secret {
        let source = format!(
            r#"
            id = "{id}"
            use_case = "other"
            max_session = "1h"
            [boundary]
            target = "token"
            policies = {{ "orders-read" = "orders:read" }}
            [dangerous]
            allow_auth_token_only = true
            "#
        );
        let applied =
            self.broker(Gate::open()).await.apply_agent(&source, ApplyMode::CreateOnly).await.unwrap();
        applied.auth_token.unwrap()
    }

    /// A broker that starts now, as after a restart.
    pub(crate) async fn broker(&self, gate: Arc<Gate>) -> Arc<Engine> {
        self.broker_with(gate, Settings::default()).await
    }

    pub(crate) async fn broker_with(&self, gate: Arc<Gate>, settings: Settings) -> Arc<Engine> {
        let target = CloudTarget { cloud: Arc::clone(&self.cloud), gate: Arc::clone(&gate) };
        self.broker_before(Arc::new(target), gate, settings).await
    }

    /// A broker that gives at this target.
    pub(crate) async fn broker_before(
        &self,
        target: Arc<dyn Target>,
        gate: Arc<Gate>,
        settings: Settings,
    ) -> Arc<Engine> {
        let inner = Arc::clone(&self.store);
        let parts = Parts {
            store: Arc::new(GatedStore { inner, gate }),
            verifier: identity::Verifier::new(
                identity::Http::new(None).unwrap(),
                identity::Options::default(),
            ),
            targets: vec![target],
            issuer: Arc::new(Issuer::new("https://broker.example").unwrap()),
            operators: OperatorTokens::default(),
            clock: Arc::clone(&self.clock) as _,
            random: Arc::clone(&self.random) as _,
            settings,
        };
        Arc::new(Engine::start(parts).await.unwrap())
    }

    pub(crate) fn pass_time(&self, secs: i64) {
        self.clock.pass_millis(secs * 1000);
    }

    pub(crate) fn elevation(&self, key: u8) -> Elevation {
        Elevation {
            bearer: Some(self.auth_token.clone()),
            key: IdempotencyKey::from_random([key; 16]),
            request: ElevateRequest {
                agent_id: AGENT.parse().unwrap(),
                oidc_token: None,
                policies: vec!["orders-read".parse().unwrap()],
                ttl: "15m".parse().unwrap(),
                target: None,
                reason: None,
                heartbeat: true,
                claimed: Facts::default(),
            },
        }
    }

    /// A broker works on until nothing is due at this time.
    pub(crate) async fn settle(&self, broker: &Arc<Engine>) {
        for _ in 0..100 {
            if broker.sweep().await.unwrap() == 0 {
                return;
            }
        }
        panic!("after a hundred sweeps there is still due work");
    }

    pub(crate) async fn grants(&self) -> Vec<store::GrantRecord> {
        self.store.list(&Listing { limit: 100, ..Listing::default() }).await.unwrap()
    }

    pub(crate) fn objects(&self) -> usize {
        self.cloud.objects.lock().unwrap().len()
    }

    pub(crate) async fn timeline(&self, id: &GrantId) -> Timeline {
        self.broker(Gate::open()).await.timeline(&Caller::Operator, id).await.unwrap()
    }

    /// Nothing is left anywhere, and every timeline tells a whole story.
    pub(crate) async fn assert_nothing_left(&self, context: &str) {
        assert_eq!(self.objects(), 0, "{context}: left at the target");
        for stored in self.grants().await {
            let status = stored.grant.status();
            assert!(status.is_final(), "{context}: {} is {status:?}", stored.grant.id);
            let timeline = self.timeline(&stored.grant.id).await;
            assert!(timeline.intact, "{context}: broken chain");
            let last = timeline.events.last().unwrap().kind;
            let expected = if status == GrantStatus::Revoked {
                protocol::EventKind::Revoked
            } else {
                protocol::EventKind::Failed
            };
            // Actions and retries may be told of at any time; the end comes once.
            assert_eq!(last, expected, "{context}");
            let ends = timeline.events.iter().filter(|event| event.kind == expected).count();
            assert_eq!(ends, 1, "{context}: told {ends} times");
        }
    }
}
