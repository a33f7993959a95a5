//! Elevates for one piece of work and revokes afterwards:
//!
//! ```sh
//! CLOUDANIX_URL=… CLOUDANIX_AUTH_TOKEN=… CLOUDANIX_AGENT_ID=… cargo run --example one_grant
//! ```

use jit_client::identity::Files;
use jit_client::protocol::{Credentials, Grant};
use jit_client::{Client, ElevateLimits, Elevation, Env, Error, Request, Settings, Workload, new_key};

#[tokio::main(flavor = "current_thread")]
async fn main() {
    match deploy_with_grant(&Env::from_process()).await {
        Ok(message) => println!("{message}"),
        Err(error) => {
            eprintln!("{} ({})", error, error.code());
            if let Some(hint) = error.hint() {
                eprintln!("hint: {hint}");
            }
            std::process::exit(1);
        }
    }
}

/// Runs [`deploy`] with a grant, and returns its message and the outcome of the revoke.
#[expect(clippy::unwrap_used, reason = "the constants are a policy and a duration")]
pub(crate) async fn deploy_with_grant(env: &Env) -> Result<String, Error> {
    let client = Client::new(&Settings::for_agent(env)?)?;
    let workload = Workload::detect(env, &Files::system())?;
    let policies = vec!["orders-write".parse().unwrap()];
    let request = Request::new(policies, "15m".parse().unwrap());
    let elevation = Elevation::new(workload, request, new_key()?);
    let (message, revoked) = client
        .with_grant(&elevation, ElevateLimits::default(), async |guard| {
            // The broker may end the grant early: stop then.
            tokio::select! {
                message = deploy(guard.grant()) => message,
                end = guard.ended() => format!("stopped: {end:?}"),
            }
        })
        .await?;
    let revoked = if revoked?.is_confirmed() { "revoked" } else { "the broker is still revoking" };
    Ok(format!("{message}; {revoked}"))
}

/// The work: a real one sends the credential with its requests.
async fn deploy(grant: &Grant) -> String {
    let credential = match &grant.credentials {
        Some(Credentials::Token { .. }) => "a token",
        Some(Credentials::Aws { .. }) => "an AWS session",
        Some(Credentials::Held) | None => "the workload's own credentials",
    };
    format!("deployed with {} by {credential}", grant.id)
}
