//! `take_shared_back`, and `take_back` around it.

use store::AfterUpdate;

use crate::rule::{Named, Next, Rule, hold, in_time, note};
use crate::state::{Answer, At, Life, NOBODY, Replica, State, Whose};

pub(crate) fn goes_on(state: &State, n: usize, rule: Rule, next: &mut Next) {
    let Replica { at, grant, whose, may_go, may_land } = state.replicas[n];
    let mut then = *state;
    let named = |what| Named { replica: Some(n), grant: usize::from(grant), what };
    let mut say = |what, then: State| next.push((named(what), then));
    match at {
        // With the hold: who else needs it, and that it may go if that is certain.
        At::TakeHold { look } if hold(&mut then, n, rule) => {
            let others = (0..).zip(&state.grants).any(|(other, there)| {
                other != grant && matches!(there.life, Life::Applying { .. } | Life::Active)
            });
            let others = others && rule != Rule::OthersNotCounted;
            let is_ours = match then.replicas[n].whose {
                Whose::Ours => true,
                Whose::Past { .. } => !state.grants[usize::from(grant)].came_after,
                Whose::Foreign | Whose::Unknown => false,
            };
            then.may_go |= is_ours && !others && !look && rule != Rule::MayGoNotWritten;
            then.replicas[n].at = At::TakeDecide { look, others };
            say("holds it, and counts the others", then);
        }
        At::TakeDecide { look, others } => {
            let came_after = state.grants[usize::from(grant)].came_after;
            let stays = others
                || match whose {
                    Whose::Foreign | Whose::Unknown => true,
                    Whose::Past { .. } => came_after,
                    Whose::Ours => false,
                };
            if stays {
                let whose = match whose {
                    Whose::Ours | Whose::Past { .. } if others => Whose::Ours,
                    Whose::Ours | Whose::Past { .. } | Whose::Unknown | Whose::Foreign => whose,
                };
                if !note(&mut then, n, rule, whose, may_go, AfterUpdate::ReleaseLock) {
                    return say("was overtaken", later(state, n));
                }
                then.replicas[n].at = At::TakeSave;
                return say("leaves it", then);
            }
            then.replicas[n].at = match (look, in_time(state, n, rule)) {
                (true, true) => At::TakeLook,
                (true, false) => At::TakeNote { answer: Answer::Refused },
                (false, _) => At::TakeSend,
            };
            say("goes on", then);
        }
        At::TakeLook => {
            let answer = if state.there { Answer::There } else { Answer::Gone };
            then.replicas[n].at = At::TakeNote { answer };
            say("looks", then);
            let Some(mut then) = state.faulty() else { return };
            then.replicas[n].at = At::TakeNote { answer: Answer::Refused };
            say("looks, and is not answered", then);
        }
        // `in_time`, and the call begins.
        At::TakeSend => {
            let may = in_time(state, n, rule) || rule == Rule::HoldNotLookedAt;
            then.replicas[n].at = if may { At::TakeCall } else { At::TakeNote { answer: Answer::Refused } };
            say("detaches", then);
        }
        At::TakeCall => {
            then.there = false;
            then.replicas[n].at = At::TakeNote { answer: Answer::Gone };
            say("detached", then);
            let Some(mut then) = state.faulty() else { return };
            then.replicas[n].at = At::TakeNote { answer: Answer::Refused };
            say("detach refused", then);
            then.replicas[n].at = At::TakeNote { answer: Answer::Unanswered };
            say("detach lost", then);
            say("detached, and not answered", State { there: false, ..then });
            say("detach not answered", State { detach_on_its_way: true, ..then });
        }
        // One change with the next where nothing comes between; apart, everything happens that can.
        At::TakeNote { answer } => {
            let whose = match answer {
                Answer::Gone => Whose::Past { over: false, grant },
                Answer::There => Whose::Ours,
                Answer::Refused | Answer::Unanswered => whose,
            };
            let may_go = may_go || (answer == Answer::Unanswered && rule != Rule::MayGoNotWritten);
            let noted = note(&mut then, n, rule, whose, may_go, AfterUpdate::ReleaseLock);
            if noted && answer == Answer::Gone {
                then.replicas[n].at = At::TakeSave;
                return say("writes down that it is gone", then);
            }
            let mut again = later(&then, n);
            let life = &mut again.grants[usize::from(grant)].life;
            if noted && answer == Answer::There && *life == (Life::Ending { look: true }) {
                *life = Life::Ending { look: false };
            }
            say("tries again later", again);
        }
        // What may land yet is looked for, or undone again, when nothing lands any more: `lands_until`.
        At::TakeSave => {
            let may_land = match rule {
                Rule::LateLookedAtAfterwards => state.may_land(grant),
                _ => may_land,
            };
            then = later(state, n);
            let life = &mut then.grants[usize::from(grant)].life;
            if !matches!(life, Life::Ending { .. }) {
                return say("was not the first", then);
            }
            if !may_land {
                *life = Life::Gone;
                then.grants[usize::from(grant)].came_after = false;
                return say("is gone", then);
            }
            *life = Life::Ending { look: false };
            say("is undone again later", then);
            then.grants[usize::from(grant)].life = Life::Ending { look: true };
            say("is looked for later", then);
        }
        _ => {}
    }
}

/// The worker comes again.
fn later(state: &State, n: usize) -> State {
    let mut later = *state;
    later.replicas[n] = Replica::IDLE;
    if usize::from(state.last) == n {
        later.last = NOBODY;
    }
    later
}
