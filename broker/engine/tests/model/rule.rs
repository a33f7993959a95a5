//! The protocol of `broker/engine/src/lifecycle/shared_resource.rs`: one step for each call to the store or to the cloud.
//!
//! Time passes as a step of its own: a lock expires whenever its owner is not in a call (`ensure_locked_for_a_call` and
//! `CALL`), and a late call is applied or lost before its record in the store expires.

use crate::state::{At, GRANTS, Life, NOBODY, Ownership, REPLICAS, Replica, State};

/// The protocol, or the protocol with one rule left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rule {
    Kept,
    /// Every replica gets the lock.
    NoLock,
    /// `resolve_ownership` answers "managed" without observing.
    ManagedWithoutObserving,
    /// The late delete is not written with the lock.
    LateDeleteNotWritten,
    /// `detach` does not check its lock before it reverts.
    LockNotChecked,
    /// The claim on the grant is not checked with the lock.
    ClaimNotChecked,
    /// `revert_steps` checks for late writes after reverting, not before.
    LateWriteCheckedAfterwards,
    /// `detach` does not count references.
    ReferencesNotCounted,
}

/// A step in a trace.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Named {
    pub(crate) replica: Option<usize>,
    pub(crate) grant: usize,
    pub(crate) what: &'static str,
}

/// The possible next states.
pub(crate) type Next = Vec<(Named, State)>;

/// Every step that is possible now.
pub(crate) fn next(state: &State, rule: Rule) -> Next {
    let mut next = Next::new();
    for n in 0..REPLICAS {
        match state.replicas[n].at {
            At::Idle => starts(state, n, &mut next),
            At::AttachLock
            | At::AttachObserve
            | At::AttachWrite
            | At::AttachSend
            | At::AttachCall
            | At::AttachRelease { .. }
            | At::Activate => crate::give::steps(state, n, rule, &mut next),
            At::DetachLock { .. }
            | At::DetachDecide { .. }
            | At::DetachObserve
            | At::DetachSend
            | At::DetachCall
            | At::DetachWrite { .. }
            | At::DetachSave => crate::take_back::steps(state, n, rule, &mut next),
        }
        if state.replicas[n].at != At::Idle {
            dies(state, n, &mut next);
        }
    }
    time_passes(state, &mut next);
    others_act(state, &mut next);
    next
}

/// The steps that an idle replica can start.
fn starts(state: &State, n: usize, next: &mut Next) {
    for grant in 0..GRANTS {
        let mut begun = *state;
        let replica = &mut begun.replicas[n];
        replica.grant = u8::try_from(grant).unwrap();
        let by = u8::try_from(n).unwrap();
        let named = |what| Named { replica: Some(n), grant, what };
        match state.grants[grant].life {
            Life::Absent => {
                replica.at = At::AttachLock;
                begun.grants[grant].life = Life::Applying { by };
                begun.grants[grant].requested_after_delete =
                    matches!(state.ownership, Ownership::Deleted { over: true, .. });
                next.push((named("elevates"), begun));
                // Grants are symmetric: only the first absent one is created.
                return;
            }
            // `take_over`: the claim is this replica's from now on.
            Life::Applying { by: before } if before != by => {
                replica.at = At::AttachLock;
                begun.grants[grant].life = Life::Applying { by };
                next.extend(begun.faulty().map(|begun| (named("retries the elevation"), begun)));
            }
            Life::Ending { verify } => {
                replica.at = At::DetachLock { verify };
                replica.late_write_possible = state.late_write_possible(replica.grant);
                next.push((named("reverts"), begun));
            }
            Life::Applying { .. } | Life::Active | Life::Gone => {}
        }
    }
}

/// Its call to the cloud is lost, or applied late.
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
        At::AttachCall => dead.grants[usize::from(grant)].late_attach = true,
        At::DetachCall => dead.late_detach = true,
        _ => return,
    }
    next.push((named("dies, and its call may be applied late"), dead));
}

