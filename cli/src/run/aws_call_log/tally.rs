//! Counts of a step's calls, printed and reported, in bounded memory.

use protocol::actions::Action;

use super::datagram::AwsCall;

/// The number of kinds of calls that are counted apart; later kinds are `other`.
const KINDS: usize = 256;

struct Kind {
    call: AwsCall,
    /// Not printed yet.
    unprinted: u32,
    /// Not reported yet.
    unreported: u32,
}

/// Whether a kind of call is new.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Novelty {
    First,
    Again,
}

/// Every kind of call, in the order in which they came first.
#[derive(Default)]
pub(super) struct Tally {
    kinds: Vec<Kind>,
    /// Calls of later kinds.
    other: u32,
}

impl Tally {
    pub(super) fn count(&mut self, call: AwsCall) -> Novelty {
        if let Some(kind) = self.kinds.iter_mut().find(|kind| kind.call == call) {
            kind.unprinted = kind.unprinted.saturating_add(1);
            kind.unreported = kind.unreported.saturating_add(1);
            return Novelty::Again;
        }
        if self.kinds.len() >= KINDS {
            self.other = self.other.saturating_add(1);
            return Novelty::Again;
        }
        self.kinds.push(Kind { call, unprinted: 1, unreported: 1 });
        Novelty::First
    }

    /// Takes the calls that were not printed before.
    pub(super) fn take_unprinted(&mut self) -> Vec<Action> {
        let printed = self.kinds.iter_mut().filter(|kind| kind.unprinted > 0);
        printed.map(|kind| action(&kind.call, std::mem::take(&mut kind.unprinted))).collect()
    }

    /// Takes the calls that were not reported before, of at most `most` kinds.
    pub(super) fn take_unreported(&mut self, most: usize) -> Vec<Action> {
        let taken = self.kinds.iter_mut().filter(|kind| kind.unreported > 0).take(most);
        taken.map(|kind| action(&kind.call, std::mem::take(&mut kind.unreported))).collect()
    }

    /// Takes every call that was not reported before, in at most `most` rows: the last row counts the calls without one of
    /// their own.
    pub(super) fn take_all(&mut self, most: usize) -> Vec<Action> {
        let unreported_kinds = self.kinds.iter().filter(|kind| kind.unreported > 0).count();
        let enough = unreported_kinds + usize::from(self.other > 0) <= most;
        let mut rows = self.take_unreported(if enough { most } else { most.saturating_sub(1) });
        let rest = self.kinds.iter_mut().map(|kind| std::mem::take(&mut kind.unreported));
        let rest = rest.fold(std::mem::take(&mut self.other), u32::saturating_add);
        if rest > 0 {
            rows.push(Action { name: "other".to_owned(), status: None, count: rest });
        }
        rows
    }

    /// Counts these as not reported again.
    pub(super) fn restore(&mut self, actions: Vec<Action>) {
        for action in actions {
            let same = |kind: &&mut Kind| kind.call.name == action.name && kind.call.status == action.status;
            let count = self.kinds.iter_mut().find(same).map_or(&mut self.other, |kind| &mut kind.unreported);
            *count = count.saturating_add(action.count);
        }
    }

    /// Whether every call was reported.
    pub(super) fn is_reported(&self) -> bool {
        self.other == 0 && self.kinds.iter().all(|kind| kind.unreported == 0)
    }
}

fn action(call: &AwsCall, count: u32) -> Action {
    Action { name: call.name.clone(), status: call.status.clone(), count }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(names: impl IntoIterator<Item = String>) -> Tally {
        let mut tally = Tally::default();
        for name in names {
            tally.count(AwsCall { name, status: Some("200".to_owned()) });
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
    fn the_same_call_is_one_row_with_a_count_and_is_reported_once() {
        let mut tally = tally(["s3:PutObject", "ecs:ListTasks", "s3:PutObject"].map(str::to_owned));
        let expected = ["s3:PutObject · 200 ×2", "ecs:ListTasks · 200"];
        assert_eq!(words(&tally.take_unprinted()), expected);
        assert_eq!(words(&tally.take_unreported(100)), expected);
        assert_eq!(
            (tally.take_unprinted().len(), tally.take_unreported(100).len(), tally.is_reported()),
            (0, 0, true)
        );
    }

    #[test]
    fn another_status_is_another_row() {
        let mut tally = tally(["s3:GetObject".to_owned()]);
        let denied = AwsCall { name: "s3:GetObject".to_owned(), status: Some("403 AccessDenied".to_owned()) };
        assert_eq!(tally.count(denied.clone()), Novelty::First);
        assert_eq!(tally.count(denied), Novelty::Again);
        assert_eq!(
            words(&tally.take_unreported(100)),
            ["s3:GetObject · 200", "s3:GetObject · 403 AccessDenied ×2"]
        );
    }

    #[test]
    fn calls_of_a_lost_report_are_reported_with_later_ones() {
        let mut tally = tally(["s3:PutObject".to_owned()]);
        let lost = tally.take_unreported(100);
        tally.count(AwsCall { name: "s3:PutObject".to_owned(), status: Some("200".to_owned()) });
        tally.restore(lost);
        assert_eq!(words(&tally.take_unreported(100)), ["s3:PutObject · 200 ×2"]);
    }

    #[test]
    fn calls_that_do_not_fit_into_one_report_wait_for_the_next() {
        let mut tally = tally((0..150).map(|number| format!("s3:Call{number}")));
        assert_eq!(
            (
                tally.take_unreported(100).len(),
                tally.take_unreported(100).len(),
                tally.take_unreported(100).len()
            ),
            (100, 50, 0)
        );
    }

    #[test]
    fn a_flood_of_names_has_bounded_memory_and_every_call_is_counted() {
        let mut tally = tally((0..100_000).map(|number| format!("s3:Call{number}")));
        assert_eq!(tally.kinds.len(), KINDS);
        let first = tally.take_unreported(100);
        let last = tally.take_all(100);
        assert_eq!((first.len(), last.len()), (100, 100));
        assert_eq!(last.last().map(|action| action.name.as_str()), Some("other"));
        assert_eq!(total(&first) + total(&last), 100_000);
        assert!(tally.is_reported());
        tally.restore(last);
        assert_eq!(total(&tally.take_all(1)), 99_900);
    }
}
