//! `doctor`: checks everything between this workload and a grant, and says what to fix.

mod reach;
mod report;

use jit_client::identity::{self, Files, Identity};
use jit_client::{
    Client, Connections, Elevation, Env, Lease, Network, Request, RetryPolicy, Settings, Url, Workload,
    agent_id, broker_url, new_key, system_clock,
};
use protocol::{AgentId, PolicyName, Secret};

use self::report::Report;
use super::block_on;
use crate::args::DoctorArgs;
use crate::error::CliError;
use crate::output::Output;
use crate::settings;

pub(crate) fn run(args: DoctorArgs, env: &Env, output: &mut Output) -> Result<(), CliError> {
    let mut report = Report::new(output);
    let url = report.check("url", broker_url(env).map_err(CliError::from), |url| {
        url.as_str().trim_end_matches('/').to_owned()
    });
    let auth_token =
        report.check("token", settings::auth_token(env), |_| "form and checksum are right".to_owned());
    let agent = report.check("agent", agent_id(env).map_err(CliError::from), AgentId::to_string);
    let identity = platform(&mut report, env);
    block_on(async {
        let client = match &url {
            Some(url) => connect(&mut report, url, auth_token.as_ref(), env).await,
            None => {
                report.skipped("broker", "needs the url");
                None
            }
        };
        match &identity {
            Some(identity) => mint(&mut report, identity, env).await,
            None => report.skipped("oidc", "there is no platform to mint a token"),
        }
        match (&client, &auth_token) {
            (Some(client), Some(_)) => report.outcome("auth", reach::auth_token_is_known(client).await),
            (None, _) | (_, None) => report.skipped("auth", "needs a broker that is ready, and a token"),
        }
        if !args.policies.is_empty() {
            match (&client, &agent, &auth_token) {
                (Some(client), Some(_), Some(_)) => decision(&mut report, client, args, env).await,
                (None, _, _) | (_, None, _) | (_, _, None) => {
                    report.skipped("decision", "needs all of the above");
                }
            }
        }
        Ok(())
    })?;
    report.finish()
}

fn platform(report: &mut Report<'_>, env: &Env) -> Option<Identity> {
    match identity::detect(env, &Files::system()) {
        Ok(Some(identity)) => {
            report.fine("platform", &format!("{} · {}", identity.platform(), identity.token_source()));
            Some(identity)
        }
        Ok(None) => {
            report.failed(
                "platform",
                "no platform with OIDC tokens found",
                Some(
                    "run this in the step that will elevate, or set `CLOUDANIX_OIDC_TOKEN_FILE`; without a token \
                     only agents whose registration says so under `dangerous` get grants",
                ),
            );
            None
        }
        Err(error) => {
            report.error("platform", &error.into());
            None
        }
    }
}

/// The client, if the broker is reachable and ready.
async fn connect(
    report: &mut Report<'_>,
    url: &Url,
    auth_token: Option<&Secret>,
    env: &Env,
) -> Option<Client> {
    let network = Network::from_env(env);
    if network.has_proxy() {
        report.fine("network", "through a proxy (HTTPS_PROXY): name and port are not looked at from here");
    } else if !reach::connect(report, url).await {
        report.skipped("broker", "needs the connection");
        return None;
    }
    let bearer = auth_token.cloned().unwrap_or_else(|| Secret::new(""));
    let roots = network.roots_in_words();
    let settings =
        Settings { url: url.to_string(), bearer, break_glass_of: None, network, warnings: Vec::new() };
    let client = Client::new(&settings).map_err(CliError::from);
    let client = report.check("set-up", client, |_| format!("trusts {roots}"))?;
    reach::ready(report, url, &client).await.then_some(client)
}

/// Mints a token and checks its claims as the broker does, except for the signature.
async fn mint(report: &mut Report<'_>, identity: &Identity, env: &Env) {
    let audience = identity::audience(env);
    let http = match Network::from_env(env).client(Connections::Fresh) {
        Ok(http) => http,
        Err(error) => return report.error("oidc", &error.into()),
    };
    match identity.claims(&http, audience).await {
        Err(error) => report.error("oidc", &error.into()),
        Ok(claims) => {
            let now = system_clock();
            let left = claims.expires_at().map(|at| at.since(now).as_secs());
            let words = format!(
                "iss {} · sub {} · aud {} · {}",
                claims.issuer().unwrap_or("none"),
                claims.all().get("sub").and_then(serde_json::Value::as_str).unwrap_or("none"),
                claims.audiences().join(", "),
                match left {
                    None => "no deadline".to_owned(),
                    Some(secs @ ..=7200) => format!("good for {secs}s"),
                    Some(_) => "good for more than 2h".to_owned(),
                },
            );
            match identity.check(&claims, audience, now) {
                Ok(()) => report.fine("oidc", &words),
                Err(error) => {
                    report.error("oidc", &error.into());
                    report.more(&words);
                }
            }
        }
    }
}

async fn decision(report: &mut Report<'_>, client: &Client, args: DoctorArgs, env: &Env) {
    let decision = async {
        let Some(ttl) = args.ttl else {
            return Err(CliError::usage("`--policy` needs `--ttl`"));
        };
        let workload = Workload::detect(env, &Files::system())?;
        let (policies, target) = (args.policies, args.target);
        let request = Request { policies, ttl, target, reason: None, lease: Lease::DeadlineOnly };
        let elevation = Elevation::new(workload, request, new_key()?);
        Ok(client.dry_run(&elevation, RetryPolicy::within(reach::TIMEOUT)).await?)
    };
    let decision = report.check("decision", decision.await, |decision| {
        let policies: Vec<&str> = decision.policies.iter().map(PolicyName::as_str).collect();
        let (ttl, longest) = (decision.ttl, decision.max_session);
        format!("would be given · {} · {} · {ttl} of at most {longest}", policies.join(", "), decision.target)
    });
    for check in decision.iter().flat_map(|decision| &decision.checks) {
        report.more(check);
    }
}
