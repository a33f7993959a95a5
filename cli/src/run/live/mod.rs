//! What does the step do in AWS? Its SDKs tell whoever listens at an address that we put into its environment
//! (client-side monitoring); we show it, and put it on the grant's timeline.
//!
//! It is a record for people and not a proof: the step may send what it likes, and nothing that happens here
//! delays or fails it.

mod datagram;
mod record;
mod services;
mod tally;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use protocol::Grant;
use tokio::net::UdpSocket;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use self::record::Record;
use super::aside::Aside;
use crate::args::RunArgs;
use crate::environment::Env;
use crate::output::{Mark, Output};

/// Which SDKs send theirs to somebody already.
const SETTINGS: [&str; 4] = ["AWS_CSM_ENABLED", "AWS_CSM_HOST", "AWS_CSM_PORT", "AWS_CSM_CLIENT_ID"];

/// After the revoke nobody waits longer for the last report.
const FLUSH: Duration = Duration::from_millis(300);

/// The address that the step's SDKs are given.
pub(crate) struct Socket {
    socket: UdpSocket,
    address: SocketAddr,
    grant: String,
}

/// The record while the step runs.
pub(crate) struct Live {
    step_ended: oneshot::Sender<()>,
    task: JoinHandle<()>,
    output: Output,
}

impl Socket {
    /// For a step whose calls are of interest: in AWS, not switched off, and not sent to somebody else.
    pub(crate) fn for_step(args: &RunArgs, env: &Env, grant: &Grant, output: &Output) -> Option<Self> {
        let theirs = SETTINGS.iter().any(|name| env.get(name).is_some());
        if args.no_live_actions || theirs || grant.target != "aws" {
            return None;
        }
        let bound = std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|socket| {
            socket.set_nonblocking(true)?;
            let socket = UdpSocket::from_std(socket)?;
            Ok(Self { address: socket.local_addr()?, socket, grant: grant.id.to_string() })
        });
        match bound {
            Ok(socket) => Some(socket),
            Err(error) => {
                output.line(
                    Mark::Warning,
                    "action",
                    &format!("the step's AWS calls are not recorded: {error}"),
                );
                None
            }
        }
    }

    /// What leads the step's SDKs here.
    pub(crate) fn variables(&self) -> [(&'static str, String); 4] {
        let [enabled, host, port, client_id] = SETTINGS;
        [
            (enabled, "true".to_owned()),
            (host, self.address.ip().to_string()),
            (port, self.address.port().to_string()),
            (client_id, self.grant.clone()),
        ]
    }

    /// Listens until the step has ended.
    pub(crate) fn listen(self, aside: Arc<Aside>, output: Output) -> Live {
        let (step_ended, ended) = oneshot::channel();
        let record = Record::new(self.socket, &self.grant, aside, output.clone());
        Live { step_ended, task: tokio::spawn(record.keep(ended)), output }
    }
}

impl Live {
    /// No more calls will come; the last ones are told while the grant is given back.
    pub(crate) fn step_ended(self) -> Ending {
        // An error means that the task has ended before us, which it does not.
        let _ = self.step_ended.send(());
        Ending { task: self.task, output: self.output }
    }
}

/// A record that is being closed.
pub(crate) struct Ending {
    task: JoinHandle<()>,
    output: Output,
}

impl Ending {
    /// To be waited for when the grant was given back: for a moment, not longer.
    pub(crate) async fn closed(mut self) {
        if timeout(FLUSH, &mut self.task).await.is_err() {
            self.task.abort();
            not_recorded(&self.output, "no answer in time");
        }
    }
}

fn not_recorded(output: &Output, why: &str) {
    output.line(Mark::Warning, "action", &format!("some calls are not on the timeline: {why}"));
}
