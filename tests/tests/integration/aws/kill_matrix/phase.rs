//! The phases of a grant's life, and how the matrix reaches, begins and finishes each.

use std::thread;

use system_tests::aws::fault_proxy::{Fault, Instant, Which};
use system_tests::aws::fixture::Mode;
use system_tests::aws::ledger::Entry;
use system_tests::http::{self, Answer};
use system_tests::waiting::eventually;

use super::fixture::KillFixture;

/// One phase of a grant's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// The client elevates, and the broker provisions.
    Elevate,
    /// The client revokes.
    Revoke,
    /// The worker revokes because the deadline has come.
    Deadline,
    /// The worker verifies the revoke.
    ReadBack,
    /// The worker removes the session-deny policy.
    Sweep,
    /// The worker rolls back an elevation whose broker died.
    Undo,
    /// The worker rolls back once more, when no late write can land any more.
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

/// A phase under way.
pub(crate) enum Begun {
    /// A client request under way; `None` if it got no response.
    Asked(thread::JoinHandle<Option<Answer>>),
    /// The worker runs the phase.
    Worked {
        /// The grant's version after the worker has committed the result.
        until: i64,
    },
}

impl Begun {
    /// Waits for the response to the client's request; `None` if it got none.
    pub(crate) fn answer(self) -> Option<Answer> {
        match self {
            Self::Asked(thread) => thread.join().unwrap(),
            Self::Worked { .. } => None,
        }
    }
}

impl KillFixture<'_> {
    /// Runs everything before the phase. Returns false if the phase has no work in this mode.
    pub(crate) fn reach(&mut self, mode: Mode, phase: Phase, key: &str) -> bool {
        self.pass_what_was();
        match phase {
            Phase::Elevate => {
                // A restart empties the broker's caches, so that every call is made.
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

    /// Begins the phase. For a phase of the worker, moves the clock to when it is due.
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

    /// Waits until the worker has committed the phase's result.
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

    /// Kills the broker after the last call of an elevation was applied, and starts another.
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

/// How often the worker commits a grant: the claim, the end if the grant had not ended, and the result.
fn commits(entry: &Entry) -> i64 {
    if ["applying", "active"].contains(&entry.status.as_str()) { 3 } else { 2 }
}

/// The last changing call of an elevation.
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
