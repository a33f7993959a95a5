//! Sets up one store, one cloud, and three replicas that can be killed and restarted.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use domain::AgentStatus;
use engine::{Author, Engine, EngineDeps, OperatorTokens, PostureSource, Refusal, Settings};
use protocol::{AgentId, Secret};
use signing::Issuer;
use store::{ApplyMode, Memory, Store};
use tokio::task::JoinHandle;

use crate::cloud::{FaultyTarget, UnderWay};
use crate::fault_rates::{FaultRates, Link};
use crate::faulty_store::FaultyStore;
use crate::ledger::Ledger;
use crate::rng::Rng;
use crate::trace::{Time, Trace};

pub(crate) const REPLICAS: usize = 3;
pub(crate) const AGENTS: usize = 3;
/// As in `dev` and `serve`.
pub(crate) const SWEEP_EVERY: Duration = Duration::from_secs(1);
/// A foreign object.
pub(crate) const FOREIGN: &str = "foreign";
/// A source of posture.
pub(crate) const SCANNER: &str = "scanner";
/// How long a finding holds.
const FINDING_HOLDS: Duration = Duration::from_secs(60);

pub(crate) struct Fixture {
    pub(crate) rng: Rng,
    random: Arc<Rng>,
    time: Time,
    pub(crate) trace: Arc<Trace>,
    pub(crate) ledger: Ledger,
    pub(crate) fault_rates: FaultRates,
    pub(crate) store: Memory,
    pub(crate) under_way: UnderWay,
    /// How long after its timeout the cloud may apply an unanswered call.
    pub(crate) late: Duration,
    /// Whether a removal is verified before it counts as gone.
    pub(crate) settles: bool,
    pub(crate) scanner_token: Secret,
    slots: Vec<Mutex<Slot>>,
    agents: Mutex<Vec<(AgentId, Secret)>>,
}

/// The place that a replica runs in.
struct Slot {
    link: Arc<Link>,
    ahead: Duration,
    behind: Duration,
    running: Option<Arc<Engine>>,
    starts: usize,
    tasks: Vec<JoinHandle<()>>,
}

impl Fixture {
    pub(crate) fn of(seed: u64) -> Arc<Self> {
        let rng = Rng::of(seed);
        let time = Time::begin();
        let trace = Arc::new(Trace::begin(time));
        let slots = (0..REPLICAS).map(|_| {
            Mutex::new(Slot {
                link: Arc::default(),
                ahead: rng.millis(0, 20),
                behind: rng.millis(0, 20),
                running: None,
                starts: 0,
                tasks: Vec::new(),
            })
        });
        Arc::new(Self {
            slots: slots.collect(),
            random: Arc::new(Rng::of(!seed)),
            time,
            ledger: Ledger::of(&trace, &[FOREIGN]),
            fault_rates: FaultRates::of(&rng),
            late: Duration::from_secs(*rng.pick(&[20, 60, 180])),
            settles: rng.chance(500),
            scanner_token: Secret::new("cjop_of-the-scanner"),
            trace,
            store: Memory::default(),
            under_way: UnderWay::default(),
            agents: Mutex::default(),
            rng,
        })
    }

    fn scanner(&self) -> PostureSource {
        PostureSource {
            name: SCANNER.to_owned(),
            token_hash: Some(engine::hash_of(self.scanner_token.reveal())),
            max_age: FINDING_HOLDS,
            transmitter: None,
        }
    }

    fn slot(&self, n: usize) -> MutexGuard<'_, Slot> {
        self.slots[n].lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn link(&self, n: usize) -> Arc<Link> {
        Arc::clone(&self.slot(n).link)
    }

    pub(crate) fn replica(&self, n: usize) -> Option<Arc<Engine>> {
        self.slot(n).running.clone()
    }

    pub(crate) fn agent(&self, n: usize) -> (AgentId, Secret) {
        self.agents.lock().unwrap_or_else(PoisonError::into_inner)[n].clone()
    }

    /// Starts a process on the existing store. Fails if a fault hits the start.
    pub(crate) async fn start(self: &Arc<Self>, n: usize) -> Result<(), Refusal> {
        let (link, clock, who) = {
            let mut slot = self.slot(n);
            slot.starts += 1;
            let clock = self.time.off_by(slot.ahead, slot.behind);
            (Arc::clone(&slot.link), clock, n + slot.starts * 10)
        };
        let store = FaultyStore { fixture: Arc::clone(self), link: Arc::clone(&link), who, slot: n };
        let target = FaultyTarget { fixture: Arc::clone(self), link, who, slot: n };
        let parts = EngineDeps {
            store: Arc::new(store),
            verifier: identity::Verifier::new(
                identity::Http::new(None).unwrap(),
                identity::Options::default(),
            ),
            event_verifier: identity::EventVerifier::new(
                identity::Http::new(None).unwrap(),
                identity::CacheTimes::default(),
            ),
            targets: vec![Arc::new(target)],
            issuer: Arc::new(Issuer::new("https://broker.example").unwrap()),
            operators: OperatorTokens::default(),
            posture_sources: vec![self.scanner()],
            people: None,
            channels: Vec::new(),
            clock: Arc::new(clock),
            random: Arc::clone(&self.random) as _,
            settings: Settings::default(),
        };
        let engine = Arc::new(Engine::start(parts).await?);
        self.trace.say(&format!("replica {who} · runs"));
        let worker = tokio::spawn(Arc::clone(&engine).run_worker(SWEEP_EVERY));
        let mut slot = self.slot(n);
        slot.running = Some(engine);
        slot.tasks.push(worker);
        Ok(())
    }

    /// Kills the process; calls that it sent are still on their way.
    pub(crate) fn kill(&self, n: usize) {
        let mut slot = self.slot(n);
        slot.running = None;
        for task in slot.tasks.drain(..) {
            task.abort();
        }
    }

    /// Runs a task that ends with the replica's process.
    pub(crate) fn runs(&self, n: usize, work: impl Future<Output = ()> + Send + 'static) {
        let mut slot = self.slot(n);
        slot.tasks.retain(|task| !task.is_finished());
        slot.tasks.push(tokio::spawn(work));
    }

    pub(crate) async fn register_agents(&self) {
        let replica = self.replica(0).unwrap();
        for n in 0..AGENTS {
            let source = format!(
                r#"
                id = "agent-{n}"
                use_case = "other"
                max_session = "1h"
                [boundary]
                target = "token"
                policies = {{ "own" = "own", "shared-a" = "shared-a", "shared-b" = "shared-b", "foreign" = "{FOREIGN}" }}
                [dangerous]
                allow_auth_token_only = true
                "#
            );
            let applied =
                replica.apply_agent(&source, ApplyMode::CreateOnly, &Author::Configuration).await.unwrap();
            let agent = (applied.agent_id, applied.auth_token.unwrap());
            self.agents.lock().unwrap_or_else(PoisonError::into_inner).push(agent);
        }
    }

    pub(crate) async fn is_enabled(&self, agent: &AgentId) -> bool {
        let agent = self.store.agent(agent).await.unwrap();
        agent.is_some_and(|agent| agent.status == AgentStatus::Active)
    }
}
