//! `give_shared`, and `give` and `activate` around it.

use store::AfterUpdate;

use crate::rule::{Named, Next, Rule, hold, in_time, note};
use crate::state::{At, Life, Replica, State, Whose};

pub(crate) fn goes_on(state: &State, n: usize, rule: Rule, next: &mut Next) {
    let Replica { at, grant, whose, may_go, .. } = state.replicas[n];
    let is_its_claim =
        state.grants[usize::from(grant)].life == Life::Applying { by: u8::try_from(n).unwrap() };
    let mut then = *state;
    let named = |what| Named { replica: Some(n), grant: usize::from(grant), what };
    let mut say = |what, then: State| next.push((named(what), then));
    match at {
        // With the hold: whether the claim lasts, and whose it is where that needs no look.
        At::GiveHold if hold(&mut then, n, rule) => {
            let Replica { whose, may_go, .. } = then.replicas[n];
            // What was asked for after the attachment was gone for good has left nothing.
            let others_end = (0..).zip(&state.grants).any(|(other, there)| {
                other != grant && matches!(there.life, Life::Ending { .. }) && !there.came_after
            });
            let lasts = is_its_claim || rule == Rule::ClaimNotLookedAt;
            let may_not = !lasts || (may_go && rule != Rule::MayGoNotWritten);
            let is_ours = match whose {
                Whose::Ours | Whose::Past { over: false, .. } => true,
                Whose::Past { over: true, .. } => others_end || rule == Rule::OursWithoutALook,
                Whose::Foreign | Whose::Unknown => rule == Rule::OursWithoutALook,
            };
            then.replicas[n].at = match (may_not, is_ours) {
                (true, _) => At::GiveRelease { done: false },
                (false, true) => {
                    note(&mut then, n, rule, Whose::Ours, may_go, AfterUpdate::KeepLock);
                    then.replicas[n].whose = Whose::Ours;
                    At::GiveSend
                }
                (false, false) => At::GiveLook,
            };
            say("holds it, and is told whose it is", then);
        }
        At::GiveLook => {
            then.replicas[n].whose = if state.there { Whose::Foreign } else { Whose::Ours };
            then.replicas[n].at = At::GiveNote;
            say("looks", then);
            let Some(mut then) = state.faulty() else { return };
            then.replicas[n].whose = state.replicas[n].whose;
            then.replicas[n].at = At::GiveRelease { done: false };
            say("looks, and is not answered", then);
        }
        At::GiveNote => {
            let (at, keep) = match whose {
                Whose::Foreign => (At::GiveActivate, AfterUpdate::ReleaseLock),
                Whose::Ours | Whose::Past { .. } | Whose::Unknown => (At::GiveSend, AfterUpdate::KeepLock),
            };
            if note(&mut then, n, rule, whose, may_go, keep) {
                then.replicas[n].at = at;
                say("writes down whose it is", then);
            } else {
                say("was overtaken", failed(state, n));
            }
        }
        // `in_time`, and the call begins.
        At::GiveSend => {
            let may = in_time(state, n, rule);
            then.replicas[n].at = if may { At::GiveCall } else { At::GiveRelease { done: false } };
            say("attaches", then);
        }
        At::GiveCall => {
            then.there = true;
            then.replicas[n].at = At::GiveRelease { done: true };
            say("attached", then);
            let Some(mut then) = state.faulty() else { return };
            then.replicas[n].at = At::GiveRelease { done: false };
            say("attach lost", then);
            say("attached, and not answered", State { there: true, ..then });
            then.grants[usize::from(grant)].attach_on_its_way = true;
            say("attach not answered", then);
        }
        // One change with the next where nothing comes between; apart, everything happens that can.
        At::GiveRelease { done } => {
            let noted = note(&mut then, n, rule, whose, may_go, AfterUpdate::ReleaseLock);
            if done && noted {
                then.replicas[n].at = At::GiveActivate;
                return say("gives the hold up", then);
            }
            say("fails", failed(&then, n));
            then.replicas[n] = Replica { at: At::GiveHold, grant, ..Replica::IDLE };
            say("tries again", then);
        }
        At::GiveActivate => {
            let life = &mut then.grants[usize::from(grant)].life;
            if *life == (Life::Applying { by: u8::try_from(n).unwrap() }) {
                *life = Life::Active;
            }
            then.replicas[n] = Replica::IDLE;
            say("is active", then);
        }
        _ => {}
    }
}

/// `undo_failed_apply`: a try that failed ends its grant, unless somebody else goes on with it.
fn failed(state: &State, n: usize) -> State {
    let mut failed = *state;
    let life = &mut failed.grants[usize::from(state.replicas[n].grant)].life;
    if *life == (Life::Applying { by: u8::try_from(n).unwrap() }) {
        *life = Life::Ending { look: false };
    }
    failed.replicas[n] = Replica::IDLE;
    failed
}
