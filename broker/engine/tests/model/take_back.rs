//! The steps of `detach`, within `revert`.

use store::AfterUpdate;

use crate::rule::{Named, Next, Rule, is_locked, lock, write};
use crate::state::{Answer, At, Life, NOBODY, Ownership, Replica, State};

pub(crate) fn steps(state: &State, n: usize, rule: Rule, next: &mut Next) {
    let Replica { at, grant, ownership, late_delete, late_write_possible } = state.replicas[n];
    let mut then = *state;
    let named = |what| Named { replica: Some(n), grant: usize::from(grant), what };
    let mut say = |what, then: State| next.push((named(what), then));
    match at {
        // With the lock: the references, and the late delete if the detach is certain.
        At::DetachLock { verify } if lock(&mut then, n, rule) => {
            let others = (0..).zip(&state.grants).any(|(other, there)| {
                other != grant && matches!(there.life, Life::Applying { .. } | Life::Active)
            });
            let others = others && rule != Rule::ReferencesNotCounted;
            let is_managed = match then.replicas[n].ownership {
                Ownership::Managed => true,
                Ownership::Deleted { .. } => !state.grants[usize::from(grant)].requested_after_delete,
                Ownership::Foreign | Ownership::Unknown => false,
            };
            then.late_delete |= is_managed && !others && !verify && rule != Rule::LateDeleteNotWritten;
            then.replicas[n].at = At::DetachDecide { verify, others };
            say("locks, and counts references", then);
        }
        At::DetachDecide { verify, others } => {
            let requested_after_delete = state.grants[usize::from(grant)].requested_after_delete;
            let stays = others
                || match ownership {
                    Ownership::Foreign | Ownership::Unknown => true,
                    Ownership::Deleted { .. } => requested_after_delete,
                    Ownership::Managed => false,
                };
            if stays {
                let ownership = match ownership {
                    Ownership::Managed | Ownership::Deleted { .. } if others => Ownership::Managed,
                    Ownership::Managed
                    | Ownership::Deleted { .. }
                    | Ownership::Unknown
                    | Ownership::Foreign => ownership,
                };
                if !write(&mut then, n, rule, ownership, late_delete, AfterUpdate::ReleaseLock) {
                    return say("was overtaken", later(state, n));
                }
                then.replicas[n].at = At::DetachSave;
                return say("leaves it", then);
            }
            then.replicas[n].at = match (verify, is_locked(state, n, rule)) {
                (true, true) => At::DetachObserve,
                (true, false) => At::DetachWrite { answer: Answer::Refused },
                (false, _) => At::DetachSend,
            };
            say("goes on", then);
        }
        At::DetachObserve => {
            let answer = if state.there { Answer::There } else { Answer::Gone };
            then.replicas[n].at = At::DetachWrite { answer };
            say("observes", then);
            let Some(mut then) = state.faulty() else { return };
            then.replicas[n].at = At::DetachWrite { answer: Answer::Refused };
            say("observes, and is not answered", then);
        }
        // `is_locked`, and the call starts.
        At::DetachSend => {
            let may = is_locked(state, n, rule) || rule == Rule::LockNotChecked;
            then.replicas[n].at =
                if may { At::DetachCall } else { At::DetachWrite { answer: Answer::Refused } };
            say("detaches", then);
        }
        At::DetachCall => {
            then.there = false;
            then.replicas[n].at = At::DetachWrite { answer: Answer::Gone };
            say("detached", then);
            let Some(mut then) = state.faulty() else { return };
            then.replicas[n].at = At::DetachWrite { answer: Answer::Refused };
            say("detach refused", then);
            then.replicas[n].at = At::DetachWrite { answer: Answer::Unanswered };
            say("detach lost", then);
            say("detached, and not answered", State { there: false, ..then });
            say("detach not answered", State { late_detach: true, ..then });
        }
        // The engine often makes this change with the next one. Two steps allow every interleaving between them.
        At::DetachWrite { answer } => {
            let ownership = match answer {
                Answer::Gone => Ownership::Deleted { over: false, grant },
                Answer::There => Ownership::Managed,
                Answer::Refused | Answer::Unanswered => ownership,
            };
            let late_delete =
                late_delete || (answer == Answer::Unanswered && rule != Rule::LateDeleteNotWritten);
            let noted = write(&mut then, n, rule, ownership, late_delete, AfterUpdate::ReleaseLock);
            if noted && answer == Answer::Gone {
                then.replicas[n].at = At::DetachSave;
                return say("writes that it is gone", then);
            }
            let mut again = later(&then, n);
            let life = &mut again.grants[usize::from(grant)].life;
            if noted && answer == Answer::There && *life == (Life::Ending { verify: true }) {
                *life = Life::Ending { verify: false };
            }
            say("retries later", again);
        }
        // While a late write is possible, it is verified or reverted again later: `late_writes_until`.
        At::DetachSave => {
            let late_write_possible = match rule {
                Rule::LateWriteCheckedAfterwards => state.late_write_possible(grant),
                _ => late_write_possible,
            };
            then = later(state, n);
            let life = &mut then.grants[usize::from(grant)].life;
            if !matches!(life, Life::Ending { .. }) {
                return say("another driver was first", then);
            }
            if !late_write_possible {
                *life = Life::Gone;
                then.grants[usize::from(grant)].requested_after_delete = false;
                return say("is gone", then);
            }
            *life = Life::Ending { verify: false };
            say("reverts again later", then);
            then.grants[usize::from(grant)].life = Life::Ending { verify: true };
            say("verifies later", then);
        }
        _ => {}
    }
}

/// The worker claims it again.
fn later(state: &State, n: usize) -> State {
    let mut later = *state;
    later.replicas[n] = Replica::IDLE;
    if usize::from(state.last) == n {
        later.last = NOBODY;
    }
    later
}
