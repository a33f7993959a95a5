//! The checks of the connection: DNS, TCP, TLS, readiness, clock, auth token.

use std::time::Duration;

use jit_client::{Client, Error, RetryPolicy, Url, system_clock};
use protocol::{ErrorCode, GrantId};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

use super::report::Report;
use crate::error::CliError;

/// Shorter than a job's timeout: a person waits for the answer.
pub(super) const TIMEOUT: Duration = Duration::from_secs(8);
const CONNECT: Duration = Duration::from_secs(2);
/// The largest difference of the clocks: OIDC tokens live for minutes.
const CLOCK: Duration = Duration::from_secs(30);

/// Checks the name and the port. Returns whether the connection was made.
pub(super) async fn connect(report: &mut Report<'_>, url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    let port = url.port_or_known_default().unwrap_or(443);
    let addresses: Vec<_> = match timeout(CONNECT * 2, lookup_host((host, port))).await {
        Ok(Ok(addresses)) => addresses.collect(),
        Ok(Err(error)) => {
            let text = format!("`{host}` has no address: {error}");
            report.failed("dns", &text, Some("check the host in `CLOUDANIX_URL`, and this runner's DNS"));
            return false;
        }
        Err(_) => {
            let text = format!("`{host}` has no address: the resolver did not answer");
            report.failed("dns", &text, Some("check this runner's DNS"));
            return false;
        }
    };
    let shown: Vec<String> = addresses.iter().take(4).map(|address| address.ip().to_string()).collect();
    report.fine("dns", &format!("{host} · {}", shown.join(", ")));
    let mut last = "no address".to_owned();
    for address in &addresses {
        match timeout(CONNECT, TcpStream::connect(address)).await {
            Ok(Ok(_)) => {
                report.fine("tcp", &format!("connected to {address}"));
                return true;
            }
            Ok(Err(error)) => last = error.to_string(),
            Err(_) => last = format!("no answer within {}s", CONNECT.as_secs()),
        }
    }
    let text = format!("no connection to {host} port {port}: {last}");
    let hint = "check that the broker runs, that a firewall lets this runner through, and whether a proxy is \
                needed (`HTTPS_PROXY`)";
    report.failed("tcp", &text, Some(hint));
    false
}

/// Checks TLS, readiness and the clock with one request. Returns whether the broker is ready.
pub(super) async fn ready(report: &mut Report<'_>, url: &Url, client: &Client) -> bool {
    let answer = match client.ready(RetryPolicy::within(TIMEOUT)).await {
        Ok(answer) => answer,
        Err(error) => {
            let name = if error.to_string().contains("certificate") { "tls" } else { "broker" };
            report.error(name, &error.into());
            return false;
        }
    };
    if url.scheme() == "https" {
        report.fine("tls", "the broker's certificate is trusted");
    } else {
        report.fine("tls", "none: plain http, which is accepted because the broker is on this machine");
    }
    clocks(report, answer.date);
    if answer.status == 200 {
        report.fine("broker", "ready");
        true
    } else {
        let text = format!("`{url}readyz`: expected HTTP 200, found {}", answer.status);
        report.failed(
            "broker",
            &text,
            Some("check that `CLOUDANIX_URL` is the broker's address, then its log"),
        );
        false
    }
}

fn clocks(report: &mut Report<'_>, theirs: Option<protocol::Timestamp>) {
    let ours = system_clock();
    match theirs {
        None => report.skipped("clock", "the answer has no `Date`"),
        Some(theirs) => {
            let apart = ours.since(theirs).max(theirs.since(ours));
            let text = format!("{}s apart (here {ours}, there {theirs})", apart.as_secs());
            if apart <= CLOCK {
                report.fine("clock", &text);
            } else {
                let hint = "set this machine's clock (NTP): tokens would look expired, or not valid yet";
                report.failed("clock", &text, Some(hint));
            }
        }
    }
}

/// Reads a grant that does not exist: "not found" proves that the auth token was accepted.
pub(super) async fn auth_token_is_known(client: &Client) -> Result<String, CliError> {
    let unknown = GrantId::from_random([0; 8]);
    match client.grant(&unknown, RetryPolicy::within(TIMEOUT)).await {
        Ok(_) => Ok("the broker accepts the auth token".to_owned()),
        Err(Error::Problem(problem)) if problem.known_code() == Some(ErrorCode::GrantNotFound) => {
            Ok("the broker accepts the auth token".to_owned())
        }
        Err(error) => Err(error.into()),
    }
}
