//! A cloud whose calls are slow, refused, applied without an answer, or applied late.
//!
//! A sent call no longer depends on its caller, which may die meanwhile. The caller times out [`GIVEN_UP`] after it sent
//! the call at the latest; the cloud may apply the call for as long after that as [`LateWrites`] allows. A frozen machine
//! sends its call when it resumes, unless the claim has lapsed.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use domain::{Grant, Step, TargetKind, TargetScope};
use policy::Permit;
use protocol::{Credentials, EnforcedBy, GrantId, Secret, Timestamp};
use targets::claim::Claim;
use targets::{Fault, LateWrites, Plan, Presence, Removal, Target, TargetError};
use tokio::sync::oneshot;

use crate::fault_injection;
use crate::fault_rates::Link;
use crate::fixture::Fixture;
use crate::ledger::Call;

/// The longest time that a caller waits for an answer.
const GIVEN_UP: Duration = Duration::from_secs(5);

/// The number of calls on their way.
#[derive(Default)]
pub(crate) struct UnderWay(AtomicUsize);

impl UnderWay {
    pub(crate) fn is_none(&self) -> bool {
        self.0.load(Ordering::SeqCst) == 0
    }
}

/// The outcome of a call.
enum CallOutcome {
    /// Applied after the first duration, and answered after the second.
    Answered(Duration, Duration),
    Throttled,
    Refused,
    /// Applied after the first duration, and not answered; the caller times out after the second.
    Unheard(Duration, Duration),
    Lost,
}

/// The cloud as one replica sees it.
pub(crate) struct FaultyTarget {
    pub(crate) fixture: Arc<Fixture>,
    pub(crate) link: Arc<Link>,
    pub(crate) who: usize,
    /// The slot that the replica runs in.
    pub(crate) slot: usize,
}

impl FaultyTarget {
    fn outcome(&self) -> CallOutcome {
        let Fixture { rng, fault_rates, late, .. } = &*self.fixture;
        let occurs = |permille| fault_rates.occurs(rng, permille);
        if occurs(fault_rates.throttled) {
            CallOutcome::Throttled
        } else if occurs(fault_rates.refused) {
            CallOutcome::Refused
        } else if occurs(fault_rates.lost) {
            CallOutcome::Lost
        } else if occurs(fault_rates.late) {
            let lost = rng.millis(1, 5_000);
            CallOutcome::Unheard(rng.millis(0, u64::try_from((lost + *late).as_millis()).unwrap()), lost)
        } else if occurs(fault_rates.unheard) {
            CallOutcome::Unheard(rng.millis(1, 400), rng.millis(1, 5_000))
        } else if occurs(fault_rates.slow) {
            CallOutcome::Answered(rng.millis(100, 4_000), rng.millis(10, 3_000))
        } else {
            CallOutcome::Answered(rng.millis(5, 150), rng.millis(5, 150))
        }
    }

    async fn call(&self, call: Call, grant: &Grant, step: &Step, claim: &Claim) -> Result<bool, TargetError> {
        let fixture = &self.fixture;
        fault_injection::maybe_inject(fixture, self.slot).await;
        if !claim.lasts_for(GIVEN_UP) {
            return Err(busy("not sent: its claim has lapsed"));
        }
        if step.shared && call != Call::Look {
            fixture.ledger.changes_shared(self.who, &step.object);
        }
        let unanswered = || TargetError { what: "not answered".to_owned(), fault: Fault::Unknown };
        let cut = self.link.cloud_cut.load(Ordering::SeqCst);
        let outcome = if cut { CallOutcome::Lost } else { self.outcome() };
        let said = match outcome {
            CallOutcome::Throttled => Err((fixture.rng.millis(5, 200), busy("throttled"))),
            CallOutcome::Refused => Err((fixture.rng.millis(5, 200), TargetError::refused("refused"))),
            CallOutcome::Lost => Err((GIVEN_UP, unanswered())),
            CallOutcome::Unheard(lands, lost) => {
                drop(self.send(call, grant, step, lands, Duration::ZERO));
                Err((lost, unanswered()))
            }
            CallOutcome::Answered(lands, answered) => Ok(self.send(call, grant, step, lands, answered)),
        };
        let said = match said {
            Ok(answer) => match tokio::time::timeout(GIVEN_UP, answer).await {
                Ok(Ok(was_there)) => Ok(was_there),
                Ok(Err(_)) | Err(_) => Err(unanswered()),
            },
            Err((after, error)) => {
                tokio::time::sleep(after).await;
                Err(error)
            }
        };
        fault_injection::maybe_inject(fixture, self.slot).await;
        if let Err(error) = &said {
            let Self { who, .. } = self;
            fixture.trace.say(&format!("replica {who} · {call:?} {}: {error}", step.object));
        }
        said
    }

