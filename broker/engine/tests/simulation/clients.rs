//! Clients that elevate, send heartbeats, and revoke or die, over a network that loses requests and responses.

use std::sync::Arc;
use std::time::Duration;

use engine::{Caller, Elevation, Engine, Refusal, Revocable};
use protocol::{
    AgentId, ElevateRequest, ErrorCode, Facts, GrantId, IdempotencyKey, RevokeCause, Secret, Timestamp,
};
use tokio::sync::oneshot;

use crate::fixture::{AGENTS, Fixture, REPLICAS};
use crate::ledger::SKEW;

/// How long a client waits for a response.
const PATIENCE: Duration = Duration::from_secs(20);
const BEAT: Duration = Duration::from_secs(10);
const POLICIES: [&[&str]; 6] =
    [&["own"], &["shared-a"], &["shared-a"], &["own", "shared-a"], &["shared-a", "shared-b"], &["foreign"]];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    GivesBack,
    Vanishes,
    WaitsForTheDeadline,
}

/// One run of a step in a pipeline.
pub(crate) struct Job {
    fixture: Arc<Fixture>,
    agent: AgentId,
    token: Secret,
    key: IdempotencyKey,
    policies: &'static [&'static str],
    seconds: u64,
    beats: bool,
    ending: Ending,
    key_goes_first: bool,
}

impl Job {
    pub(crate) fn of(fixture: &Arc<Fixture>, n: u64) -> Self {
        let rng = &fixture.rng;
        let (agent, token) = fixture.agent(rng.below(AGENTS));
        Self {
            agent,
            token,
            key: IdempotencyKey::from_random(u128::from(n).to_be_bytes()),
            policies: POLICIES[rng.below(POLICIES.len())],
            seconds: 60 + rng.next() % 120,
            beats: rng.chance(500),
            ending: *rng.pick(&[
                Ending::GivesBack,
                Ending::GivesBack,
                Ending::Vanishes,
                Ending::WaitsForTheDeadline,
            ]),
            key_goes_first: rng.chance(40),
            fixture: Arc::clone(fixture),
        }
    }

    /// A long job, which does nothing to end its grant.
    pub(crate) fn until_the_deadline(fixture: &Arc<Fixture>, n: u64) -> Self {
        let job = Self::of(fixture, n);
        let seconds = job.seconds + 120;
        Self { seconds, ending: Ending::WaitsForTheDeadline, key_goes_first: false, ..job }
    }

    pub(crate) async fn run(self) {
        let rng = &self.fixture.rng;
        let never = self.key_goes_first && self.gives_key_back_unused().await;
        let Some(id) = self.elevate().await else {
            if rng.chance(700) {
                self.give_back().await;
            }
            return;
        };
        if never {
            self.fixture.trace.wrong(&format!("{id} was granted for a key that was revoked before"));
        }
        self.fixture.ledger.told(&id);
        let works_for = match self.ending {
            Ending::GivesBack | Ending::Vanishes => rng.millis(100, self.seconds * 1_000),
            Ending::WaitsForTheDeadline => Duration::from_secs(self.seconds),
        };
        self.work(&id, works_for).await;
        match self.ending {
            Ending::GivesBack => self.give_back().await,
            Ending::Vanishes | Ending::WaitsForTheDeadline => {}
        }
    }

    async fn work(&self, id: &GrantId, works_for: Duration) {
        let until = tokio::time::Instant::now() + works_for;
        while self.beats && tokio::time::Instant::now() + BEAT < until {
            tokio::time::sleep(BEAT).await;
            if !self.beat(id).await {
                return;
            }
            if self.fixture.rng.chance(100) {
                self.renew(id).await;
            }
        }
        tokio::time::sleep_until(until).await;
    }

    /// Sends a heartbeat. False if the grant has ended.
    async fn beat(&self, id: &GrantId) -> bool {
        let sent = self.fixture.trace.now();
        let (token, id, key) = (self.token.clone(), id.clone(), self.key.clone());
        let grant = id.clone();
        match self.call(async move |engine| engine.heartbeat(Some(&token), &id, &key).await).await {
            Some(Ok(_)) => self.fixture.ledger.heard(&grant, sent),
            Some(Err(refusal)) => return refusal.code != ErrorCode::GrantEnded,
            None => {}
        }
        true
    }

