//! The log of a step's AWS calls, from the client-side monitoring of its SDKs.
//!
//! The SDKs send a datagram per call to a loopback address in the step's environment. The client prints the calls and puts
//! them on the grant's timeline; without a grant, it adds them to the observation when the step has ended. This is a record for people and no proof: the step may send any datagram, and the log
//! neither delays nor fails it.

mod datagram;
mod listener;
mod observed;
mod record;
mod services;
mod tally;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use protocol::Grant;
use tokio::net::UdpSocket;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;

pub(crate) use self::observed::ObservedCalls;
use self::record::Record;
use crate::args::StepArgs;
use crate::output::{Mark, Output};
use jit_client::ActiveGrant;
use jit_client::Env;

/// The variables of client-side monitoring.
const SETTINGS: [&str; 4] = ["AWS_CSM_ENABLED", "AWS_CSM_HOST", "AWS_CSM_PORT", "AWS_CSM_CLIENT_ID"];

/// How long to wait for the last report after the revoke.
const FLUSH: Duration = Duration::from_millis(300);

/// The socket that receives the datagrams of the step's SDKs.
pub(crate) struct Socket {
    socket: UdpSocket,
    address: SocketAddr,
    /// Tells the step's datagrams from others.
    client_id: String,
}

/// The log while the step runs.
pub(crate) struct AwsCallLog {
    step_ended: oneshot::Sender<()>,
    task: JoinHandle<()>,
    output: Output,
}

impl Socket {
    /// Binds a socket for a step in AWS, unless the log is switched off or the calls go to another listener.
    pub(crate) fn for_step(args: &StepArgs, env: &Env, grant: &Grant, output: &Output) -> Option<Self> {
        if is_off(args, env) || grant.target != "aws" {
            return None;
        }
        Self::bind(grant.id.to_string()).inspect_err(|error| not_bound(output, error)).ok()
    }

    /// Binds a socket for a step without a grant, under the same conditions.
    pub(crate) fn for_observed_step(args: &StepArgs, env: &Env, output: &Output) -> Option<Self> {
        if is_off(args, env) {
            return None;
        }
        let client_id = jit_client::new_key().map_err(io::Error::other);
        let bound = client_id.and_then(|id| Self::bind(format!("observe-{id}")));
        bound.inspect_err(|error| not_bound(output, error)).ok()
    }

    fn bind(client_id: String) -> io::Result<Self> {
        let socket = std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        socket.set_nonblocking(true)?;
        let socket = UdpSocket::from_std(socket)?;
        Ok(Self { address: socket.local_addr()?, socket, client_id })
    }

    /// The variables that direct the step's SDKs to this socket.
    pub(crate) fn variables(&self) -> [(&'static str, String); 4] {
        let [enabled, host, port, client_id] = SETTINGS;
        [
            (enabled, "true".to_owned()),
            (host, self.address.ip().to_string()),
            (port, self.address.port().to_string()),
            (client_id, self.client_id.clone()),
        ]
    }

    /// Records calls until the step has ended.
    pub(crate) fn listen(self, grant: Arc<ActiveGrant>, output: Output) -> AwsCallLog {
        let (step_ended, ended) = oneshot::channel();
        let record = Record::new(self.socket, &self.client_id, grant, output.clone());
        AwsCallLog { step_ended, task: tokio::spawn(record.run(ended)), output }
    }
}

impl AwsCallLog {
    /// Closes the log after the end of the step. The last report is sent during the revoke.
    pub(crate) fn step_ended(self) -> ClosingLog {
        // An error means that the task has ended, which it does not before this.
        let _ = self.step_ended.send(());
        ClosingLog { task: self.task, output: self.output }
    }
}

/// A log that is being closed.
pub(crate) struct ClosingLog {
    task: JoinHandle<()>,
    output: Output,
}

impl ClosingLog {
    /// Waits for the last report, for a moment. Call it after the revoke.
    pub(crate) async fn closed(mut self) {
        if timeout(FLUSH, &mut self.task).await.is_err() {
            self.task.abort();
            not_recorded(&self.output, "no answer in time");
        }
    }
}

fn is_off(args: &StepArgs, env: &Env) -> bool {
    args.no_live_actions || SETTINGS.iter().any(|name| env.get(name).is_some())
}

fn not_bound(output: &Output, error: &io::Error) {
    output.line(Mark::Warning, "action", &format!("the step's AWS calls are not recorded: {error}"));
}

fn not_recorded(output: &Output, why: &str) {
    output.line(Mark::Warning, "action", &format!("some calls are not on the timeline: {why}"));
}