    /// Sends the call; the caller can no longer cancel it.
    fn send(
        &self,
        call: Call,
        grant: &Grant,
        step: &Step,
        lands: Duration,
        answered: Duration,
    ) -> oneshot::Receiver<bool> {
        let (answer, heard) = oneshot::channel();
        let (fixture, grant, object) = (Arc::clone(&self.fixture), grant.id.clone(), step.object.clone());
        fixture.under_way.0.fetch_add(1, Ordering::SeqCst);
        tokio::spawn(async move {
            tokio::time::sleep(lands).await;
            let was_there = fixture.ledger.lands(call, &object, &grant);
            fixture.under_way.0.fetch_sub(1, Ordering::SeqCst);
            tokio::time::sleep(answered).await;
            // The caller may be dead.
            let _ = answer.send(was_there);
        });
        heard
    }
}

fn busy(what: &str) -> TargetError {
    let retry_after = Duration::from_millis(500);
    TargetError { what: what.to_owned(), fault: Fault::Busy { retry_after } }
}

#[async_trait]
impl Target for FaultyTarget {
    fn kind(&self) -> TargetKind {
        TargetKind::Token
    }

    fn late_writes(&self) -> LateWrites {
        LateWrites::Possible { within: self.fixture.late }
    }

    /// The policy `own` is an object of the grant alone, and the cloud ends it at the deadline. Grants share the object
    /// of every other policy.
    async fn plan(&self, permit: &Permit, id: &GrantId, _: Timestamp) -> Result<Plan, TargetError> {
        self.link.awake().await;
        let TargetScope::Token(scope) = permit.scope() else {
            return Err(TargetError::refused("the agents are registered for tokens"));
        };
        let steps: Vec<Step> = scope
            .policies
            .iter()
            .map(|(_, scope)| scope.as_str().to_owned())
            .map(|name| Step {
                action: "attach".to_owned(),
                object: if name == "own" { format!("own-{id}") } else { name.clone() },
                data: domain::StepData::default(),
                shared: name != "own",
            })
            .collect();
        let by_the_cloud = steps.iter().all(|step| !step.shared);
        let enforced_by = if by_the_cloud { EnforcedBy::Cloud } else { EnforcedBy::Broker };
        Ok(Plan { steps, enforced_by })
    }

    async fn apply(
        &self,
        grant: &Grant,
        step: &Step,
        _: Timestamp,
        claim: &Claim,
    ) -> Result<String, TargetError> {
        self.call(Call::Attach, grant, step, claim).await.map(|_| format!("{} attached", step.object))
    }

    async fn revert(
        &self,
        grant: &Grant,
        step: &Step,
        now: Timestamp,
        claim: &Claim,
    ) -> Result<Removal, TargetError> {
        let was_there = self.call(Call::Detach, grant, step, claim).await?;
        Ok(if was_there && self.fixture.settles {
            let observe_at = now.plus(Duration::from_secs(2));
            Removal::Pending { receipt: format!("{} detached", step.object), observe_at }
        } else {
            Removal::confirmed(format!("{} not attached", step.object))
        })
    }

    async fn observe(
        &self,
        grant: &Grant,
        step: &Step,
        _: Timestamp,
        claim: &Claim,
    ) -> Result<Presence, TargetError> {
        Ok(if self.call(Call::Look, grant, step, claim).await? {
            Presence::Present
        } else {
            Presence::absent(format!("{} not attached", step.object))
        })
    }

    async fn credentials(&self, _: &Permit, grant: &Grant, _: Timestamp) -> Result<Credentials, TargetError> {
        self.link.awake().await;
        Ok(Credentials::Token { token: Secret::new(grant.id.as_str()) })
    }
}