    /// Asks for new credentials.
    async fn renew(&self, id: &GrantId) {
        let (token, id, key) = (self.token.clone(), id.clone(), self.key.clone());
        let renewed = self.call(async move |engine| engine.credentials(Some(&token), &id, &key).await).await;
        if let Some(Ok(grant)) = renewed {
            self.fixture.ledger.told(&grant.id);
        }
    }

    fn elevation(&self) -> Elevation {
        Elevation {
            bearer: Some(self.token.clone()),
            key: self.key.clone(),
            request: ElevateRequest {
                agent_id: self.agent.clone(),
                oidc_token: None,
                policies: self.policies.iter().map(|name| name.parse().unwrap()).collect(),
                ttl: format!("{}s", self.seconds).parse().unwrap(),
                target: None,
                reason: None,
                heartbeat: self.beats,
                claimed: Facts::default(),
            },
            observed: domain::facts::ObservedFacts::default(),
        }
    }

    /// Sends the same request, each time to a random replica, until a replica grants or finally refuses it.
    async fn elevate(&self) -> Option<GrantId> {
        for _ in 0..6 {
            let elevation = self.elevation();
            let asked = self.fixture.trace.now();
            match self.call(async move |engine| engine.elevate(elevation).await).await {
                Some(Ok(elevated)) => {
                    let grant = elevated.grant;
                    self.begins_in_time(&grant.id, asked, grant.expires_at);
                    return Some(grant.id);
                }
                Some(Err(refusal)) if is_final(&refusal) => return None,
                Some(Err(_)) | None => {}
            }
            tokio::time::sleep(self.fixture.rng.millis(100, 5_000)).await;
        }
        None
    }

    fn begins_in_time(&self, id: &GrantId, asked: Timestamp, expires_at: Timestamp) {
        let latest = asked.plus(Duration::from_secs(self.seconds)).plus(PATIENCE).plus(SKEW);
        if latest < expires_at {
            self.fixture.trace.wrong(&format!("{id} lasts longer than requested"));
        }
    }

    /// Revokes the key before it is used. True if the broker confirmed that the key gets no grant.
    async fn gives_key_back_unused(&self) -> bool {
        matches!(self.revoke().await, Some(Err(refusal)) if refusal.code == ErrorCode::GrantNotFound)
    }

    async fn give_back(&self) {
        for _ in 0..5 {
            match self.revoke().await {
                Some(Ok(_)) => return,
                Some(Err(refusal)) if refusal.code == ErrorCode::GrantNotFound => return,
                Some(Err(_)) | None => tokio::time::sleep(self.fixture.rng.millis(100, 3_000)).await,
            }
        }
    }

    async fn revoke(&self) -> Option<Result<protocol::Grant, Refusal>> {
        self.fixture.ledger.gives_back(&self.key);
        let (token, what) = (self.token.clone(), Revocable::Key(self.key.clone()));
        self.call(async move |engine| {
            let agent = engine.agent_of(Some(&token)).await?;
            engine.revoke(&Caller::Agent(agent), &what, RevokeCause::Asked).await
        })
        .await
    }

    /// `None` if the client received no response: the request may have taken effect all the same.
    async fn call<T, W>(&self, work: impl FnOnce(Arc<Engine>) -> W + Send + 'static) -> Option<T>
    where
        T: Send + 'static,
        W: Future<Output = T> + Send + 'static,
    {
        let Fixture { rng, fault_rates, .. } = &*self.fixture;
        tokio::time::sleep(rng.millis(1, 60)).await;
        if fault_rates.occurs(rng, fault_rates.message_lost) {
            tokio::time::sleep(PATIENCE).await;
            return None;
        }
        let n = rng.below(REPLICAS);
        let engine = self.fixture.replica(n)?;
        let (answer, answered) = oneshot::channel();
        let done = async move {
            // The client may have timed out.
            let _ = answer.send(work(engine).await);
        };
        if rng.chance(500) {
            // The broker cancels the request when the client times out.
            self.fixture.runs(n, async move {
                drop(tokio::time::timeout(PATIENCE, done).await);
            });
        } else {
            self.fixture.runs(n, done);
        }
        let answer = tokio::time::timeout(PATIENCE, answered).await;
        if fault_rates.occurs(rng, fault_rates.message_lost) {
            tokio::time::sleep(PATIENCE).await;
            return None;
        }
        answer.ok()?.ok()
    }
}

/// Whether a retry would get the same response.
fn is_final(refusal: &Refusal) -> bool {
    matches!(refusal.code, ErrorCode::GrantEnded | ErrorCode::AgentDisabled | ErrorCode::IdempotencyConflict)
}
