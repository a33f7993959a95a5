//! `doctor`: what stands between this workload and a grant, and what is to be done about it?

mod reach;
mod report;

use protocol::{AgentId, PolicyName, Secret};
use reqwest::Url;

use self::report::Report;
use super::block_on;
use crate::api::{self, Broker, Network, Patience, Settings};
use crate::args::DoctorArgs;
use crate::asking::{Asking, Lease};
use crate::clock;
use crate::environment::Env;
use crate::error::CliError;
use crate::identity::{self, Files, Identity};
use crate::output::Output;

pub(crate) fn run(args: DoctorArgs, env: &Env, output: &mut Output) -> Result<(), CliError> {
    let mut report = Report::new(output);
    let url = report.check("url", api::broker_url(env), |url| url.as_str().trim_end_matches('/').to_owned());
    let auth_token =
        report.check("token", api::auth_token(env), |_| "form and checksum are right".to_owned());
    let agent_id = report.check("agent", api::agent_id(env), AgentId::to_string);
    let identity = platform(&mut report, env);
    block_on(async {
        let broker = match &url {
            Some(url) => reached(&mut report, url, auth_token.as_ref(), env).await,
            None => {
                report.skipped("broker", "needs the url");
                None
            }
        };
        match &identity {
            Some(identity) => minted(&mut report, identity, env).await,
            None => report.skipped("oidc", "there is no platform to mint a token"),
        }
        match (&broker, &auth_token) {
            (Some(broker), Some(_)) => report.outcome("auth", reach::auth_token_is_known(broker).await),
            (None, _) | (_, None) => report.skipped("auth", "needs a broker that is ready, and a token"),
        }
        if !args.policies.is_empty() {
            match (&broker, &agent_id, &auth_token) {
                (Some(broker), Some(_), Some(_)) => decided(&mut report, broker, args, env).await,
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

/// The broker, if it can be reached and is ready.
async fn reached(
    report: &mut Report<'_>,
    url: &Url,
    auth_token: Option<&Secret>,
    env: &Env,
) -> Option<Broker> {
    let network = Network::from_env(env);
    if network.has_proxy() {
        report.fine("network", "through a proxy (HTTPS_PROXY): name and port are not looked at from here");
    } else if !reach::connect(report, url).await {
        report.skipped("broker", "needs the connection");
        return None;
    }
    let bearer = auth_token.cloned().unwrap_or_else(|| Secret::new(""));
    let roots = network.roots_in_words();
    let broker =
        report.check("set-up", Broker::new(&Settings { url: url.to_string(), bearer, network }), |_| {
            format!("trusts {roots}")
        })?;
    reach::ready(report, url, &broker).await.then_some(broker)
}

/// Mints a token and reads its claims as the broker will, all but the signature.
async fn minted(report: &mut Report<'_>, identity: &Identity, env: &Env) {
    let audience = identity::audience(env);
    let http = match Network::from_env(env).client(api::Connections::Fresh) {
        Ok(http) => http,
        Err(error) => return report.error("oidc", &error),
    };
    match identity.look(&http, audience).await {
        Err(error) => report.error("oidc", &error.into()),
        Ok(claims) => {
            let now = clock::now();
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

async fn decided(report: &mut Report<'_>, broker: &Broker, args: DoctorArgs, env: &Env) {
    let decision = async {
        let Some(ttl) = args.ttl else {
            return Err(CliError::usage("`--policy` needs `--ttl`"));
        };
        let asking = Asking::new(args.policies, ttl, args.target, Lease::DeadlineOnly, env)?;
        let request = asking.request(broker.http()).await?;
        broker.dry_run(&request, Patience::within(reach::PATIENCE)).await
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
