//! The use cases of the broker: elevate, revoke, heartbeat, renew, reconcile, register, introspect.
//!
//! | module | content |
//! |---|---|
//! | `api` | one file per use case: checks the caller, writes the intent, calls the driver |
//! | `lifecycle` | the driver: applies, activates, reverts and verifies one grant |
//! | `worker` | claims due work and calls the driver; reconciles; housekeeping |
//!
//! The order is always the same: the intent is committed, then the target is changed, then the result is committed. A
//! crash in between leaves a grant that the worker finds in the store and drives on. Where a target changes nothing
//! outside the broker, all of it is one commit.

#![expect(missing_docs, reason = "an internal crate: a name that says everything needs no comment")]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use identity::{EventVerifier, Verifier};
use notify::Channel;
use protocol::health::Reconciled;
use protocol::{AgentId, Timestamp};
use signing::Issuer;
use store::Store;
use targets::{OrphanRule, Target};
use tokio::sync::watch;

mod api;
mod approvals;
mod auth;
mod break_glass;
mod clock;
mod counters;
mod error;
mod heartbeat_window;
mod lifecycle;
mod people;
mod rate_limit;
mod request_limits;
mod rules;
mod spans;
mod to_wire;
mod worker;

pub use api::{
    Elevated, Elevation, EventRefused, Introspection, Page, PostureSource, Revocable, RevokeReason,
    Transmitter,
};
pub use approvals::PLATFORMS_OF_PERSONS;
pub use auth::{Author, Caller, NamedToken, OperatorTokens, hash_of, new_operator_token};
pub use clock::{Clock, NoRandomness, Random, SystemClock, SystemRandom};
pub use counters::Counters;
pub use error::Refusal;
pub use lifecycle::{Driver, Goal, Outcome};
pub use people::{On, People};
pub use rate_limit::RateLimiter;
pub use spans::TRACES;
pub use worker::reconcile::{Reconciling, UnknownGrants};

/// A store that takes longer to answer is not ready.
const READY_WITHIN: Duration = Duration::from_secs(5);

/// The settings that an operator can configure.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The interval of the heartbeats of a client that promised them.
    pub heartbeat: Duration,
    /// How long a driver may change a target before another driver may revert the grant.
    pub claim: Duration,
    /// Elevations per agent and minute, and at once. Denied and unproven requests have a tenth of it, at least 10.
    pub elevations_per_minute: u32,
    /// The age at which a signing key is replaced.
    pub signing_key_age: Duration,
    /// How long decisions are kept, with their facts.
    pub keep_decisions: Duration,
    pub reconciling: Reconciling,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            heartbeat: domain::Lease::EVERY,
            claim: Duration::from_secs(30),
            elevations_per_minute: 600,
            signing_key_age: Duration::from_secs(30 * 24 * 60 * 60),
            keep_decisions: Duration::from_secs(90 * 24 * 60 * 60),
            reconciling: Reconciling {
                every: Duration::from_secs(300),
                grace: Duration::from_secs(900),
                orphans: OrphanRule::Remove,
            },
        }
    }
}

/// The dependencies of the engine.
pub struct EngineDeps {
    pub store: Arc<dyn Store>,
    pub verifier: Verifier,
    pub event_verifier: EventVerifier,
    pub targets: Vec<Arc<dyn Target>>,
    /// Signs `token` grants.
    pub issuer: Arc<Issuer>,
    pub operators: OperatorTokens,
    pub posture_sources: Vec<PostureSource>,
    /// How persons sign in; none if they cannot.
    pub people: Option<People>,
    /// Where persons are told of requests that wait.
    pub channels: Vec<Channel>,
    pub clock: Arc<dyn Clock>,
    pub random: Arc<dyn Random>,
    pub settings: Settings,
}

