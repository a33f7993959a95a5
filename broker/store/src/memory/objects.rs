//! Who may change a shared object now, and who needs it?

use std::collections::{BTreeMap, BTreeSet};

use domain::Grant;
use protocol::{GrantId, Timestamp};

use crate::{Hold, Holding, Then, To, Whose};

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

    /// Writes down which objects a grant's steps share, until it needs nothing any more.
    pub(super) fn need(&mut self, grant: &Grant) {
        for step in grant.steps.iter().filter(|step| step.shared) {
            let needed_by = &mut self.object(&step.object).needed_by;
            match grant.status().is_final() {
                true => needed_by.remove(&grant.id),
                false => needed_by.insert(grant.id.clone()),
            };
        }
    }

    pub(super) fn needed_by(&self, object: &str) -> impl Iterator<Item = &GrantId> {
        self.0.get(object).into_iter().flat_map(|object| &object.needed_by)
    }

    /// `lands_since`: the first that was asked for of those that are being taken back.
    pub(super) fn hold(
        &mut self,
        holding: Holding<'_>,
        others: u32,
        lasts: bool,
        lands_since: Option<Timestamp>,
    ) -> Option<Hold> {
        let Holding { object: name, now, until, to, .. } = holding;
        let object = self.object(name);
        if object.held_until.is_some_and(|held_until| now < held_until) {
            return None;
        }
        object.held_until = Some(until);
        object.fence += 1;
        let before = object.may_go_until;
        let mut goes = false;
        match (to, object.whose) {
            (To::Give { .. }, Whose::Ours { until: Some(ours_until) })
                if lasts
                    && before.is_none_or(|may_go_until| may_go_until <= now)
                    && (now < ours_until || lands_since.is_some_and(|since| since < ours_until)) =>
            {
                object.whose = Whose::Ours { until: None };
            }
            (To::TakeBack { asked_at, may_go_until }, Whose::Ours { until })
                if others == 0 && until.is_none_or(|until| asked_at <= until) =>
            {
                object.may_go_until = before.max(Some(may_go_until));
                goes = true;
            }
            (To::Give { .. } | To::TakeBack { .. } | To::Look, _) => {}
        }
        let (fence, whose) = (object.fence, object.whose);
        let object = name.to_owned();
        Some(Hold { object, fence, whose, may_go_until: before, others, lasts, goes, until })
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
