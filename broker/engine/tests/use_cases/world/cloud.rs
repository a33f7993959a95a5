//! A cloud that keeps what was made in it, and misbehaves as a test says.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use domain::{Grant, Step, TargetKind};
use policy::Permit;
use protocol::{Credentials, EnforcedBy, GrantId, Secret, Timestamp};
use targets::claim::Claim;
use targets::{Fault, LateWrites, Plan, Removal, Target, TargetError};

use super::Gate;

/// What exists at the target, and how it misbehaves.
pub(crate) struct Cloud {
    pub(crate) objects: Mutex<BTreeSet<String>>,
    /// What there is to do cannot be said.
    pub(crate) fail_plan: Mutex<bool>,
    pub(crate) fail_apply_of: Mutex<Option<String>>,
    /// How the first try of an action fails.
    fails_once: Mutex<BTreeMap<String, Fault>>,
    /// Which calls were under way at once, each time that one began.
    pub(crate) at_once: Mutex<Vec<Vec<String>>>,
    under_way: Mutex<Vec<String>>,
    pub(crate) revert_failures_left: AtomicUsize,
    pub(crate) settles: Mutex<bool>,
    pub(crate) enforced_by: Mutex<EnforcedBy>,
    /// Nothing is changed outside the broker, as with the `token` target.
    pub(crate) inside: Mutex<bool>,
}

impl Default for Cloud {
    fn default() -> Self {
        Self {
            objects: Mutex::default(),
            fail_plan: Mutex::default(),
            fail_apply_of: Mutex::default(),
            fails_once: Mutex::default(),
            at_once: Mutex::default(),
            under_way: Mutex::default(),
            revert_failures_left: AtomicUsize::new(0),
            settles: Mutex::new(false),
            inside: Mutex::new(false),
            enforced_by: Mutex::new(EnforcedBy::Broker),
        }
    }
}

/// A call that ends when this is dropped.
struct UnderWay<'a> {
    cloud: &'a Cloud,
    what: String,
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.cloud.under_way.lock().unwrap().retain(|what| *what != self.what);
    }
}

impl Cloud {
    /// The first try of this action fails.
    pub(crate) fn fails_once(&self, action: &str, fault: Fault) {
        self.fails_once.lock().unwrap().insert(action.to_owned(), fault);
    }

    fn under_way(&self, what: &str) -> UnderWay<'_> {
        let mut under_way = self.under_way.lock().unwrap();
        under_way.push(what.to_owned());
        self.at_once.lock().unwrap().push(under_way.clone());
        UnderWay { cloud: self, what: what.to_owned() }
    }
}

pub(crate) struct CloudTarget {
    pub(crate) cloud: Arc<Cloud>,
    pub(crate) gate: Arc<Gate>,
}

const PARTS: [&str; 3] = ["role", "policy", "binding"];

#[async_trait]
impl Target for CloudTarget {
    fn kind(&self) -> TargetKind {
        TargetKind::Token
    }

    fn late_writes(&self) -> LateWrites {
        if *self.cloud.inside.lock().unwrap() {
            LateWrites::Impossible
        } else {
            LateWrites::Possible { within: std::time::Duration::ZERO }
        }
    }

    async fn plan(&self, _: &Permit, id: &GrantId, _: Timestamp) -> Result<Plan, TargetError> {
        if *self.cloud.fail_plan.lock().unwrap() {
            return Err(TargetError::refused("no such policy"));
        }
        let enforced_by = *self.cloud.enforced_by.lock().unwrap();
        if *self.cloud.inside.lock().unwrap() {
            return Ok(Plan { steps: Vec::new(), enforced_by });
        }
        let step = |part: &&str| Step {
            action: format!("make-{part}"),
            object: format!("{id}/{part}"),
            facts: BTreeMap::new(),
            shared: false,
        };
        Ok(Plan { steps: PARTS.iter().map(step).collect(), enforced_by })
    }

    fn can_run_in_parallel_with(&self, step: &Step, _: &Step) -> bool {
        step.action == "make-binding"
    }

    async fn apply(&self, _: &Grant, step: &Step, _: Timestamp, _: &Claim) -> Result<String, TargetError> {
        self.gate.pass().await;
        let _under_way = self.cloud.under_way(&step.action);
        tokio::task::yield_now().await;
        let fault = self.cloud.fails_once.lock().unwrap().remove(&step.action);
        if let Some(fault) = fault {
            return Err(TargetError { what: "not this time".to_owned(), fault });
        }
        if self.cloud.fail_apply_of.lock().unwrap().as_deref() == Some(step.action.as_str()) {
            return Err(TargetError::refused("quota exceeded"));
        }
        self.cloud.objects.lock().unwrap().insert(step.object.clone());
        self.gate.pass().await;
        Ok(step.action.clone())
    }

    async fn revert(
        &self,
        _: &Grant,
        step: &Step,
        now: Timestamp,
        _: &Claim,
    ) -> Result<Removal, TargetError> {
        self.gate.pass().await;
        let _under_way = self.cloud.under_way(&step.object);
        tokio::task::yield_now().await;
        let left = &self.cloud.revert_failures_left;
        if left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1)).is_ok() {
            return Err(TargetError::refused("throttled"));
        }
        self.cloud.objects.lock().unwrap().remove(&step.object);
        self.gate.pass().await;
        Ok(if *self.cloud.settles.lock().unwrap() {
            let observe_at = now.plus(std::time::Duration::from_secs(5));
            Removal::Pending { receipt: format!("{} accepted", step.object), observe_at }
        } else {
            Removal::confirmed(format!("{} gone", step.object))
        })
    }

    async fn fallback_plan(&self, _: &Permit, grant: &Grant, _: &Step, error: &TargetError) -> Option<Plan> {
        let step = Step {
            action: "make-attachment".to_owned(),
            object: format!("{}/attachment", grant.id),
            facts: BTreeMap::new(),
            shared: false,
        };
        let full = matches!(error.fault, Fault::Full { .. });
        full.then(|| Plan { steps: vec![step], enforced_by: EnforcedBy::Broker })
    }

    async fn observe(
        &self,
        _: &Grant,
        step: &Step,
        now: Timestamp,
        _: &Claim,
    ) -> Result<Removal, TargetError> {
        Ok(if self.cloud.objects.lock().unwrap().contains(&step.object) {
            Removal::Pending { receipt: "still there".to_owned(), observe_at: now }
        } else {
            Removal::confirmed(format!("{} gone", step.object))
        })
    }

    async fn credentials(&self, _: &Permit, grant: &Grant, _: Timestamp) -> Result<Credentials, TargetError> {
        self.gate.pass().await;
        Ok(Credentials::Token { token: Secret::new(grant.id.as_str()) })
    }
}
