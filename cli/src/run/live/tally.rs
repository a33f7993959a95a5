//! What was seen, how often, and what of it was not yet told? In bounded memory, however much there is.

use protocol::actions::Action;

use super::datagram::Seen;

/// The most kinds of calls that are told apart on one grant; what comes after is `other`.
const KINDS: usize = 256;

struct Kind {
    seen: Seen,
    /// Not yet shown to the person who watches.
    unshown: u32,
    /// Not yet told to the broker.
    untold: u32,
}

/// Whether a kind of call is new.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum News {
    First,
    Again,
}

/// Every kind of call, in the order in which they came first.
#[derive(Default)]
pub(super) struct Tally {
    kinds: Vec<Kind>,
    /// Calls of kinds that found no place.
    other: u32,
}

impl Tally {
    pub(super) fn note(&mut self, seen: Seen) -> News {
        if let Some(kind) = self.kinds.iter_mut().find(|kind| kind.seen == seen) {
            kind.unshown = kind.unshown.saturating_add(1);
            kind.untold = kind.untold.saturating_add(1);
            return News::Again;
        }
        if self.kinds.len() >= KINDS {
            self.other = self.other.saturating_add(1);
            return News::Again;
        }
        self.kinds.push(Kind { seen, unshown: 1, untold: 1 });
        News::First
    }

    /// What was not shown before.
    pub(super) fn show(&mut self) -> Vec<Action> {
        let shown = self.kinds.iter_mut().filter(|kind| kind.unshown > 0);
        shown.map(|kind| action(&kind.seen, std::mem::take(&mut kind.unshown))).collect()
    }

    /// What the broker was not told before, no more than so many kinds; the others wait.
    pub(super) fn tell(&mut self, most: usize) -> Vec<Action> {
        let told = self.kinds.iter_mut().filter(|kind| kind.untold > 0).take(most);
        told.map(|kind| action(&kind.seen, std::mem::take(&mut kind.untold))).collect()
    }

    /// All that the broker was not told before, in no more than so many rows: the last stands for all that have
    /// none of their own.
    pub(super) fn tell_all(&mut self, most: usize) -> Vec<Action> {
        let waiting = self.kinds.iter().filter(|kind| kind.untold > 0).count();
        let enough = waiting + usize::from(self.other > 0) <= most;
        let mut told = self.tell(if enough { most } else { most.saturating_sub(1) });
        let rest = self.kinds.iter_mut().map(|kind| std::mem::take(&mut kind.untold));
        let rest = rest.fold(std::mem::take(&mut self.other), u32::saturating_add);
        if rest > 0 {
            told.push(Action { name: "other".to_owned(), status: None, count: rest });
        }
        told
    }

    /// These did not reach the broker after all.
    pub(super) fn not_told(&mut self, actions: Vec<Action>) {
        for action in actions {
            let same = |kind: &&mut Kind| kind.seen.name == action.name && kind.seen.status == action.status;
            let count = self.kinds.iter_mut().find(same).map_or(&mut self.other, |kind| &mut kind.untold);
            *count = count.saturating_add(action.count);
        }
    }

    /// Whether the broker was told everything.
    pub(super) fn is_told(&self) -> bool {
        self.other == 0 && self.kinds.iter().all(|kind| kind.untold == 0)
    }
}

fn action(seen: &Seen, count: u32) -> Action {
    Action { name: seen.name.clone(), status: seen.status.clone(), count }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(names: impl IntoIterator<Item = String>) -> Tally {
        let mut tally = Tally::default();
        for name in names {
            tally.note(Seen { name, status: Some("200".to_owned()) });
        }
        tally
    }

    fn words(actions: &[Action]) -> Vec<String> {
        actions.iter().map(Action::in_words).collect()
    }

    fn total(actions: &[Action]) -> u32 {
        actions.iter().map(|action| action.count).sum()
    }

    #[test]
    fn the_same_call_is_one_row_with_a_count_and_is_told_once() {
        let mut tally = tally(["s3:PutObject", "ecs:ListTasks", "s3:PutObject"].map(str::to_owned));
        let expected = ["s3:PutObject · 200 ×2", "ecs:ListTasks · 200"];
        assert_eq!(words(&tally.show()), expected);
        assert_eq!(words(&tally.tell(100)), expected);
        assert_eq!((tally.show().len(), tally.tell(100).len(), tally.is_told()), (0, 0, true));
    }

    #[test]
    fn another_status_is_another_row() {
        let mut tally = tally(["s3:GetObject".to_owned()]);
        let denied = Seen { name: "s3:GetObject".to_owned(), status: Some("403 AccessDenied".to_owned()) };
        assert_eq!(tally.note(denied.clone()), News::First);
        assert_eq!(tally.note(denied), News::Again);
        assert_eq!(words(&tally.tell(100)), ["s3:GetObject · 200", "s3:GetObject · 403 AccessDenied ×2"]);
    }

    #[test]
    fn what_was_not_told_is_told_with_what_came_since() {
        let mut tally = tally(["s3:PutObject".to_owned()]);
        let lost = tally.tell(100);
        tally.note(Seen { name: "s3:PutObject".to_owned(), status: Some("200".to_owned()) });
        tally.not_told(lost);
        assert_eq!(words(&tally.tell(100)), ["s3:PutObject · 200 ×2"]);
    }

    #[test]
    fn what_does_not_fit_into_one_report_waits_for_the_next() {
        let mut tally = tally((0..150).map(|number| format!("s3:Call{number}")));
        assert_eq!((tally.tell(100).len(), tally.tell(100).len(), tally.tell(100).len()), (100, 50, 0));
    }

    #[test]
    fn a_flood_of_names_takes_no_more_memory_and_no_call_is_lost_from_the_count() {
        let mut tally = tally((0..100_000).map(|number| format!("s3:Call{number}")));
        assert_eq!(tally.kinds.len(), KINDS);
        let first = tally.tell(100);
        let last = tally.tell_all(100);
        assert_eq!((first.len(), last.len()), (100, 100));
        assert_eq!(last.last().map(|action| action.name.as_str()), Some("other"));
        assert_eq!(total(&first) + total(&last), 100_000);
        assert!(tally.is_told());
        tally.not_told(last);
        assert_eq!(total(&tally.tell_all(1)), 99_900);
    }
}
