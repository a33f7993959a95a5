//! A cloud with one object that several grants reference; calls may go unanswered and be applied late.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use domain::{Grant, Step, TargetKind};
use engine::Clock;
use policy::Permit;
use protocol::{Credentials, EnforcedBy, GrantId, Secret, Timestamp};
use targets::claim::Claim;
use targets::{Fault, LateWrites, Plan, Presence, Removal, Target, TargetError};
use tokio::sync::oneshot;

use crate::fixture::TestClock;

/// The longest time that a caller waits for an answer.
const CALL: Duration = Duration::from_secs(5);
/// How long after its timeout the cloud may apply an unanswered call.
pub(crate) const LATE: Duration = Duration::from_secs(45);
/// How long after a detach the sessions that it refuses have ended.
const REFUSED: Duration = Duration::from_secs(600);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Call {
    Attach,
    /// Also refuses the existing sessions of this grant.
    Detach,
    Look,
    /// Removes the session-deny policy of this grant.
    Sweep,
}

/// The outcome of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CallOutcome {
    /// Applied and answered.
    Answered,
    /// Refused with an answer.
    Throttled,
    /// Applied; the answer is lost.
    Unheard,
    /// Not answered, and applied this many milliseconds later.
    Late(i64),
    /// Never arrives.
    Lost,
}

struct Sent {
    broker: usize,
    call: Call,
    grant: GrantId,
    given_up_at: Timestamp,
    answer: oneshot::Sender<Result<bool, TargetError>>,
}

#[derive(Default)]
struct Inside {
    object: String,
    present: bool,
    settles: bool,
    sent: Vec<Sent>,
    late: Vec<(Timestamp, Call, GrantId)>,
    refused: BTreeSet<GrantId>,
}

pub(crate) struct SharedCloud {
    clock: Arc<TestClock>,
    inside: Mutex<Inside>,
}

impl SharedCloud {
    pub(crate) fn new(clock: Arc<TestClock>) -> Arc<Self> {
        Arc::new(Self { clock, inside: Mutex::default() })
    }

    /// Starts a script with a new object and no calls.
    pub(crate) fn begin(&self, object: String, present: bool, settles: bool) {
        *self.inside.lock().unwrap() = Inside { object, present, settles, ..Inside::default() };
    }

    pub(crate) fn is_there(&self) -> bool {
        self.inside.lock().unwrap().present
    }

    /// The grants that have a session-deny policy.
    pub(crate) fn refused(&self) -> Vec<GrantId> {
        self.inside.lock().unwrap().refused.iter().cloned().collect()
    }

    pub(crate) fn owner_puts_it_there(&self) {
        self.inside.lock().unwrap().present = true;
    }

    pub(crate) fn owner_takes_it_away(&self) {
        self.inside.lock().unwrap().present = false;
    }

    /// The oldest unanswered call.
    pub(crate) fn sent_first(&self) -> Option<Call> {
        self.inside.lock().unwrap().sent.first().map(|sent| sent.call)
    }

    /// The number of unanswered calls.
    pub(crate) fn sent(&self) -> usize {
        self.inside.lock().unwrap().sent.len()
    }

    /// The indices of the unanswered calls that change something.
    pub(crate) fn changes(&self) -> Vec<usize> {
        let inside = self.inside.lock().unwrap();
        let changes = inside
            .sent
            .iter()
            .enumerate()
            .filter(|(_, sent)| matches!(sent.call, Call::Attach | Call::Detach));
        changes.map(|(n, _)| n).collect()
    }

    pub(crate) fn decide(&self, n: usize, outcome: CallOutcome) {
        let sent = self.inside.lock().unwrap().sent.remove(n);
        self.resolves(sent, outcome);
    }

    fn resolves(&self, sent: Sent, outcome: CallOutcome) {
        let unknown = Err(TargetError { what: "not answered".to_owned(), fault: Fault::Unknown });
        let answer = match outcome {
            CallOutcome::Answered => Ok(self.lands(sent.call, &sent.grant)),
            CallOutcome::Throttled => Err(TargetError {
                what: "throttled".to_owned(),
                fault: Fault::Busy { retry_after: Duration::from_millis(500) },
            }),
            CallOutcome::Unheard => {
                self.lands(sent.call, &sent.grant);
                unknown
            }
            CallOutcome::Late(millis) => {
                let late = Duration::from_millis(millis.unsigned_abs()).min(LATE);
                self.inside.lock().unwrap().late.push((self.clock.now().plus(late), sent.call, sent.grant));
                unknown
            }
            CallOutcome::Lost => unknown,
        };
        // The caller may be dead.
        let _ = sent.answer.send(answer);
    }

    /// Applies the call; returns whether the object existed.
    fn lands(&self, call: Call, grant: &GrantId) -> bool {
        let mut inside = self.inside.lock().unwrap();
        let was_there = inside.present;
        inside.present = match call {
            Call::Attach => true,
            Call::Detach => false,
            Call::Look | Call::Sweep => was_there,
        };
        match call {
            Call::Detach => drop(inside.refused.insert(grant.clone())),
            Call::Sweep => drop(inside.refused.remove(grant)),
            Call::Attach | Call::Look => {}
        }
        was_there
    }

