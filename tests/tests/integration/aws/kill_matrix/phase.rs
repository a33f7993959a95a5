//! Which parts does a grant's life have, and how is each of them reached, begun, and seen to be over?

use std::thread;

use system_tests::aws::fault_proxy::{Fault, Instant, Which};
use system_tests::aws::fixture::Mode;
use system_tests::aws::ledger::Entry;
use system_tests::http::{self, Answer};
use system_tests::waiting::eventually;

use super::fixture::KillFixture;

/// One part of the life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// The client asks, the broker gives.
    Elevate,
    /// The client gives it back.
    Revoke,
    /// The worker takes it back, because the deadline came.
    Deadline,
    /// The worker looks whether it is gone.
    ReadBack,
    /// The worker takes away what kept sessions dead.
    Sweep,
    /// The worker undoes what a broker that died in elevate has left.
    Undo,
    /// The worker undoes that once more, when nothing can land any more.
    UndoAgain,
}

impl Phase {
    pub(crate) const ALL: &'static [Self] = &[
        Self::Elevate,
        Self::Revoke,
        Self::Deadline,
        Self::ReadBack,
        Self::Sweep,
        Self::Undo,
        Self::UndoAgain,
    ];

    pub(crate) fn in_words(self) -> &'static str {
        match self {
            Self::Elevate => "elevate",
            Self::Revoke => "revoke",
            Self::Deadline => "deadline",
            Self::ReadBack => "read back",
            Self::Sweep => "sweep",
            Self::Undo => "undo",
            Self::UndoAgain => "undo again",
        }
    }
}

/// A phase that has begun.
pub(crate) enum Begun {
    /// Somebody waits for an answer; none if there was none.
    Asked(thread::JoinHandle<Option<Answer>>),
    /// The worker is at it.
    Worked {
        /// The grant's version when it has written what came of it.
        until: i64,
    },
}

impl Begun {
    /// The answer to whoever asked, once there is one or will be none.
    pub(crate) fn answer(self) -> Option<Answer> {
        match self {
            Self::Asked(thread) => thread.join().unwrap(),
            Self::Worked { .. } => None,
        }
    }
}

impl KillFixture<'_> {
    /// Everything that comes before the phase. False if there is nothing to do in it.
    pub(crate) fn reach(&mut self, mode: Mode, phase: Phase, key: &str) -> bool {
        self.pass_what_was();
        match phase {
            Phase::Elevate => {
                // What a broker remembers of an account makes its calls fewer: every one is to be met.
                self.aws.broker.restart();
                return true;
            }
            Phase::Revoke | Phase::Deadline => drop(self.elevate(mode, key)),
            Phase::ReadBack => {
                self.elevate(mode, key);
                self.revoke(mode, key);
            }
            Phase::Sweep => {
                self.elevate(mode, key);
                self.revoke(mode, key);
                self.work_once(key);
            }
            Phase::Undo => self.die_in_elevate(mode, key),
            Phase::UndoAgain => {
                self.die_in_elevate(mode, key);
                self.work_once(key);
            }
        }
        self.entry(key).due_at.is_some()
    }

    /// Begins it. A worker's phase begins when the clock has come to it.
    pub(crate) fn begin(&mut self, mode: Mode, phase: Phase, key: &str) -> Begun {
        let request = match phase {
            Phase::Elevate => self.elevation(mode, key),
            Phase::Revoke => self.revocation(mode, key),
            Phase::Deadline | Phase::ReadBack | Phase::Sweep | Phase::Undo | Phase::UndoAgain => {
                let entry = self.at_rest(key).unwrap();
                self.next_due(&entry);
                return Begun::Worked { until: entry.version + commits(&entry) };
            }
        };
        Begun::Asked(thread::spawn(move || http::try_send(request).ok()))
    }

    /// Waits until the worker has written what came of it.
    pub(crate) fn written(&self, begun: &Begun, key: &str) {
        if let Begun::Worked { until } = begun {
            eventually(&format!("work on {:?}", self.entry(key)), || {
                (self.entry(key).version >= *until).then_some(())
            });
        }
    }

    pub(crate) fn work_once(&mut self, key: &str) {
        let entry = self.at_rest(key).unwrap();
        if entry.due_at.is_some() {
            self.next_due(&entry);
            self.written(&Begun::Worked { until: entry.version + commits(&entry) }, key);
        }
    }

    /// A broker dies when its last call of an elevation was applied, and another is started.
    fn die_in_elevate(&mut self, mode: Mode, key: &str) {
        let kill = self.killer();
        let last = last_change(mode);
        self.proxy.at(Instant::AfterApplied, last.clone(), move |_| kill());
        self.proxy.order(last, Fault::ReplyLost);
        assert_eq!(self.begin(mode, Phase::Elevate, key).answer().map(|answer| answer.text), None);
        self.proxy.behave();
        self.another_broker(key);
    }
}

/// How often the worker writes a grant: to claim it, to end it if it had not ended, and for what came of it.
fn commits(entry: &Entry) -> i64 {
    if ["applying", "active"].contains(&entry.status.as_str()) { 3 } else { 2 }
}

/// The last call of an elevation that changes something.
fn last_change(mode: Mode) -> Which {
    match mode {
        Mode::StaticInline => Which::named("iam:PutRolePolicy").after(1).times(1),
        Mode::StaticAttached => Which::named("iam:AttachRolePolicy").after(1).times(1),
        Mode::UserInline => Which::named("iam:PutUserPolicy").after(1).times(1),
        Mode::UserAttached => Which::named("iam:AttachUserPolicy").after(1).times(1),
        Mode::Session | Mode::Role => Which::named("sts:AssumeRole").times(1),
        Mode::Pod => Which::named("eks:CreatePodIdentityAssociation").times(1),
    }
}
