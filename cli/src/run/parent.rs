//! The end of the process that started this one.
//!
//! A CI runner that kills a wrapper with SIGKILL leaves the client running, with the command, the grant and the runner's
//! output pipe. The kernel then gives the client another parent, which the parent's process id shows without a race: an
//! id is not reused while its process is the parent.
//! `PR_SET_PDEATHSIG` fires when the parent's *thread* ends, and a pidfd needs unsafe code to be waited for.

use std::future::pending;
use std::time::Duration;

use jit_client::Env;
use jit_client::identity::{Files, in_ci};
use rustix::process::{Pid, getppid};
use tokio::time::{Instant, sleep, sleep_until};

use crate::args::DieWithParent;
use crate::error::CliError;

/// How often the parent's process id is read.
const POLL: Duration = Duration::from_millis(100);
/// A platform that signals the whole process tree one by one reaches this process within this time; the signal, and
/// not the end of a parent that obeyed it first, is then the cause.
const SETTLED: Duration = Duration::from_millis(250);

/// The process that started this one; `None` if it is outside of this PID namespace.
pub(crate) struct Parent(Option<Pid>);

impl Parent {
    /// Reads the parent. Call it first: the end of a parent before this call looks like a start by `init`, which is an
    /// ordinary parent in a container.
    pub(crate) fn of_this_process() -> Self {
        Self(getppid())
    }

    /// Watches the parent if `when` says so.
    pub(crate) fn watch(self, when: DieWithParent, env: &Env) -> Result<Watch, CliError> {
        let watched = match when {
            DieWithParent::Always => true,
            DieWithParent::Auto => in_ci(env, &Files::system()),
            DieWithParent::Never => false,
        };
        Ok(if watched { Watch::On(self) } else { Watch::Off })
    }

    fn has_ended(&self) -> bool {
        getppid() != self.0
    }
}

/// Reports the parent's end.
pub(crate) enum Watch {
    /// The parent is not watched, or no longer.
    Off,
    /// The parent has not ended yet.
    On(Parent),
    /// The parent has ended; reported from this time on.
    Ended(Instant),
}

impl Watch {
    /// Returns shortly after the parent's end, until the watch is off. Cancel-safe.
    pub(super) async fn ended(&mut self) {
        let report_at = match self {
            Self::Off => return pending().await,
            Self::On(parent) => {
                while !parent.has_ended() {
                    sleep(POLL).await;
                }
                Instant::now() + SETTLED
            }
            Self::Ended(report_at) => *report_at,
        };
        *self = Self::Ended(report_at);
        sleep_until(report_at).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn reports_at_once(watch: &mut Watch) -> bool {
        tokio::select! {
            biased;
            () = watch.ended() => true,
            () = std::future::ready(()) => false,
        }
    }

    #[tokio::test]
    async fn a_parent_that_ended_before_the_watch_is_reported_until_the_watch_is_off() {
        // This process is not its own parent.
        let mut watch = Watch::On(Parent(Some(rustix::process::getpid())));
        watch.ended().await;
        watch.ended().await;
        watch = Watch::Off;
        assert!(!reports_at_once(&mut watch).await);
    }

    #[tokio::test]
    async fn a_living_parent_has_not_ended() {
        assert!(!reports_at_once(&mut Watch::On(Parent::of_this_process())).await);
    }
}