/// The use cases.
pub struct Engine {
    driver: Driver,
    store: Arc<dyn Store>,
    verifier: Verifier,
    event_verifier: EventVerifier,
    issuer: Arc<Issuer>,
    operators: ArcSwap<OperatorTokens>,
    posture_sources: ArcSwap<Vec<PostureSource>>,
    people: ArcSwapOption<People>,
    channels: ArcSwap<Vec<Channel>>,
    agents_from_files: ArcSwap<BTreeSet<AgentId>>,
    rules: rules::RulesCache,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    settings: Arc<ArcSwap<Settings>>,
    counters: Arc<Counters>,
    request_limits: request_limits::RequestLimits,
    first_seen: worker::reconcile::FirstSeen,
    /// The last one by this broker.
    reconciled: ArcSwapOption<Reconciled>,
    heartbeat_window: heartbeat_window::HeartbeatWindow,
    worker_liveness: worker::liveness::WorkerLiveness,
    stopping: watch::Sender<bool>,
}

impl Engine {
    /// Returns when there is a signing key.
    pub async fn start(deps: EngineDeps) -> Result<Self, Refusal> {
        let request_limits = request_limits::RequestLimits::new(deps.settings.elevations_per_minute);
        let settings = Arc::new(ArcSwap::from_pointee(deps.settings));
        let counters = Arc::<Counters>::default();
        let driver = Driver {
            store: Arc::clone(&deps.store),
            targets: deps.targets,
            clock: Arc::clone(&deps.clock),
            settings: Arc::clone(&settings),
            counters: Arc::clone(&counters),
        };
        let engine = Self {
            driver,
            heartbeat_window: heartbeat_window::HeartbeatWindow::starting(deps.clock.now()),
            request_limits,
            store: deps.store,
            verifier: deps.verifier,
            event_verifier: deps.event_verifier,
            issuer: deps.issuer,
            operators: ArcSwap::from_pointee(deps.operators),
            posture_sources: ArcSwap::from_pointee(deps.posture_sources),
            people: ArcSwapOption::from_pointee(deps.people),
            channels: ArcSwap::from_pointee(deps.channels),
            agents_from_files: ArcSwap::default(),
            rules: rules::RulesCache::empty(),
            clock: deps.clock,
            random: deps.random,
            settings,
            counters,
            first_seen: worker::reconcile::FirstSeen::default(),
            reconciled: ArcSwapOption::empty(),
            worker_liveness: worker::liveness::WorkerLiveness::not_started(),
            stopping: watch::Sender::new(false),
        };
        engine.rotate_signing_keys().await?;
        Ok(engine)
    }

    /// Applies new settings. Existing grants keep their heartbeat interval.
    pub fn reconfigure(
        &self,
        settings: Settings,
        operators: OperatorTokens,
        posture_sources: Vec<PostureSource>,
    ) {
        self.posture_sources.store(Arc::new(posture_sources));
        self.request_limits.set(settings.elevations_per_minute);
        self.settings.store(Arc::new(settings));
        self.operators.store(Arc::new(operators));
    }

    /// Changes how persons sign in and what they may do; none if they cannot.
    pub fn set_people(&self, people: Option<People>) {
        self.people.store(people.map(Arc::new));
    }

    /// Changes where persons are told of requests that wait.
    pub fn set_channels(&self, channels: Vec<Channel>) {
        self.channels.store(Arc::new(channels));
    }

    pub fn driver(&self) -> &Driver {
        &self.driver
    }

    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// By the engine's clock.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Restarts every lease: clients could not send heartbeats until now.
    pub fn reset_heartbeat_window(&self) {
        self.heartbeat_window.reset(self.clock.now());
    }

    /// The version of the rules that was read last.
    pub fn rules_version(&self) -> i64 {
        self.rules.version()
    }

    pub fn issuer(&self) -> &Issuer {
        &self.issuer
    }

    /// Checks that the store can be read and written, and that the worker runs.
    pub async fn ready(&self) -> Result<(), Refusal> {
        self.worker_liveness.check()?;
        match tokio::time::timeout(READY_WITHIN, self.store.ping()).await {
            Ok(answered) => Ok(answered?),
            Err(_) => Err(Refusal::new(
                protocol::ErrorCode::StoreUnavailable,
                format!("the broker's database did not answer within {} s", READY_WITHIN.as_secs()),
            )),
        }
    }
}
