//! Locks shared objects, and counts their references.

use std::collections::{BTreeMap, BTreeSet};

use domain::Grant;
use protocol::{GrantId, Timestamp};

use crate::{AfterUpdate, LockPurpose, LockRequest, Ownership, ResourceLock};

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
        let LockRequest { object: name, now, until, purpose, .. } = request;
        let object = self.object(name);
        if object.locked_until.is_some_and(|locked_until| now < locked_until) {
            return None;
        }
        object.locked_until = Some(until);
        object.fencing_token += 1;
        let before = object.delete_may_land_until;
        let mut delete_recorded = false;
        match (purpose, object.ownership) {
            (
                LockPurpose::Attach { .. },
                Ownership::Managed { write_may_land_until: Some(write_may_land_until) },
            ) if grant_is_current
                && before.is_none_or(|delete_may_land_until| delete_may_land_until <= now)
                && (now < write_may_land_until
                    || ending_since.is_some_and(|since| since < write_may_land_until)) =>
            {
                object.ownership = Ownership::Managed { write_may_land_until: None };
            }
            (
                LockPurpose::Detach { asked_at, delete_may_land_until },
                Ownership::Managed { write_may_land_until },
            ) if others == 0 && write_may_land_until.is_none_or(|until| asked_at <= until) => {
                object.delete_may_land_until = before.max(Some(delete_may_land_until));
                delete_recorded = true;
            }
            (LockPurpose::Attach { .. } | LockPurpose::Detach { .. } | LockPurpose::Inspect, _) => {}
        }
        let (fencing_token, ownership) = (object.fencing_token, object.ownership);
        let object = name.to_owned();
        Some(ResourceLock {
            object,
            fencing_token,
            ownership,
            delete_may_land_until: before,
            others,
            grant_is_current,
            delete_recorded,
            until,
        })
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
