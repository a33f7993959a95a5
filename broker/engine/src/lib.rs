//! What can be asked of the broker? The use cases: elevate, revoke, beat, expire, recover, register.
//!
//! Every use case keeps the same order: what is about to happen is committed, then the target is changed, then
//! what happened is committed. A crash between any two leaves a grant that the [`worker`](Engine::sweep)
//! finds in the store and finishes. There are no timers in memory. Where the target
//! changes nothing outside the broker, there is nothing between the first commit and the last, and they are one.

use std::sync::Arc;
use std::time::Duration;

use domain::TargetKind;
use identity::Verifier;
use protocol::Timestamp;
use signing::Issuer;
use store::Store;
use targets::Target;
use tokio::sync::watch;

mod actions;
mod activate;
mod agents;
mod authenticate;
mod budgets;
mod changing;
mod clock;
mod counters;
mod credentials;
mod elevate;
mod give;
mod hearing;
mod heartbeat;
mod introspect;
mod just_given;
mod keys;
mod pace;
mod pulse;
mod read;
mod reconcile;
mod refusal;
mod refusing;
mod revoke;
mod shared;
mod spans;
mod take_back;
mod together;
mod undo;
mod view;
mod worker;

pub use authenticate::{Author, Caller, NamedToken, OperatorTokens, hash_of, new_operator_token};
pub use changing::Changing;
pub use clock::{Clock, NoRandomness, Random, SystemClock, SystemRandom};
pub use counters::Counters;
pub use elevate::{Elevated, Elevation};
pub use introspect::Introspection;
pub use pace::Pace;
pub use read::Page;
pub use reconcile::{Orphans, Reconciling, Unknown};
pub use refusal::Refusal;
pub use revoke::Revocable;
pub use spans::TRACES;

/// A store that takes longer to answer than this is not there for those who ask.
const READY_WITHIN: Duration = Duration::from_secs(5);

/// What an operator may set.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How often a holder that promised to beat must do so.
    pub heartbeat: Duration,
    /// How long whoever changes a target may take before somebody else may undo it.
    pub claim: Duration,
    /// How many elevations one agent may ask for in a minute, and at once. Requests that are refused have a tenth of
    /// it, at least 10.
    pub elevations_per_minute: u32,
    /// After how long a new signing key is made.
    pub signing_key_age: Duration,
    /// How targets are compared with the store.
    pub reconciling: Reconciling,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            heartbeat: domain::Lease::EVERY,
            claim: Duration::from_secs(30),
            elevations_per_minute: 600,
            signing_key_age: Duration::from_secs(30 * 24 * 60 * 60),
            reconciling: Reconciling {
                every: Duration::from_secs(300),
                grace: Duration::from_secs(900),
                orphans: Orphans::Remove,
            },
        }
    }
}

/// What the engine works with.
pub struct Parts {
    /// What survives a restart.
    pub store: Arc<dyn Store>,
    /// Who asks.
    pub verifier: Verifier,
    /// Where permission is given.
    pub targets: Vec<Arc<dyn Target>>,
    /// Who signs `token` grants.
    pub issuer: Arc<Issuer>,
    /// Which operator and introspection tokens are accepted.
    pub operators: OperatorTokens,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub random: Arc<dyn Random>,
    /// What an operator may set.
    pub settings: Settings,
}

/// The use cases.
pub struct Engine {
    store: Arc<dyn Store>,
    verifier: Verifier,
    targets: Vec<Arc<dyn Target>>,
    issuer: Arc<Issuer>,
    operators: Changing<OperatorTokens>,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    settings: Changing<Settings>,
    budgets: budgets::Budgets,
    counters: Counters,
    first_seen: reconcile::FirstSeen,
    just_given: just_given::JustGiven,
    hearing: hearing::Hearing,
    pulse: pulse::Pulse,
    stopping: watch::Sender<bool>,
}

impl Engine {
    /// Makes sure that there is a signing key, and is ready from now on.
    pub async fn start(parts: Parts) -> Result<Self, Refusal> {
        let engine = Self {
            hearing: hearing::Hearing::since(parts.clock.now()),
            budgets: budgets::Budgets::new(parts.settings.elevations_per_minute),
            store: parts.store,
            verifier: parts.verifier,
            targets: parts.targets,
            issuer: parts.issuer,
            operators: Changing::new(parts.operators),
            clock: parts.clock,
            random: parts.random,
            settings: Changing::new(parts.settings),
            counters: Counters::default(),
            first_seen: reconcile::FirstSeen::default(),
            just_given: just_given::JustGiven::default(),
            pulse: pulse::Pulse::none_yet(),
            stopping: watch::Sender::new(false),
        };
        engine.tend_signing_keys().await?;
        Ok(engine)
    }

    /// From now on these. Grants that are there keep how often they beat.
    pub fn change(&self, settings: Settings, operators: OperatorTokens) {
        self.budgets.set(settings.elevations_per_minute);
        self.settings.set(settings);
        self.operators.set(operators);
    }

    /// What was counted since the start.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// The time by the engine's clock.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Heartbeats could not reach this broker until now, through no fault of their holders: each lease has its whole
    /// time again.
    pub fn could_not_hear(&self) {
        self.hearing.was_deaf(self.clock.now());
    }

    /// Who signs `token` grants.
    pub fn issuer(&self) -> &Issuer {
        &self.issuer
    }

    /// Whether the store can be read and written, and the worker works.
    pub async fn ready(&self) -> Result<(), Refusal> {
        self.pulse.check()?;
        match tokio::time::timeout(READY_WITHIN, self.store.ping()).await {
            Ok(answered) => Ok(answered?),
            Err(_) => Err(Refusal::new(
                protocol::ErrorCode::StoreUnavailable,
                format!("the broker's database did not answer within {} s", READY_WITHIN.as_secs()),
            )),
        }
    }

    fn target(&self, kind: TargetKind) -> Result<&Arc<dyn Target>, Refusal> {
        self.targets.iter().find(|target| target.kind() == kind).ok_or_else(|| {
            Refusal::new(
                protocol::ErrorCode::TargetFailed,
                format!("this broker is not set up for the target `{kind}`"),
            )
        })
    }
}
