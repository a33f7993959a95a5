//! Detection of the platform, its facts, and the errors for a wrong set-up.

use super::environments::GOOD;
use super::*;

#[test]
fn every_ci_is_found_with_its_token_and_its_facts() {
    let ci = ORDER.iter().filter(|platform| platform.layer == Layer::Ci).count();
    assert_eq!(GOOD.len(), ci, "a platform has no environment here");
    for (name, source, environment, facts) in GOOD {
        let identity = found(environment).unwrap().unwrap();
        assert_eq!(identity.platform(), *name);
        assert_eq!(identity.token_source(), *source);
        let claimed = identity.claimed();
        assert_eq!(claimed.iter().collect::<Vec<_>>(), *facts, "{name}");
    }
}

#[test]
fn observed_facts_name_variables_that_are_set() {
    for (name, _, environment, _) in GOOD {
        for seen in found(environment).unwrap().unwrap().observed_facts() {
            for variable in seen.from.split(", ") {
                assert!(environment.iter().any(|(set, _)| *set == variable), "{name}: {}", seen.from);
            }
        }
    }
}

#[test]
fn no_secret_is_in_debug_output() {
    for (name, _, environment, _) in GOOD {
        let identity = found(environment).unwrap().unwrap();
        let printed = format!("{identity:?} {} {:?}", identity.token_source(), identity.claimed());
        assert!(!printed.contains("hunter2"), "{name}: {printed}");
    }
}

#[test]
fn two_ci_systems_at_once_are_refused_unless_one_is_pinned() {
    for (first, _, one, _) in GOOD {
        // These three set each other's variables: which of them it is is always clear.
        let is_like_github = |name: &str| ["github", "gitea", "forgejo"].contains(&name);
        for (second, _, other, _) in GOOD.iter().filter(|(second, ..)| second != first) {
            if is_like_github(first) && is_like_github(second) {
                continue;
            }
            let mut both: Vec<(&str, &str)> = one.iter().chain(other.iter()).copied().collect();
            let error = failure(&both);
            assert!(matches!(error, IdentityError::Ambiguous { .. }), "{first} and {second}: {error}");
            assert_eq!(error.fault(), IdentityFault::Usage);
            assert!(error.to_string().contains(first) && error.to_string().contains(second));
            both.push(("CLOUDANIX_PLATFORM", first));
            assert_eq!(found(&both).unwrap().unwrap().platform(), *first);
        }
    }
}

#[test]
fn no_identity_is_detected_on_a_bare_machine_or_with_none_pinned() {
    assert!(found(&[]).unwrap().is_none());
    assert!(found(&[("CI", "true"), ("GITHUB_ACTIONS", "false")]).unwrap().is_none());
    assert!(found(&[("GITHUB_ACTIONS", "true"), ("CLOUDANIX_PLATFORM", "none")]).unwrap().is_none());
}

#[test]
fn a_wrong_pin_is_an_error_of_the_settings() {
    let unknown = failure(&[("CLOUDANIX_PLATFORM", "travis")]);
    assert_eq!(
        unknown.to_string(),
        "`CLOUDANIX_PLATFORM` is `travis`: expected one of github, gitea, forgejo, gitlab, bitbucket, circleci, \
         jenkins, buildkite, azure-devops, kubernetes, none"
    );
    let absent = failure(&[("CLOUDANIX_PLATFORM", "github"), ("GITLAB_CI", "true")]);
    assert_eq!(
        absent.to_string(),
        "`CLOUDANIX_PLATFORM` is `github`, but this is not github: expected `GITHUB_ACTIONS=true` without \
         `GITEA_ACTIONS` and `FORGEJO_ACTIONS`"
    );
    assert_eq!([unknown.fault(), absent.fault()], [IdentityFault::Usage; 2]);
}

