//! The elevation of `run` and `elevate`: built from the command line, its progress printed.

use jit_client::identity::Files;
use jit_client::{Client, ElevateLimits, Elevation, Env, Lease, Notice, Request, Workload};
use protocol::{Grant, IdempotencyKey, PolicyName, Ttl};

use crate::args::RequestArgs;
use crate::error::CliError;
use crate::output::{Mark, Output};

/// For how long to try.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    /// To get an answer.
    pub(crate) answer: Ttl,
    /// To be approved.
    pub(crate) approval: Ttl,
}

impl From<&RequestArgs> for Patience {
    fn from(args: &RequestArgs) -> Self {
        Self { answer: args.timeout, approval: args.wait }
    }
}

/// The elevation that the command line describes.
pub(crate) fn from_args(
    args: &RequestArgs,
    ttl: Ttl,
    lease: Lease,
    key: IdempotencyKey,
    env: &Env,
) -> Result<Elevation, CliError> {
    let workload = Workload::detect(env, &Files::system())?;
    let request = Request {
        policies: args.policies.clone(),
        ttl,
        target: args.target.clone(),
        reason: args.reason.clone(),
        lease,
    };
    Ok(Elevation::new(workload, request, key))
}

/// Elevates, and prints each retry and the grant.
pub(crate) async fn elevate(
    client: &Client,
    elevation: &Elevation,
    patience: Patience,
    output: &Output,
) -> Result<Grant, CliError> {
    let limits = ElevateLimits { answer: patience.answer.into(), approval: patience.approval.into() };
    let notice = |notice: Notice<'_>| match notice {
        Notice::Retrying { why, pause } => {
            let text = format!("{why} · trying again in {:.1}s", pause.as_secs_f64());
            output.line(Mark::Waiting, "elevate", &text);
        }
        Notice::WaitingForApproval(grant) => {
            let id = &grant.id;
            output.line(
                Mark::Waiting,
                "elevate",
                &format!("waiting for approval · {id} · up to {}", patience.approval),
            );
            output.hint(&format!("a person approves it with `cloudanix-jit approve {id}`"));
        }
    };
    let grant = client.elevate(elevation, limits, notice).await?;
    let policies: Vec<&str> = grant.policies.iter().map(PolicyName::as_str).collect();
    output.line(
        Mark::Done,
        "elevate",
        &format!("policy attached · {} · {} · {}", policies.join(", "), grant.ttl, grant.id),
    );
    Ok(grant)
}
