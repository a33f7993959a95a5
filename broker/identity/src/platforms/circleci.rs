//! Tokens of CircleCI.

use domain::{ClaimRule, Claims, Exception, TrustRule};
use protocol::Facts;

use super::{Found, Profile, Replay, fill, text};

const ORIGIN: &str = "oidc.circleci.com/vcs-origin";
const REF: &str = "oidc.circleci.com/vcs-ref";
const SSH: &str = "oidc.circleci.com/ssh-rerun";

pub(super) const PROFILE: Profile = Profile {
    facts,
    exceptions,
    replay: Replay::OneJob("{oidc.circleci.com/workflow-id}|{oidc.circleci.com/job-id}"),
    run: &["{oidc.circleci.com/workflow-id}|{oidc.circleci.com/job-id}"],
};

fn facts(claims: &Claims) -> Facts {
    let from = |template| fill(template, claims);
    Facts {
        repository: from("{oidc.circleci.com/vcs-origin}").or_else(|| from("{oidc.circleci.com/project-id}")),
        workflow: from("{oidc.circleci.com/workflow-id}"),
        run: from("{oidc.circleci.com/pipeline-id}"),
        job: from("{oidc.circleci.com/job-id}"),
        git_ref: from("{oidc.circleci.com/vcs-ref}"),
        ..Facts::default()
    }
}

fn exceptions(claims: &Claims, rule: &TrustRule) -> Vec<Found> {
    let mut found = fork(claims, rule);
    // A missing claim is a `false`; anything else that is not `false` counts.
    if let Some(ssh) = text(claims, SSH).filter(|ssh| ssh != "false") {
        let evidence = format!("the token's claim `{SSH}` is `{ssh}`");
        found.push(Found { exception: Exception::SshRerun, evidence });
    }
    found
}

/// A fork's run has the project's ids, and its own repository in `vcs-origin`. Only a rule that says which
/// origin it expects keeps a fork out, so where the token has the claim, the rule must name it.
fn fork(claims: &Claims, rule: &TrustRule) -> Vec<Found> {
    let is_pull = |git_ref: &String| git_ref.starts_with("refs/pull/") || git_ref.starts_with("pull/");
    if let Some(git_ref) = text(claims, REF).filter(is_pull) {
        return Found::fork(format!("the token's claim `{REF}` is `{git_ref}`"));
    }
    match text(claims, ORIGIN) {
        Some(origin) if !names_origin(claims, rule) => Found::fork(format!(
            "the token's claim `{ORIGIN}` is `{origin}`, and the trust rule does not say which origin it expects"
        )),
        Some(_) | None => Vec::new(),
    }
}

/// By the claim itself, or by a `sub` of the second kind, which ends in origin and ref.
fn names_origin(claims: &Claims, rule: &TrustRule) -> bool {
    let in_subject = text(claims, "sub").is_some_and(|sub| sub.contains("/vcs-origin/"))
        && matches!(rule.claims.get("sub"), Some(ClaimRule::AnyOf(_)));
    rule.claims.contains_key(ORIGIN) || in_subject
}
