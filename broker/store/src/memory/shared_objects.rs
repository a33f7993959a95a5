//! Locks shared objects, and counts their references.

use std::collections::{BTreeMap, BTreeSet};

use domain::Grant;
use protocol::{GrantId, Timestamp};

use crate::resource_lock::{Certain, Facts};
use crate::{AfterUpdate, LockRequest, Ownership, ResourceLock};

#[derive(Default)]
pub(super) struct Objects(BTreeMap<String, Object>);

struct Object {
    ownership: Ownership,
    delete_may_land_until: Option<Timestamp>,
    locked_until: Option<Timestamp>,
    fencing_token: i64,
    references: BTreeSet<GrantId>,
}

impl Objects {
    fn object(&mut self, name: &str) -> &mut Object {
        self.0.entry(name.to_owned()).or_insert_with(|| Object {
            ownership: Ownership::Unknown,
            delete_may_land_until: None,
            locked_until: None,
            fencing_token: 0,
            references: BTreeSet::new(),
        })
    }

    /// Adds the references of a grant's steps, or removes them when the grant is final.
    pub(super) fn update_references(&mut self, grant: &Grant) {
        for step in grant.steps.iter().filter(|step| step.shared) {
            let references = &mut self.object(&step.object).references;
            match grant.status().is_final() {
                true => references.remove(&grant.id),
                false => references.insert(grant.id.clone()),
            };
        }
    }

    pub(super) fn references(&self, object: &str) -> impl Iterator<Item = &GrantId> {
        self.0.get(object).into_iter().flat_map(|object| &object.references)
    }

    /// `ending_since`: when the first of the ending grants was requested.
    pub(super) fn lock(
        &mut self,
        request: LockRequest<'_>,
        others: u32,
        grant_is_current: bool,
        ending_since: Option<Timestamp>,
    ) -> Option<ResourceLock> {
        let object = self.object(request.object);
        if object.locked_until.is_some_and(|locked_until| request.now < locked_until) {
            return None;
        }
        object.locked_until = Some(request.until);
        object.fencing_token += 1;
        let (lock, certain) = request.decide(Facts {
            fencing_token: object.fencing_token,
            ownership: object.ownership,
            delete_may_land_until: object.delete_may_land_until,
            others,
            ending_since,
            grant_is_current,
        });
        if let Some(Certain { ownership, delete_may_land_until }) = certain {
            (object.ownership, object.delete_may_land_until) = (ownership, delete_may_land_until);
        }
        Some(lock)
    }

    pub(super) fn update(
        &mut self,
        lock: &ResourceLock,
        ownership: Ownership,
        delete_may_land_until: Option<Timestamp>,
        after: AfterUpdate,
    ) -> bool {
        let object = self.object(&lock.object);
        if object.fencing_token != lock.fencing_token {
            return false;
        }
        (object.ownership, object.delete_may_land_until) = (ownership, delete_may_land_until);
        match after {
            AfterUpdate::KeepLock => {}
            AfterUpdate::ReleaseLock => object.locked_until = None,
        }
        true
    }
}
