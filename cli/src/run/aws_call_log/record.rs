//! The record of a step's calls: when a call is printed and reported, and what follows a failed report.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use jit_client::{ActiveGrant, Error, Reported};
use protocol::actions::{Action, MAX_ACTIONS};
use tokio::net::UdpSocket;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until};

use super::listener::Listener;
use super::not_recorded;
use super::tally::Novelty;
use crate::output::{Mark, Output};

/// The delay before a new kind of call is reported, together with the calls that follow it.
const FIRST: Duration = Duration::from_millis(200);
/// The pause after a report that failed.
const PAUSE: Duration = Duration::from_secs(5);

/// The broker accepts 1000 rows for one grant; the rows of the last report stay free.
const ROWS_WHILE_RUNNING: usize = 1000 - MAX_ACTIONS;

/// How long known calls are collected. A step that polls every second leaves room on the timeline for its later calls.
fn collect_for(rows: usize) -> Duration {
    Duration::from_secs(match rows {
        0..200 => 1,
        200..500 => 10,
        _ => 60,
    })
}

/// Whether the broker accepts reports.
enum Reporting {
    Open,
    /// The last report failed.
    Failed {
        why: String,
        again: Instant,
    },
    /// The broker refuses reports for good.
    Refused(String),
}

/// The calls of one grant, and how many were reported.
pub(super) struct Record {
    listener: Listener,
    grant: Arc<ActiveGrant>,
    output: Output,
    /// The rows on the timeline.
    rows: usize,
    /// When the next lines are printed and reported.
    due: Option<Instant>,
    reporting: Reporting,
}

type ReportOutcome = (Vec<Action>, Result<Reported, Error>);

impl Record {
    pub(super) fn new(socket: UdpSocket, grant_id: &str, grant: Arc<ActiveGrant>, output: Output) -> Self {
        Self {
            listener: Listener::new(socket, grant_id),
            grant,
            output,
            rows: 0,
            due: None,
            reporting: Reporting::Open,
        }
    }

    /// Records calls until the step has ended, and then sends the last report.
    pub(super) async fn run(mut self, mut ended: oneshot::Receiver<()>) {
        let mut under_way = None;
        loop {
            tokio::select! {
                biased;
                _ = &mut ended => break,
                reported = answer(&mut under_way) => {
                    under_way = None;
                    self.reported(reported);
                }
                () = at(self.due) => {
                    self.due = None;
                    self.print();
                    if under_way.is_none() {
                        under_way = self.next_report();
                    }
                }
                received = self.listener.receive() => self.received(received),
            }
        }
        // The revoke is sent first.
        tokio::task::yield_now().await;
        self.listener.drain();
        self.print();
        self.close(under_way).await;
    }

    fn received(&mut self, call: Option<Novelty>) {
        match call {
            Some(Novelty::First) => self.due_in(FIRST),
            Some(Novelty::Again) => self.due_in(collect_for(self.rows)),
            None => {}
        }
    }

    fn due_in(&mut self, wait: Duration) {
        let then = Instant::now() + wait;
        self.due = Some(self.due.map_or(then, |due| due.min(then)));
    }

    fn print(&mut self) {
        for action in self.listener.tally.take_unprinted() {
            self.output.line(Mark::Observed, "action", &action.in_words());
        }
    }

    /// Starts the next report, if there are calls to report and the broker accepts reports.
    fn next_report(&mut self) -> Option<Pin<Box<impl Future<Output = ReportOutcome> + use<>>>> {
        match &self.reporting {
            Reporting::Open => {}
            Reporting::Failed { again, .. } if *again <= Instant::now() => {}
            Reporting::Failed { again, .. } => {
                self.due = Some(*again);
                return None;
            }
            Reporting::Refused(_) => return None,
        }
        let actions = self
            .listener
            .tally
            .take_unreported(MAX_ACTIONS.min(ROWS_WHILE_RUNNING.saturating_sub(self.rows)));
        (!actions.is_empty()).then(|| Box::pin(report(Arc::clone(&self.grant), actions)))
    }

    fn reported(&mut self, (actions, outcome): ReportOutcome) {
        match outcome {
            Ok(Reported::Accepted) => {
                self.rows += actions.len();
                self.reporting = Reporting::Open;
            }
            Ok(Reported::Refused(why)) => {
                self.listener.tally.restore(actions);
                self.reporting = Reporting::Refused(why);
            }
            // The report may have arrived: a count that is too high is better than a missing call.
            Err(error) => {
                self.listener.tally.restore(actions);
                let again = Instant::now() + PAUSE;
                self.reporting = Reporting::Failed { why: error.to_string(), again };
            }
        }
        if !self.listener.tally.is_reported() {
            self.due_in(collect_for(self.rows));
        }
    }

    /// Sends the last report, once.
    async fn close(mut self, mut under_way: Option<Pin<Box<impl Future<Output = ReportOutcome>>>>) {
        if under_way.is_some() {
            let reported = answer(&mut under_way).await;
            self.reported(reported);
        }
        if let Reporting::Open | Reporting::Failed { .. } = self.reporting {
            let last = self.listener.tally.take_all(MAX_ACTIONS);
            if !last.is_empty() {
                let reported = report(Arc::clone(&self.grant), last).await;
                self.reported(reported);
            }
        }
        match self.reporting {
            _ if self.listener.tally.is_reported() => {}
            Reporting::Failed { why, .. } | Reporting::Refused(why) => not_recorded(&self.output, &why),
            Reporting::Open => {}
        }
    }
}

async fn report(grant: Arc<ActiveGrant>, actions: Vec<Action>) -> ReportOutcome {
    let outcome = grant.report(actions.clone()).await;
    (actions, outcome)
}

async fn answer<T>(under_way: &mut Option<Pin<Box<impl Future<Output = T>>>>) -> T {
    match under_way {
        Some(answer) => answer.await,
        None => std::future::pending().await,
    }
}

async fn at(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}