#[test]
fn a_platform_that_is_not_set_up_is_an_error_with_its_fix() {
    let other_name = fake_token("cloudanix-jit");
    type Environment<'a> = &'a [(&'a str, &'a str)];
    let table: [(Environment<'_>, &str, &str); 16] = [
        (
            &[("GITHUB_ACTIONS", "true"), ("GITHUB_EVENT_NAME", "push")],
            "github is here, but not set up: expected `ACTIONS_ID_TOKEN_REQUEST_URL`, found none: this job may not ask \
             for an identity",
            "`permissions: { id-token: write, contents: read }`",
        ),
        (
            &[("GITHUB_ACTIONS", "true"), ("GITHUB_EVENT_NAME", "pull_request")],
            "this job may not ask for an identity",
            "comes from a fork",
        ),
        (
            &[("GITHUB_ACTIONS", "true"), ("ACTIONS_ID_TOKEN_REQUEST_URL", "https://x")],
            "expected `ACTIONS_ID_TOKEN_REQUEST_TOKEN`, found none",
            "id-token: write",
        ),
        (
            &[
                ("GITHUB_ACTIONS", "true"),
                ("ACTIONS_ID_TOKEN_REQUEST_URL", "http://token.example/"),
                ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "hunter2"),
            ],
            "expected an https address in `ACTIONS_ID_TOKEN_REQUEST_URL`, found `http`",
            "overwrites",
        ),
        (
            &[("GITHUB_ACTIONS", "true"), ("GITEA_ACTIONS", "true")],
            "gitea gives this job no OIDC token: expected `ACTIONS_ID_TOKEN_REQUEST_URL`, found none",
            "`CLOUDANIX_OIDC_TOKEN_FILE` to a token of an issuer that the agent trusts, or register an agent with \
             `allow_auth_token_only`",
        ),
        (
            &[("GITHUB_ACTIONS", "true"), ("GITEA_ACTIONS", "true"), ("FORGEJO_ACTIONS", "true")],
            "forgejo is here, but not set up: expected `ACTIONS_ID_TOKEN_REQUEST_URL`, found none",
            "`enable-openid-connect: true`",
        ),
        (
            &[("GITLAB_CI", "true")],
            "expected the job's token in `CLOUDANIX_ID_TOKEN`, found none",
            "`id_tokens: { CLOUDANIX_ID_TOKEN: { aud: cloudanix-jit } }`",
        ),
        (
            &[("GITLAB_CI", "true"), ("CLOUDANIX_OIDC_TOKEN_VARIABLE", "JWT"), ("CLOUDANIX_AUDIENCE", "jit")],
            "expected the job's token in `JWT`, found none",
            "`id_tokens: { JWT: { aud: jit } }`",
        ),
        (
            &[("GITLAB_CI", "true"), ("DEPLOY_ID_TOKEN", other_name.reveal())],
            "found none",
            "set `CLOUDANIX_OIDC_TOKEN_VARIABLE` to `DEPLOY_ID_TOKEN`",
        ),
        (
            &[("BITBUCKET_BUILD_NUMBER", "1")],
            "expected the step's token in `BITBUCKET_STEP_OIDC_TOKEN`, found none",
            "`oidc: { audiences: [cloudanix-jit] }`",
        ),
        (&[("CIRCLECI", "true"), ("PATH", "relative:/nonexistent")], "found neither", "`context:`"),
        (
            &[("JENKINS_URL", "https://ci"), ("BUILD_TAG", "t")],
            "expected the build's token in `CLOUDANIX_ID_TOKEN`, found none",
            "variable: 'CLOUDANIX_ID_TOKEN'",
        ),
        (
            &[("BUILDKITE", "true"), ("BUILDKITE_JOB_ID", "j")],
            "expected `BUILDKITE_AGENT_ACCESS_TOKEN`, found none",
            "propagate-environment",
        ),
        (
            &[("TF_BUILD", "True"), ("SYSTEM_OIDCREQUESTURI", "https://x")],
            "expected the job's access token in `SYSTEM_ACCESSTOKEN`, found none",
            "SYSTEM_ACCESSTOKEN: $(System.AccessToken)",
        ),
        (
            &[
                ("TF_BUILD", "True"),
                ("SYSTEM_OIDCREQUESTURI", "https://x"),
                ("SYSTEM_ACCESSTOKEN", "$(System.AccessToken)"),
            ],
            "found none",
            "map it in the step",
        ),
        (&[("KUBERNETES_SERVICE_HOST", "10.0.0.1")], "expected a service account token", "`none`"),
    ];
    for (environment, what, hint) in table {
        // A pod under the CI runner has an identity of its own, which is not the job's.
        let folder = tempfile::tempdir().unwrap();
        if environment[0].0 != "KUBERNETES_SERVICE_HOST" {
            write(folder.path(), "var/run/secrets/kubernetes.io/serviceaccount/token", "hunter2");
        }
        let env = Env::from_pairs(environment.iter().copied());
        let error = detect(&env, &Files::below(folder.path())).unwrap_err();
        assert!(error.to_string().contains(what), "expected `{what}`, found `{error}`");
        let found = error.hint().unwrap();
        assert!(found.contains(hint), "expected `{hint}`, found `{found}`");
        assert!(!found.contains('\n'), "a hint is one line: {found}");
        let is_githubs = !environment.iter().any(|(name, _)| name.starts_with("GITEA"));
        assert!(is_githubs || !found.contains("id-token: write"), "GitHub's way is no way there: {found}");
        assert_eq!(error.fault(), IdentityFault::Unauthenticated);
        assert!(!format!("{error:?} {error}").contains("hunter2"));
    }
}