    /// The caller died; its calls stay on their way and get these outcomes.
    pub(crate) fn caller_died(&self, broker: usize, outcome: CallOutcome) {
        let (dead, alive): (Vec<_>, Vec<_>) = std::mem::take(&mut self.inside.lock().unwrap().sent)
            .into_iter()
            .partition(|sent| sent.broker == broker);
        self.inside.lock().unwrap().sent = alive;
        for sent in dead {
            self.resolves(sent, outcome);
        }
    }

    /// When the cloud next applies a late call.
    pub(crate) fn next(&self) -> Option<Timestamp> {
        let inside = self.inside.lock().unwrap();
        let given_up = inside.sent.iter().map(|sent| sent.given_up_at);
        given_up.chain(inside.late.iter().map(|(at, _, _)| *at)).min()
    }

    /// Applies the late calls that are due.
    pub(crate) fn time_came(&self) {
        let now = self.clock.now();
        let (due, late): (Vec<_>, Vec<_>) = std::mem::take(&mut self.inside.lock().unwrap().late)
            .into_iter()
            .partition(|(at, _, _)| *at <= now);
        self.inside.lock().unwrap().late = late;
        for (_, call, grant) in due {
            self.lands(call, &grant);
        }
        while let Some(n) = self.given_up(now) {
            self.decide(n, CallOutcome::Late(5_000));
        }
    }

    fn given_up(&self, now: Timestamp) -> Option<usize> {
        self.inside.lock().unwrap().sent.iter().position(|sent| sent.given_up_at <= now)
    }
}

/// The cloud as one broker sees it.
pub(crate) struct SharedTarget {
    pub(crate) cloud: Arc<SharedCloud>,
    pub(crate) broker: usize,
}

impl SharedTarget {
    async fn call(&self, call: Call, grant: &Grant, claim: &Claim) -> Result<bool, TargetError> {
        if !claim.lasts_for(CALL) {
            return Err(not_sent());
        }
        let (answer, answered) = oneshot::channel();
        let given_up_at = self.cloud.clock.now().plus(CALL);
        let sent = Sent { broker: self.broker, call, grant: grant.id.clone(), given_up_at, answer };
        self.cloud.inside.lock().unwrap().sent.push(sent);
        answered.await.unwrap()
    }
}

/// The error of a target for a caller whose claim has lapsed.
fn not_sent() -> TargetError {
    let retry_after = Duration::from_secs(1);
    TargetError { what: "not sent: its claim has lapsed".to_owned(), fault: Fault::Busy { retry_after } }
}

#[async_trait]
impl Target for SharedTarget {
    fn kind(&self) -> TargetKind {
        TargetKind::Token
    }

    fn late_writes(&self) -> LateWrites {
        LateWrites::Possible { within: LATE }
    }

    async fn plan(&self, _: &Permit, _: &GrantId, _: Timestamp) -> Result<Plan, TargetError> {
        let step = Step {
            action: "attach".to_owned(),
            object: self.cloud.inside.lock().unwrap().object.clone(),
            data: domain::StepData::default(),
            shared: true,
        };
        Ok(Plan { steps: vec![step], enforced_by: EnforcedBy::Broker })
    }

    async fn apply(
        &self,
        grant: &Grant,
        _: &Step,
        _: Timestamp,
        claim: &Claim,
    ) -> Result<String, TargetError> {
        self.call(Call::Attach, grant, claim).await.map(|_| "attached".to_owned())
    }

    async fn revert(
        &self,
        grant: &Grant,
        _: &Step,
        now: Timestamp,
        claim: &Claim,
    ) -> Result<Removal, TargetError> {
        let was_there = self.call(Call::Detach, grant, claim).await?;
        Ok(if was_there && self.cloud.inside.lock().unwrap().settles {
            Removal::Pending { receipt: "detached".to_owned(), observe_at: now.plus(Duration::from_secs(2)) }
        } else {
            Removal::Confirmed {
                proof: "not attached".to_owned(),
                session_deny_until: Some(now.plus(REFUSED)),
            }
        })
    }

    async fn observe(
        &self,
        grant: &Grant,
        _: &Step,
        now: Timestamp,
        claim: &Claim,
    ) -> Result<Presence, TargetError> {
        Ok(if self.call(Call::Look, grant, claim).await? {
            Presence::Present
        } else {
            let session_deny_until = grant.is_verifying().then(|| now.plus(REFUSED));
            Presence::Absent { proof: "not attached".to_owned(), session_deny_until }
        })
    }

    async fn remove_session_deny(
        &self,
        grant: &Grant,
        _: &Step,
        _: Timestamp,
        claim: &Claim,
    ) -> Result<Option<String>, TargetError> {
        self.call(Call::Sweep, grant, claim).await.map(|_| None)
    }

    fn session_deny_needed_until(&self, _: &Step, now: Timestamp) -> Option<Timestamp> {
        Some(now.plus(REFUSED))
    }

    async fn credentials(&self, _: &Permit, grant: &Grant, _: Timestamp) -> Result<Credentials, TargetError> {
        Ok(Credentials::Token { token: Secret::new(grant.id.as_str()) })
    }
}
