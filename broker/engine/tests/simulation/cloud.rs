//! A cloud whose calls are slow, refused, done and not heard of, or done late.
//!
//! A call is on its way by itself: whoever sent it may die meanwhile. Nothing lands later than [`LateWrites`] allows
//! after its caller lost it, which is [`GIVEN_UP`] after it was sent at most. A machine that stood still sends its call
//! when it goes on, unless the claim for it has lapsed.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use domain::{Grant, Step, TargetKind};
use policy::Permit;
use protocol::{Credentials, EnforcedBy, GrantId, Secret, Timestamp};
use targets::claim::Claim;
use targets::{Fault, LateWrites, Plan, Removal, Target, TargetError};
use tokio::sync::oneshot;

use crate::ledger::Call;
use crate::troubles;
use crate::weather::Link;
use crate::world::World;

/// Longer than that nobody waits for an answer.
const GIVEN_UP: Duration = Duration::from_secs(5);

/// How many calls are on their way.
#[derive(Default)]
pub(crate) struct UnderWay(AtomicUsize);

impl UnderWay {
    pub(crate) fn is_none(&self) -> bool {
        self.0.load(Ordering::SeqCst) == 0
    }
}

/// What becomes of a call.
enum Fate {
    /// Done after so long, and answered after so long again.
    Answered(Duration, Duration),
    Throttled,
    Refused,
    /// Done after so long, and no answer; whoever asked knows that after so long.
    Unheard(Duration, Duration),
    Lost,
}

/// The cloud as one replica sees it.
pub(crate) struct FaultyTarget {
    pub(crate) world: Arc<World>,
    pub(crate) link: Arc<Link>,
    pub(crate) who: usize,
    /// Where it runs.
    pub(crate) slot: usize,
}

impl FaultyTarget {
    fn fate(&self) -> Fate {
        let World { dice, weather, late, .. } = &*self.world;
        let strikes = |permille| weather.strikes(dice, permille);
        if strikes(weather.throttled) {
            Fate::Throttled
        } else if strikes(weather.refused) {
            Fate::Refused
        } else if strikes(weather.lost) {
            Fate::Lost
        } else if strikes(weather.late) {
            let lost = dice.millis(1, 5_000);
            Fate::Unheard(dice.millis(0, u64::try_from((lost + *late).as_millis()).unwrap()), lost)
        } else if strikes(weather.unheard) {
            Fate::Unheard(dice.millis(1, 400), dice.millis(1, 5_000))
        } else if strikes(weather.slow) {
            Fate::Answered(dice.millis(100, 4_000), dice.millis(10, 3_000))
        } else {
            Fate::Answered(dice.millis(5, 150), dice.millis(5, 150))
        }
    }

    async fn call(&self, call: Call, grant: &Grant, step: &Step, claim: &Claim) -> Result<bool, TargetError> {
        let world = &self.world;
        troubles::may_strike(world, self.slot).await;
        if !claim.lasts_for(GIVEN_UP) {
            return Err(busy("not sent: its claim has lapsed"));
        }
        if step.shared && call != Call::Look {
            world.ledger.changes_shared(self.who, &step.object);
        }
        let unanswered = || TargetError { what: "not answered".to_owned(), fault: Fault::Unknown };
        let cut = self.link.cloud_cut.load(Ordering::SeqCst);
        let fate = if cut { Fate::Lost } else { self.fate() };
        let said = match fate {
            Fate::Throttled => Err((world.dice.millis(5, 200), busy("throttled"))),
            Fate::Refused => Err((world.dice.millis(5, 200), TargetError::refused("refused"))),
            Fate::Lost => Err((GIVEN_UP, unanswered())),
            Fate::Unheard(lands, lost) => {
                drop(self.send(call, grant, step, lands, Duration::ZERO));
                Err((lost, unanswered()))
            }
            Fate::Answered(lands, answered) => Ok(self.send(call, grant, step, lands, answered)),
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
        troubles::may_strike(world, self.slot).await;
        if let Err(error) = &said {
            let Self { who, .. } = self;
            world.trace.say(&format!("replica {who} · {call:?} {}: {error}", step.object));
        }
        said
    }

    /// From here on nobody can call it back.
    fn send(
        &self,
        call: Call,
        grant: &Grant,
        step: &Step,
        lands: Duration,
        answered: Duration,
    ) -> oneshot::Receiver<bool> {
        let (answer, heard) = oneshot::channel();
        let (world, grant, object) = (Arc::clone(&self.world), grant.id.clone(), step.object.clone());
        world.under_way.0.fetch_add(1, Ordering::SeqCst);
        tokio::spawn(async move {
            tokio::time::sleep(lands).await;
            let was_there = world.ledger.lands(call, &object, &grant);
            world.under_way.0.fetch_sub(1, Ordering::SeqCst);
            tokio::time::sleep(answered).await;
            // Whoever asked may be dead.
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
        LateWrites::Possible { within: self.world.late }
    }

    /// A policy that is called `own` is made for the grant alone, and the cloud ends it at the deadline; each other
    /// one is an object that all grants with it share.
    async fn plan(&self, permit: &Permit, id: &GrantId, _: Timestamp) -> Result<Plan, TargetError> {
        self.link.awake().await;
        let steps: Vec<Step> = permit
            .policies()
            .iter()
            .map(|(_, name)| Step {
                action: "attach".to_owned(),
                object: if name == "own" { format!("own-{id}") } else { name.clone() },
                facts: std::collections::BTreeMap::new(),
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
        Ok(if was_there && self.world.settles {
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
        now: Timestamp,
        claim: &Claim,
    ) -> Result<Removal, TargetError> {
        Ok(if self.call(Call::Look, grant, step, claim).await? {
            Removal::Pending { receipt: format!("{} attached", step.object), observe_at: now }
        } else {
            Removal::confirmed(format!("{} not attached", step.object))
        })
    }

    async fn credentials(&self, _: &Permit, grant: &Grant, _: Timestamp) -> Result<Credentials, TargetError> {
        self.link.awake().await;
        Ok(Credentials::Token { token: Secret::new(grant.id.as_str()) })
    }
}