#[test]
fn facts_are_sent_without_an_identity_too() {
    let files = Files::below(Path::new("/nonexistent"));
    for (name, _, environment, facts) in GOOD {
        let mut environment = environment.to_vec();
        environment.push(("CLOUDANIX_PLATFORM", "none"));
        let env = Env::from_pairs(environment);
        assert!(detect(&env, &files).unwrap().is_none(), "{name}");
        assert_eq!(claimed(&env, &files).iter().collect::<Vec<_>>(), *facts, "{name}");
    }
    let two = [("GITLAB_CI", "true"), ("BUILDKITE", "true"), ("CLOUDANIX_PLATFORM", "none")];
    assert_eq!(claimed(&Env::from_pairs(two), &files), Facts::default(), "which of them is not known");
}

#[test]
fn without_an_issuer_there_is_a_reason_and_no_identity() {
    let files = Files::below(Path::new("/nonexistent"));
    let env = Env::from_pairs([
        ("GITHUB_ACTIONS", "true"),
        ("GITEA_ACTIONS", "true"),
        ("GITHUB_REPOSITORY", "o/r"),
    ]);
    let (identity, why) = detect_or_none(&env, &files).unwrap();
    assert!(identity.is_none() && matches!(why, Some(IdentityError::NoIssuer { .. })));
    assert_eq!(claimed(&env, &files).repository.as_deref(), Some("o/r"));
    // A platform with an issuer is not skipped because a job does not request its token.
    let github = Env::from_pairs([("GITHUB_ACTIONS", "true")]);
    assert!(detect_or_none(&github, &files).is_err());
}

#[test]
fn an_explicit_token_takes_precedence_and_the_platforms_facts_stay() {
    let mut environment = GOOD[0].2.to_vec();
    environment.push(("CLOUDANIX_OIDC_TOKEN", "hunter2"));
    let identity = found(&environment).unwrap().unwrap();
    assert_eq!((identity.platform(), identity.token_source().as_str()), ("github", "$CLOUDANIX_OIDC_TOKEN"));
    assert_eq!(identity.claimed().repository.as_deref(), Some("o/r"));

    let bare = found(&[("CLOUDANIX_OIDC_TOKEN_FILE", "/run/token")]).unwrap().unwrap();
    assert_eq!((bare.platform(), bare.token_source().as_str()), ("explicit", "/run/token"));

    let two_platforms = [("GITLAB_CI", "true"), ("BUILDKITE", "true"), ("CLOUDANIX_OIDC_TOKEN", "hunter2")];
    assert_eq!(found(&two_platforms).unwrap().unwrap().claimed(), Facts::default());

    let both = failure(&[("CLOUDANIX_OIDC_TOKEN", "hunter2"), ("CLOUDANIX_OIDC_TOKEN_FILE", "/run/token")]);
    assert_eq!(both.fault(), IdentityFault::Usage);
}

#[test]
fn a_pod_is_detected_by_its_files_and_our_own_volume_is_preferred() {
    let folder = tempfile::tempdir().unwrap();
    let account = "var/run/secrets/kubernetes.io/serviceaccount";
    write(folder.path(), &format!("{account}/token"), "hunter2");
    write(folder.path(), &format!("{account}/namespace"), "prod\n");
    let env = Env::from_pairs([("HOSTNAME", "deploy-x1"), ("ARGO_WORKFLOW_NAME", "nightly")]);
    let files = Files::below(folder.path());
    let identity = detect(&env, &files).unwrap().unwrap();
    assert_eq!(identity.platform(), "kubernetes");
    assert!(identity.token_source().ends_with("serviceaccount/token"));
    let claimed = identity.claimed();
    assert_eq!(claimed.iter().collect::<Vec<_>>(), [("workflow", "nightly"), ("pod", "prod/deploy-x1")]);

    write(folder.path(), "var/run/secrets/cloudanix/token", "hunter2");
    let ours = detect(&env, &files).unwrap().unwrap();
    assert!(ours.token_source().ends_with("cloudanix/token"));
}

pub(super) fn write(root: &Path, path: &str, text: &str) {
    let path = root.join(path);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}
