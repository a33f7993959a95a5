//! The rule of `broker/engine/src/shared.rs`, one step for each thing that it asks of the store or of the cloud.
//!
//! Time is in it as what may be over: a hold lapses whenever its holder is not in a call (`in_time` and `CALL` see to
//! that), a late call lands or is lost before what was written down of it is over.

use crate::state::{At, GRANTS, Life, NOBODY, REPLICAS, Replica, State, Whose};

/// The rule, or the rule with a hole in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rule {
    Kept,
    /// `hold` gives it to everybody.
    NoHold,
    /// `whose` says "ours" without a look.
    OursWithoutALook,
    /// It is not written down with the hold that the object may go.
    MayGoNotWritten,
    /// `take_shared_back` does not look at its hold before it undoes.
    HoldNotLookedAt,
    /// It is not asked with the hold whether the claim on the grant lasts.
    ClaimNotLookedAt,
    /// `undo` asks after it undid, not before, whether something may land yet.
    LateLookedAtAfterwards,
    /// `take_shared_back` does not ask who else needs it.
    OthersNotCounted,
}

/// A step, for whoever reads of a state that is wrong.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Named {
    pub(crate) replica: Option<usize>,
    pub(crate) grant: usize,
    pub(crate) what: &'static str,
}

/// What may come next, and what it is called.
pub(crate) type Next = Vec<(Named, State)>;

/// Everything that may happen now.
pub(crate) fn next(state: &State, rule: Rule) -> Next {
    let mut next = Next::new();
    for n in 0..REPLICAS {
        match state.replicas[n].at {
            At::Idle => begins(state, n, &mut next),
            At::GiveHold
            | At::GiveLook
            | At::GiveNote
            | At::GiveSend
            | At::GiveCall
            | At::GiveRelease { .. }
            | At::GiveActivate => crate::give::goes_on(state, n, rule, &mut next),
            At::TakeHold { .. }
            | At::TakeDecide { .. }
            | At::TakeLook
            | At::TakeSend
            | At::TakeCall
            | At::TakeNote { .. }
            | At::TakeSave => crate::take_back::goes_on(state, n, rule, &mut next),
        }
        if state.replicas[n].at != At::Idle {
            dies(state, n, &mut next);
        }
    }
    time_passes(state, &mut next);
    others_act(state, &mut next);
    next
}

/// What a replica that has nothing to do may begin.
fn begins(state: &State, n: usize, next: &mut Next) {
    for grant in 0..GRANTS {
        let mut begun = *state;
        let replica = &mut begun.replicas[n];
        replica.grant = u8::try_from(grant).unwrap();
        let by = u8::try_from(n).unwrap();
        let named = |what| Named { replica: Some(n), grant, what };
        match state.grants[grant].life {
            Life::Absent => {
                replica.at = At::GiveHold;
                begun.grants[grant].life = Life::Applying { by };
                begun.grants[grant].came_after = matches!(state.whose, Whose::Past { over: true, .. });
                next.push((named("is asked for it"), begun));
                // The symmetry of grants: the first that is not there yet comes.
                return;
            }
            // `join`, `claim_again`: from now on the claim is this one's.
            Life::Applying { by: before } if before != by => {
                replica.at = At::GiveHold;
                begun.grants[grant].life = Life::Applying { by };
                next.extend(begun.faulty().map(|begun| (named("is asked for it again"), begun)));
            }
            Life::Ending { look } => {
                replica.at = At::TakeHold { look };
                replica.may_land = state.may_land(replica.grant);
                next.push((named("takes it back"), begun));
            }
            Life::Applying { .. } | Life::Active | Life::Gone => {}
        }
    }
}

/// It never goes on. What it asked of the cloud is on its way, or was lost.
fn dies(state: &State, n: usize, next: &mut Next) {
    let Some(mut dead) = state.faulty() else { return };
    let Replica { at, grant, .. } = state.replicas[n];
    dead.replicas[n] = Replica::IDLE;
    if dead.last == u8::try_from(n).unwrap() {
        dead.last = NOBODY;
    }
    for grant in &mut dead.grants {
        if grant.life == (Life::Applying { by: u8::try_from(n).unwrap() }) {
            grant.life = Life::Applying { by: NOBODY };
        }
    }
    let named = |what| Named { replica: Some(n), grant: usize::from(grant), what };
    next.push((named("dies"), dead));
    match at {
        At::GiveCall => dead.grants[usize::from(grant)].attach_on_its_way = true,
        At::TakeCall => dead.detach_on_its_way = true,
        _ => return,
    }
    next.push((named("dies, and its call is on its way"), dead));
}

