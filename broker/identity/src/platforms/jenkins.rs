//! Tokens of the Jenkins plugin oidc-provider: `sub`, `build_number`, and claims that the administrator adds under the
//! names that the set-up page proposes.

use domain::{Claims, TrustRule};
use protocol::Facts;

use super::{Found, Profile, Replay, fill, text};

pub(super) const PROFILE: Profile = Profile {
    facts,
    exceptions,
    replay: Replay::OneJob("{sub}|{build_number}"),
    run: &["{sub}|{build_number}"],
};

fn facts(claims: &Claims) -> Facts {
    let from = |template| fill(template, claims).filter(|value| !is_unset(value));
    Facts {
        workflow: text(claims, "sub").as_deref().and_then(job_path),
        run: from("{build_number}"),
        commit: from("{commit}"),
        git_ref: from("{branch}"),
        url: from("{sub}{build_number}/"),
        ..Facts::default()
    }
}

/// `folder/my-app` of `https://jenkins.example/job/folder/job/my-app/`.
fn job_path(url: &str) -> Option<String> {
    let (_, path) = url.split_once("/job/")?;
    Some(super::presentable(&path.trim_end_matches('/').replace("/job/", "/")))
}

/// The plugin leaves a template as it is when the build has no such variable.
fn is_unset(value: &str) -> bool {
    value.starts_with("${")
}

/// A change request shows in `change_id`, or in the job's name, which the multibranch plugins make; only
/// `change_fork` tells whether it comes from a fork, and it has to be there to be believed.
fn exceptions(claims: &Claims, _: &TrustRule) -> Vec<Found> {
    let change = text(claims, "change_id").filter(|id| !is_unset(id)).or_else(|| change_job(claims));
    match claims.get("change_fork").and_then(|fork| fork.as_str()) {
        Some(fork) if !fork.is_empty() && !is_unset(fork) => {
            Found::fork(format!("the token's claim `change_fork` is `{fork}`"))
        }
        Some(_) => Vec::new(),
        None => match change {
            Some(change) => Found::fork(format!(
                "the build is for the change request `{change}`, and without the claim `change_fork` a fork's looks like any other"
            )),
            None => Vec::new(),
        },
    }
}

fn change_job(claims: &Claims) -> Option<String> {
    let job = text(claims, "sub")?;
    let name = job.trim_end_matches('/').rsplit('/').next()?.to_owned();
    let number = name.strip_prefix("PR-").or_else(|| name.strip_prefix("MR-"))?;
    number.starts_with(|c: char| c.is_ascii_digit()).then_some(name)
}
