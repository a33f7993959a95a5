//! Who may change a shared object now, and who needs it?

use std::collections::{BTreeMap, BTreeSet};

use domain::Grant;
use protocol::{GrantId, Timestamp};

use crate::{Hold, Then, Whose};

#[derive(Default)]
pub(super) struct Objects(BTreeMap<String, Object>);

struct Object {
    whose: Whose,
    may_go_until: Option<Timestamp>,
    held_until: Option<Timestamp>,
    fence: i64,
    needed_by: BTreeSet<GrantId>,
}

impl Objects {
    fn object(&mut self, name: &str) -> &mut Object {
        self.0.entry(name.to_owned()).or_insert_with(|| Object {
            whose: Whose::Unknown,
            may_go_until: None,
            held_until: None,
            fence: 0,
            needed_by: BTreeSet::new(),
        })
    }

    /// Writes down which objects a grant's steps share.
    pub(super) fn need(&mut self, grant: &Grant) {
        for step in grant.steps.iter().filter(|step| step.shared) {
            self.object(&step.object).needed_by.insert(grant.id.clone());
        }
    }

    pub(super) fn needed_by(&self, object: &str) -> impl Iterator<Item = &GrantId> {
        self.0.get(object).into_iter().flat_map(|object| &object.needed_by)
    }

    pub(super) fn hold(&mut self, name: &str, now: Timestamp, until: Timestamp) -> Option<Hold> {
        let object = self.object(name);
        if object.held_until.is_some_and(|held_until| now < held_until) {
            return None;
        }
        object.held_until = Some(until);
        object.fence += 1;
        let (fence, whose, may_go_until) = (object.fence, object.whose, object.may_go_until);
        Some(Hold { object: name.to_owned(), fence, whose, may_go_until, until })
    }

    pub(super) fn note(
        &mut self,
        hold: &Hold,
        whose: Whose,
        may_go_until: Option<Timestamp>,
        then: Then,
    ) -> bool {
        let object = self.object(&hold.object);
        if object.fence != hold.fence {
            return false;
        }
        (object.whose, object.may_go_until) = (whose, may_go_until);
        match then {
            Then::Keep => {}
            Then::Release => object.held_until = None,
        }
        true
    }
}