/// What is over with time.
fn time_passes(state: &State, next: &mut Next) {
    let named = |grant, what| Named { replica: None, grant, what };
    let holder = state.replicas.get(usize::from(state.last));
    let holder_calls = holder.is_some_and(|replica| matches!(replica.at, At::GiveCall | At::TakeCall));
    if state.held && !holder_calls {
        // Of whoever is dead it lapses in any case.
        let lapses = if holder.is_none() { Some(*state) } else { state.faulty() };
        next.extend(lapses.map(|lapsed| (named(0, "the hold lapses"), State { held: false, ..lapsed })));
    }
    // It lasts longer than the hold under which it was written down.
    let calls = state.replicas.iter().any(|replica| replica.at == At::TakeCall)
        || state.held
            && holder.is_some_and(|replica| matches!(replica.at, At::TakeDecide { .. } | At::TakeSend));
    if state.may_go && !state.detach_on_its_way && !calls {
        let mut over = State { may_go: false, ..*state };
        for replica in &mut over.replicas {
            replica.may_go = false;
        }
        next.push((named(0, "it may not go any more"), over));
    }
    if let Whose::Past { over: false, grant } = state.whose
        && !state.may_land(grant)
    {
        let past = Whose::Past { over: true, grant };
        let mut over = State { whose: past, ..*state };
        for replica in over.replicas.iter_mut().filter(|replica| replica.whose == state.whose) {
            replica.whose = past;
        }
        next.push((named(usize::from(grant), "nothing lands any more"), over));
    }
    for (n, _) in state.grants.iter().enumerate().filter(|(_, grant)| grant.attach_on_its_way) {
        let mut landed = *state;
        landed.grants[n].attach_on_its_way = false;
        next.push((named(n, "the late attach is lost"), landed));
        landed.there = true;
        next.push((named(n, "the late attach lands"), landed));
    }
    if state.detach_on_its_way {
        let lost = State { detach_on_its_way: false, ..*state };
        next.push((named(0, "the late detach is lost"), lost));
        next.push((named(0, "the late detach lands"), State { there: false, ..lost }));
    }
}

/// The client gives back, the deadline comes, the claim lapses.
fn others_act(state: &State, next: &mut Next) {
    for (n, grant) in state.grants.iter().enumerate() {
        let ends = match grant.life {
            Life::Active | Life::Applying { by: NOBODY } => Some(*state),
            // While somebody is at it.
            Life::Applying { .. } => state.faulty(),
            Life::Absent | Life::Ending { .. } | Life::Gone => None,
        };
        if let Some(mut ended) = ends {
            ended.grants[n].life = Life::Ending { look: false };
            next.push((Named { replica: None, grant: n, what: "ends" }, ended));
        }
    }
}

/// `note_going`: what a holder writes counts as long as nobody held the object after it.
pub(crate) fn note(
    state: &mut State,
    n: usize,
    rule: Rule,
    whose: Whose,
    may_go: bool,
    then: store::AfterUpdate,
) -> bool {
    let is_current = usize::from(state.last) == n || rule == Rule::NoHold;
    if !is_current {
        return false;
    }
    if matches!(whose, Whose::Past { .. }) && whose != state.whose {
        for grant in &mut state.grants {
            grant.came_after = false;
        }
    }
    (state.whose, state.may_go) = (whose, may_go);
    if then == store::AfterUpdate::ReleaseLock {
        (state.held, state.last) = (false, NOBODY);
    }
    true
}

/// `hold`: false while somebody else has it.
pub(crate) fn hold(state: &mut State, n: usize, rule: Rule) -> bool {
    if state.held && rule != Rule::NoHold {
        return false;
    }
    (state.held, state.last) = (true, u8::try_from(n).unwrap());
    let (whose, may_go) = (state.whose, state.may_go);
    let replica = &mut state.replicas[n];
    (replica.whose, replica.may_go) = (whose, may_go);
    true
}

/// `in_time`: what is begun now is answered, or given up, before the hold lapses.
pub(crate) fn in_time(state: &State, n: usize, rule: Rule) -> bool {
    (state.held && usize::from(state.last) == n) || rule == Rule::NoHold
}
