//! The steps of `attach`, between `apply_steps` and `activate`.

use store::AfterUpdate;

use crate::rule::{Named, Next, Rule, is_locked, lock, write};
use crate::state::{At, Life, Ownership, Replica, State};

pub(crate) fn steps(state: &State, n: usize, rule: Rule, next: &mut Next) {
    let Replica { at, grant, ownership, late_delete, .. } = state.replicas[n];
    let is_its_claim =
        state.grants[usize::from(grant)].life == Life::Applying { by: u8::try_from(n).unwrap() };
    let mut then = *state;
    let named = |what| Named { replica: Some(n), grant: usize::from(grant), what };
    let mut say = |what, then: State| next.push((named(what), then));
    match at {
        // With the lock: whether the claim lasts, and the ownership where that needs no observation.
        At::AttachLock if lock(&mut then, n, rule) => {
            let Replica { ownership, late_delete, .. } = then.replicas[n];
            // A grant that was requested after the delete has created nothing.
            let others_are_ending = (0..).zip(&state.grants).any(|(other, there)| {
                other != grant && matches!(there.life, Life::Ending { .. }) && !there.requested_after_delete
            });
            let lasts = is_its_claim || rule == Rule::ClaimNotChecked;
            let refused = !lasts || (late_delete && rule != Rule::LateDeleteNotWritten);
            let is_managed = match ownership {
                Ownership::Managed | Ownership::Deleted { over: false, .. } => true,
                Ownership::Deleted { over: true, .. } => {
                    others_are_ending || rule == Rule::ManagedWithoutObserving
                }
                Ownership::Foreign | Ownership::Unknown => rule == Rule::ManagedWithoutObserving,
            };
            then.replicas[n].at = match (refused, is_managed) {
                (true, _) => At::AttachRelease { done: false },
                (false, true) => {
                    write(&mut then, n, rule, Ownership::Managed, late_delete, AfterUpdate::KeepLock);
                    then.replicas[n].ownership = Ownership::Managed;
                    At::AttachSend
                }
                (false, false) => At::AttachObserve,
            };
            say("locks, and reads the ownership", then);
        }
        At::AttachObserve => {
            then.replicas[n].ownership = if state.there { Ownership::Foreign } else { Ownership::Managed };
            then.replicas[n].at = At::AttachWrite;
            say("observes", then);
            let Some(mut then) = state.faulty() else { return };
            then.replicas[n].ownership = state.replicas[n].ownership;
            then.replicas[n].at = At::AttachRelease { done: false };
            say("observes, and is not answered", then);
        }
        At::AttachWrite => {
            let (at, keep) = match ownership {
                Ownership::Foreign => (At::Activate, AfterUpdate::ReleaseLock),
                Ownership::Managed | Ownership::Deleted { .. } | Ownership::Unknown => {
                    (At::AttachSend, AfterUpdate::KeepLock)
                }
            };
            if write(&mut then, n, rule, ownership, late_delete, keep) {
                then.replicas[n].at = at;
                say("writes the ownership", then);
            } else {
                say("was overtaken", failed(state, n));
            }
        }
        // `is_locked`, and the call starts.
        At::AttachSend => {
            let may = is_locked(state, n, rule);
            then.replicas[n].at = if may { At::AttachCall } else { At::AttachRelease { done: false } };
            say("attaches", then);
        }
        At::AttachCall => {
            then.there = true;
            then.replicas[n].at = At::AttachRelease { done: true };
            say("attached", then);
            let Some(mut then) = state.faulty() else { return };
            then.replicas[n].at = At::AttachRelease { done: false };
            say("attach lost", then);
            say("attached, and not answered", State { there: true, ..then });
            then.grants[usize::from(grant)].late_attach = true;
            say("attach not answered", then);
        }
        // The engine often makes this change with the next one. Two steps allow every interleaving between them.
        At::AttachRelease { done } => {
            let noted = write(&mut then, n, rule, ownership, late_delete, AfterUpdate::ReleaseLock);
            if done && noted {
                then.replicas[n].at = At::Activate;
                return say("releases the lock", then);
            }
            say("fails", failed(&then, n));
            then.replicas[n] = Replica { at: At::AttachLock, grant, ..Replica::IDLE };
            say("retries", then);
        }
        At::Activate => {
            let life = &mut then.grants[usize::from(grant)].life;
            if *life == (Life::Applying { by: u8::try_from(n).unwrap() }) {
                *life = Life::Active;
            }
            then.replicas[n] = Replica::IDLE;
            say("activates", then);
        }
        _ => {}
    }
}

/// `fail`: ends the grant, unless another driver continues it.
fn failed(state: &State, n: usize) -> State {
    let mut failed = *state;
    let life = &mut failed.grants[usize::from(state.replicas[n].grant)].life;
    if *life == (Life::Applying { by: u8::try_from(n).unwrap() }) {
        *life = Life::Ending { verify: false };
    }
    failed.replicas[n] = Replica::IDLE;
    failed
}
