//! The record of a step's calls: when a call is printed and reported, and what follows a failed report.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use jit_client::{ActiveGrant, Error, Reported};
use protocol::actions::{Action, MAX_ACTIONS};
use tokio::net::UdpSocket;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until};

use super::datagram::{LONGEST, Reader};
use super::not_recorded;
use super::tally::{Novelty, Tally};
use crate::output::{Mark, Output};

/// The delay before a new kind of call is reported, together with the calls that follow it.
const FIRST: Duration = Duration::from_millis(200);
/// The pause after a report that failed.
const PAUSE: Duration = Duration::from_secs(5);

/// The rate limit: at most [`IN_A_SLOT`] datagrams per slot. A flood waits in the kernel, which drops the excess: it costs
/// some percent of a core and no memory.
const SLOT: Duration = Duration::from_millis(100);
const IN_A_SLOT: u32 = 2000;

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
    socket: UdpSocket,
    reader: Reader,
    tally: Tally,
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
            socket,
            reader: Reader::of(grant_id),
            tally: Tally::default(),
            grant,
            output,
            rows: 0,
            due: None,
            reporting: Reporting::Open,
        }
    }

    /// Records calls until the step has ended, and then sends the last report.
    pub(super) async fn run(mut self, mut ended: oneshot::Receiver<()>) {
        let mut buffer = vec![0; LONGEST + 1];
        let (mut slot, mut in_slot) = (Instant::now(), 0);
        let mut under_way = None;
        loop {
            let crowded = in_slot >= IN_A_SLOT;
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
                () = sleep_until(slot + SLOT), if crowded => in_slot = 0,
                received = self.socket.recv(&mut buffer), if !crowded => {
                    if slot.elapsed() >= SLOT {
                        (slot, in_slot) = (Instant::now(), 0);
                    }
                    in_slot += 1;
                    self.received(buffer.get(..received.unwrap_or(0)).unwrap_or_default());
                }
            }
        }
        // The revoke is sent first.
        tokio::task::yield_now().await;
        for _ in 0..IN_A_SLOT {
            let Ok(received) = self.socket.try_recv(&mut buffer) else { break };
            self.received(buffer.get(..received).unwrap_or_default());
        }
        self.print();
        self.close(under_way).await;
    }

    fn received(&mut self, datagram: &[u8]) {
        let Some(call) = self.reader.read(datagram) else { return };
        let wait = match self.tally.count(call) {
            Novelty::First => FIRST,
            Novelty::Again => collect_for(self.rows),
        };
        self.due_in(wait);
    }

    fn due_in(&mut self, wait: Duration) {
        let then = Instant::now() + wait;
        self.due = Some(self.due.map_or(then, |due| due.min(then)));
    }

    fn print(&mut self) {
        for action in self.tally.take_unprinted() {
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
        let actions =
            self.tally.take_unreported(MAX_ACTIONS.min(ROWS_WHILE_RUNNING.saturating_sub(self.rows)));
        (!actions.is_empty()).then(|| Box::pin(report(Arc::clone(&self.grant), actions)))
    }

    fn reported(&mut self, (actions, outcome): ReportOutcome) {
        match outcome {
            Ok(Reported::Accepted) => {
                self.rows += actions.len();
                self.reporting = Reporting::Open;
            }
            Ok(Reported::Refused(why)) => {
                self.tally.restore(actions);
                self.reporting = Reporting::Refused(why);
            }
            // The report may have arrived: a count that is too high is better than a missing call.
            Err(error) => {
                self.tally.restore(actions);
                let again = Instant::now() + PAUSE;
                self.reporting = Reporting::Failed { why: error.to_string(), again };
            }
        }
        if !self.tally.is_reported() {
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
            let last = self.tally.take_all(MAX_ACTIONS);
            if !last.is_empty() {
                let reported = report(Arc::clone(&self.grant), last).await;
                self.reported(reported);
            }
        }
        match self.reporting {
            _ if self.tally.is_reported() => {}
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