/// The steps in which a lock, a claim or a late call ends.
fn time_passes(state: &State, next: &mut Next) {
    let named = |grant, what| Named { replica: None, grant, what };
    let holder = state.replicas.get(usize::from(state.last));
    let holder_calls = holder.is_some_and(|replica| matches!(replica.at, At::AttachCall | At::DetachCall));
    if state.locked && !holder_calls {
        // The lock of a dead replica expires in any case.
        let lapses = if holder.is_none() { Some(*state) } else { state.faulty() };
        next.extend(lapses.map(|lapsed| (named(0, "the lock expires"), State { locked: false, ..lapsed })));
    }
    // It outlasts the lock with which it was written.
    let calls = state.replicas.iter().any(|replica| replica.at == At::DetachCall)
        || state.locked
            && holder.is_some_and(|replica| matches!(replica.at, At::DetachDecide { .. } | At::DetachSend));
    if state.late_delete && !state.late_detach && !calls {
        let mut over = State { late_delete: false, ..*state };
        for replica in &mut over.replicas {
            replica.late_delete = false;
        }
        next.push((named(0, "no late delete is possible any more"), over));
    }
    if let Ownership::Deleted { over: false, grant } = state.ownership
        && !state.late_write_possible(grant)
    {
        let past = Ownership::Deleted { over: true, grant };
        let mut over = State { ownership: past, ..*state };
        for replica in over.replicas.iter_mut().filter(|replica| replica.ownership == state.ownership) {
            replica.ownership = past;
        }
        next.push((named(usize::from(grant), "no late write is possible any more"), over));
    }
    for (n, _) in state.grants.iter().enumerate().filter(|(_, grant)| grant.late_attach) {
        let mut landed = *state;
        landed.grants[n].late_attach = false;
        next.push((named(n, "the late attach is lost"), landed));
        landed.there = true;
        next.push((named(n, "the late attach is applied"), landed));
    }
    if state.late_detach {
        let lost = State { late_detach: false, ..*state };
        next.push((named(0, "the late detach is lost"), lost));
        next.push((named(0, "the late detach is applied"), State { there: false, ..lost }));
    }
}

/// The client revokes, the deadline comes, the claim ends.
fn others_act(state: &State, next: &mut Next) {
    for (n, grant) in state.grants.iter().enumerate() {
        let ends = match grant.life {
            Life::Active | Life::Applying { by: NOBODY } => Some(*state),
            // While a driver applies it.
            Life::Applying { .. } => state.faulty(),
            Life::Absent | Life::Ending { .. } | Life::Gone => None,
        };
        if let Some(mut ended) = ends {
            ended.grants[n].life = Life::Ending { verify: false };
            next.push((Named { replica: None, grant: n, what: "ends" }, ended));
        }
    }
}

/// `update_lock`: succeeds unless another replica has locked the object since.
pub(crate) fn write(
    state: &mut State,
    n: usize,
    rule: Rule,
    ownership: Ownership,
    late_delete: bool,
    then: store::AfterUpdate,
) -> bool {
    let is_current = usize::from(state.last) == n || rule == Rule::NoLock;
    if !is_current {
        return false;
    }
    if matches!(ownership, Ownership::Deleted { .. }) && ownership != state.ownership {
        for grant in &mut state.grants {
            grant.requested_after_delete = false;
        }
    }
    (state.ownership, state.late_delete) = (ownership, late_delete);
    if then == store::AfterUpdate::ReleaseLock {
        (state.locked, state.last) = (false, NOBODY);
    }
    true
}

/// False while another replica has the lock.
pub(crate) fn lock(state: &mut State, n: usize, rule: Rule) -> bool {
    if state.locked && rule != Rule::NoLock {
        return false;
    }
    (state.locked, state.last) = (true, u8::try_from(n).unwrap());
    let (ownership, late_delete) = (state.ownership, state.late_delete);
    let replica = &mut state.replicas[n];
    (replica.ownership, replica.late_delete) = (ownership, late_delete);
    true
}

/// `ensure_locked_for_a_call`: a call that begins now is answered, or given up, before the lock expires.
pub(crate) fn is_locked(state: &State, n: usize, rule: Rule) -> bool {
    (state.locked && usize::from(state.last) == n) || rule == Rule::NoLock
}
