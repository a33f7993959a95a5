//! What can be got ready while something else has to come first? The requests of a step: they go when it is written
//! down, and is still to be done.

use std::pin::{Pin, pin};
use std::sync::Arc;

use domain::{Grant, State, TargetKind};
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, MaybeDone, join_all, maybe_done};
use targets::claim::Claim;
use targets::leave::LeaveToGive;
use targets::{Target, TargetError};
use tracing::Instrument;

use crate::{Engine, spans, together};

/// Steps that have no leave yet. Whoever drops them has them never done; whoever neither goes on with them nor drops
/// them can keep others waiting, for whatever they were just getting.
#[derive(Default)]
pub(crate) struct Ready<'t>(Vec<ReadyStep<'t>>);

/// One of them.
pub(crate) struct ReadyStep<'t> {
    at: usize,
    kind: TargetKind,
    to_go: LeaveToGive,
    doing: MaybeDone<BoxFuture<'t, Result<String, TargetError>>>,
}

impl Engine {
    /// What is done first for a grant that is being written down; nothing if all is done then.
    pub(crate) fn get_first_ready<'t>(&self, grant: &Grant, target: &'t dyn Target) -> Ready<'t> {
        if !matches!(grant.state, State::Applying { .. }) {
            return Ready::default();
        }
        let all: Vec<usize> = (0..grant.steps.len()).collect();
        let [first, _] = together::first_two(target, &grant.steps, &all);
        self.get_ready(grant, &first, target)
    }

    /// These steps of a grant.
    pub(crate) fn get_ready<'t>(&self, grant: &Grant, these: &[usize], target: &'t dyn Target) -> Ready<'t> {
        if these.is_empty() {
            return Ready::default();
        }
        let grant = Arc::new(grant.clone());
        let now = self.clock.now();
        let ready = |at: &usize| {
            let (at, grant) = (*at, Arc::clone(&grant));
            let (to_go, leave) = LeaveToGive::new();
            let doing: BoxFuture<'t, _> = Box::pin(async move {
                let step = grant.steps.get(at).ok_or_else(|| TargetError::refused("no such step"))?;
                target.apply(&grant, step, now, leave).await
            });
            ReadyStep { at, kind: target.kind(), to_go, doing: maybe_done(doing) }
        };
        Ready(these.iter().map(ready).collect())
    }
}

impl<'t> Ready<'t> {
    /// They are got ready while that is done which has to come first.
    pub(crate) async fn beside<T>(&mut self, first: impl Future<Output = T>) -> T {
        if self.0.is_empty() {
            return first.await;
        }
        let getting_ready = join_all(self.0.iter_mut().map(|step| &mut step.doing)).map(drop);
        beside(getting_ready, first).await
    }

    /// Which steps of the grant.
    pub(crate) fn places(&self) -> impl Iterator<Item = usize> {
        self.0.iter().map(|step| step.at)
    }

    /// Each with its place in the grant.
    pub(crate) fn steps(self) -> impl Iterator<Item = (usize, ReadyStep<'t>)> {
        self.0.into_iter().map(|step| (step.at, step))
    }
}

impl ReadyStep<'_> {
    /// It is got ready while that is done which has to come first.
    pub(crate) async fn beside<T>(&mut self, first: impl Future<Output = T>) -> T {
        beside(&mut self.doing, first).await
    }

    /// It may be done, for as long as the claim lasts.
    pub(crate) async fn go(mut self, claim: Claim) -> Result<String, TargetError> {
        self.to_go.give(claim);
        (&mut self.doing).instrument(spans::target("target: give", self.kind)).await;
        Pin::new(&mut self.doing).take_output().ok_or_else(|| TargetError::refused("done already"))?
    }
}

async fn beside<T>(getting_ready: impl Future<Output = ()>, first: impl Future<Output = T>) -> T {
    let mut first = pin!(first);
    let getting_ready = async {
        // What comes first is handed to another task, which waits for this very thread when it was woken last.
        tokio::task::yield_now().await;
        getting_ready.await;
    };
    tokio::select! {
        biased;
        done = &mut first => done,
        () = getting_ready => first.await,
    }
}
