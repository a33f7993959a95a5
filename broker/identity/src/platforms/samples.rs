//! Sample tokens of each platform: their facts, and the exceptions that they need.

use std::collections::BTreeMap;

use domain::{ClaimRule, Claims, Exception, TrustRule};
use protocol::Platform;
use serde_json::{Value, json};

use super::profile;

fn claims(value: Value) -> Claims {
    let mut claims: Claims = serde_json::from_value(value).unwrap();
    claims.entry("iss".to_owned()).or_insert_with(|| json!("https://issuer.example"));
    claims
}

/// The facts by name, as a timeline would print them.
fn facts(platform: Platform, value: Value) -> String {
    let facts = (profile(platform).facts)(&claims(value));
    facts.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ")
}

/// The exceptions that a rule with these claims would have to name.
fn exceptions(platform: Platform, rule: &[&str], value: &Value) -> Vec<Exception> {
    let anything = || ClaimRule::AnyOf(vec!["x".to_owned()]);
    let rule = TrustRule {
        issuer: "https://issuer.example".to_owned(),
        audience: "cloudanix-jit".to_owned(),
        platform,
        claims: rule.iter().map(|name| ((*name).to_owned(), anything())).collect::<BTreeMap<_, _>>(),
        allow: Vec::new(),
    };
    let found = (profile(platform).exceptions)(&claims(value.clone()), &rule);
    found.into_iter().map(|found| found.exception).collect()
}

#[test]
fn facts_have_the_same_names_on_every_platform() {
    let github = json!({
        "repository": "octo-org/my-app", "workflow": "deploy", "run_id": "9001", "run_number": "142",
        "run_attempt": "2", "sha": "a7c1f24", "ref": "refs/heads/main", "actor": "octocat",
        "environment": "prod", "event_name": "push", "check_run_id": "77",
        "iss": "https://token.actions.githubusercontent.com",
    });
    let forgejo = json!({
        "actor": "user1", "event_name": "push", "iss": "https://example.com/api/actions",
        "ref": "refs/heads/master", "ref_protected": "false", "ref_type": "branch",
        "repository": "user1/testing", "repository_owner": "user1", "run_attempt": "1", "run_id": "2043",
        "run_number": "43", "sha": "76cb2978acb72029ac23277a6192eea1707c6a2c",
        "sub": "repo:user1/testing:ref:refs/heads/master", "workflow": "test.yml",
        "workflow_ref": "user1/testing/.forgejo/workflows/test.yml@refs/heads/master",
    });
    let gitlab = json!({
        "project_path": "g/p", "pipeline_id": "5", "job_id": "6", "sha": "a7c1f24", "ref": "main",
        "user_login": "ann", "pipeline_source": "push", "iss": "https://gitlab.com",
    });
    let bitbucket = json!({
        "repositoryUuid": "{r}", "pipelineUuid": "{p}", "stepUuid": "{s}", "branchName": "main",
        "deploymentEnvironmentUuid": "{e}",
    });
    let circleci = json!({
        "oidc.circleci.com/vcs-origin": "github.com/o/r", "oidc.circleci.com/vcs-ref": "refs/heads/main",
        "oidc.circleci.com/pipeline-id": "p", "oidc.circleci.com/workflow-id": "w",
        "oidc.circleci.com/job-id": "j",
    });
    let jenkins = json!({
        "sub": "https://ci.example/job/team/job/my-app/job/main/", "build_number": 142,
        "commit": "${GIT_COMMIT}", "branch": "main",
    });
    let buildkite = json!({
        "organization_slug": "o", "pipeline_slug": "my-app", "build_number": 142, "build_branch": "main",
        "build_commit": "a7c1f24", "job_id": "j", "step_key": null, "build_source": "webhook",
    });
    let azure = json!({
        "rpo_uri": "https://dev.azure.com/o/p/_git/r", "def_id": "3", "run_id": "142", "rpo_ver": "a7c1f24",
        "rpo_ref": "refs/heads/main",
    });
    let kubernetes = json!({
        "kubernetes.io.namespace": "prod", "kubernetes.io.pod.name": "orders-7d4",
        "kubernetes.io.serviceaccount.name": "orders",
    });
    let gcp = json!({
        "email": "runner@project.iam.gserviceaccount.com", "google.compute_engine.project_id": "project",
        "google.compute_engine.instance_id": "123", "google.compute_engine.zone": "europe-west1-b",
    });
    for (platform, claims, expected) in [
        (
            Platform::Github,
            github,
            "repository=octo-org/my-app workflow=deploy run=142 attempt=2 job=77 commit=a7c1f24 \
             ref=refs/heads/main actor=octocat environment=prod event=push \
             url=https://github.com/octo-org/my-app/actions/runs/9001",
        ),
        (
            Platform::Forgejo,
            forgejo,
            "repository=user1/testing workflow=test.yml run=43 attempt=1 \
             commit=76cb2978acb72029ac23277a6192eea1707c6a2c ref=refs/heads/master actor=user1 event=push \
             url=https://example.com/user1/testing/actions/runs/43",
        ),
        (
            Platform::Gitlab,
            gitlab,
            "repository=g/p run=5 job=6 commit=a7c1f24 ref=main actor=ann event=push \
             url=https://gitlab.com/g/p/-/pipelines/5",
        ),
        (Platform::Bitbucket, bitbucket, "repository={r} run={p} step={s} ref=main environment={e}"),
        (
            Platform::Circleci,
            circleci,
            "repository=github.com/o/r workflow=w run=p job=j ref=refs/heads/main",
        ),
        (
            Platform::Jenkins,
            jenkins,
            "workflow=team/my-app/main run=142 ref=main \
             url=https://ci.example/job/team/job/my-app/job/main/142/",
        ),
        (
            Platform::Buildkite,
            buildkite,
            "repository=o/my-app workflow=my-app run=142 job=j commit=a7c1f24 ref=main event=webhook \
             url=https://buildkite.com/o/my-app/builds/142",
        ),
        (
            Platform::AzureDevops,
            azure,
            "repository=https://dev.azure.com/o/p/_git/r workflow=3 run=142 commit=a7c1f24 ref=refs/heads/main",
        ),
        (Platform::Kubernetes, kubernetes, "actor=prod/orders pod=prod/orders-7d4"),
        (
            Platform::Gcp,
            gcp,
            "repository=project run=123 actor=runner@project.iam.gserviceaccount.com environment=europe-west1-b",
        ),
        (Platform::Oidc, json!({"repository": "x", "ref": "y"}), ""),
    ] {
        assert_eq!(facts(platform, claims), expected);
        assert!(facts(platform, json!({"run_id": [], "ref": {}})).is_empty(), "{platform:?}");
    }
}

#[test]
fn githubs_enterprises_have_their_own_address() {
    for (issuer, url) in [
        ("https://token.actions.githubusercontent.com/octo", Some("https://github.com/o/r/actions/runs/1")),
        ("https://token.actions.octo.ghe.com", Some("https://octo.ghe.com/o/r/actions/runs/1")),
        ("https://git.example/_services/token", Some("https://git.example/o/r/actions/runs/1")),
        ("https://issuer.example", None),
        ("http://127.0.0.1:8080", None),
    ] {
        let facts = (profile(Platform::Github).facts)(&claims(
            json!({"iss": issuer, "repository": "o/r", "run_id": "1"}),
        ));
        assert_eq!(facts.url.as_deref(), url, "{issuer}");
    }
}

#[test]
fn possible_fork_runs_need_the_exception() {
    const ORIGIN: &str = "oidc.circleci.com/vcs-origin";
    let subject = "org/O/project/P/user/U/vcs-origin/github.com/o/r/vcs-ref/refs/heads/main";
    let cases: &[(Platform, &[&str], Value, bool)] = &[
        (Platform::Github, &[], json!({"event_name": "push", "ref": "refs/heads/main"}), false),
        (Platform::Github, &[], json!({"event_name": "merge_group", "ref": "refs/heads/x"}), false),
        (Platform::Github, &[], json!({"event_name": "pull_request"}), true),
        (Platform::Github, &[], json!({"event_name": "pull_request_target", "ref": "refs/heads/main"}), true),
        (Platform::Github, &[], json!({"event_name": "pull_request_review_comment"}), true),
        (Platform::Github, &[], json!({"event_name": "push", "ref": "refs/pull/1/merge"}), true),
        (Platform::Github, &[], json!({"ref": "refs/heads/main"}), true),
        (Platform::Forgejo, &[], json!({"event_name": "push", "ref": "refs/heads/main"}), false),
        (Platform::Forgejo, &[], json!({"event_name": "pull_request", "ref": "refs/pull/7/head"}), true),
        (
            Platform::Forgejo,
            &[],
            json!({"event_name": "pull_request_target", "ref": "refs/heads/main"}),
            true,
        ),
        (Platform::Forgejo, &[], json!({"ref": "refs/heads/main"}), true),
        (Platform::Gitlab, &[], json!({"pipeline_source": "push", "project_id": "1"}), false),
        (Platform::Gitlab, &[], json!({"pipeline_source": "merge_request_event", "project_id": "1"}), true),
        (Platform::Gitlab, &[], json!({"pipeline_source": "external_pull_request_event"}), true),
        (
            Platform::Gitlab,
            &[],
            json!({"pipeline_source": "parent_pipeline", "ref_path": "refs/merge-requests/1/head"}),
            true,
        ),
        (
            Platform::Gitlab,
            &[],
            json!({"pipeline_source": "merge_request_event", "project_id": "1", "job_project_id": "1"}),
            false,
        ),
        (
            Platform::Gitlab,
            &[],
            json!({"pipeline_source": "merge_request_event", "project_id": "2", "job_project_id": "1"}),
            true,
        ),
        (
            Platform::Gitlab,
            &[],
            json!({"pipeline_source": "push", "project_id": 2, "job_project_id": "1"}),
            true,
        ),
        (Platform::Circleci, &[ORIGIN], json!({ORIGIN: "github.com/o/r"}), false),
        (Platform::Circleci, &["oidc.circleci.com/project-id"], json!({ORIGIN: "github.com/o/r"}), true),
        (Platform::Circleci, &["sub"], json!({ORIGIN: "github.com/o/r", "sub": subject}), false),
        (
            Platform::Circleci,
            &["sub"],
            json!({ORIGIN: "github.com/o/r", "sub": "org/O/project/P/user/U"}),
            true,
        ),
        (
            Platform::Circleci,
            &[ORIGIN],
            json!({ORIGIN: "github.com/o/r", "oidc.circleci.com/vcs-ref": "refs/pull/3"}),
            true,
        ),
        (Platform::Circleci, &[], json!({"sub": "org/O/project/P/user/U"}), false),
        (Platform::Jenkins, &[], json!({"sub": "https://ci.example/job/my-app/job/main/"}), false),
        (Platform::Jenkins, &[], json!({"sub": "https://ci.example/job/my-app/job/PR-12/"}), true),
        (Platform::Jenkins, &[], json!({"sub": "https://ci.example/job/my-app/job/MR-12-merge"}), true),
        (Platform::Jenkins, &[], json!({"sub": "https://ci.example/job/PR-tools/"}), false),
        (Platform::Jenkins, &[], json!({"sub": "https://ci.example/job/a/", "change_id": "12"}), true),
        (
            Platform::Jenkins,
            &[],
            json!({"sub": "https://ci.example/job/a/", "change_id": "${CHANGE_ID}"}),
            false,
        ),
        (Platform::Jenkins, &[], json!({"change_id": "12", "change_fork": "${CHANGE_FORK}"}), false),
        (Platform::Jenkins, &[], json!({"change_id": "12", "change_fork": ""}), false),
        (Platform::Jenkins, &[], json!({"change_id": "12", "change_fork": "mallory"}), true),
        (Platform::Buildkite, &[], json!({"build_branch": "main"}), false),
        (Platform::Buildkite, &[], json!({"build_branch": "mallory:main"}), true),
        (Platform::AzureDevops, &[], json!({"rpo_ref": "refs/heads/main"}), false),
        (Platform::AzureDevops, &[], json!({"rpo_ref": "refs/pull/7/merge"}), true),
        (Platform::Github, &[], json!({"event_name": "schedule", "ref": "refs/heads/main"}), false),
        (Platform::Github, &[], json!({"event_name": "workflow_dispatch", "ref": "refs/heads/main"}), false),
        (Platform::Github, &[], json!({"event_name": "release", "ref": "refs/tags/v1"}), false),
        (Platform::Bitbucket, &[], json!({"branchName": "main"}), false),
    ];
    for (platform, rule, value, fork) in cases {
        let found = exceptions(*platform, rule, value);
        let expected = if *fork { vec![Exception::ForkPullRequests] } else { Vec::new() };
        assert_eq!(found, expected, "{platform:?} {value}");
    }
}

#[test]
fn an_event_that_outsiders_can_start_needs_its_exception() {
    for (event, expected) in [
        ("workflow_run", Exception::WorkflowRun),
        ("issue_comment", Exception::IssueComment),
        ("issues", Exception::OutsiderEvents),
        ("discussion", Exception::OutsiderEvents),
        ("discussion_comment", Exception::OutsiderEvents),
        ("fork", Exception::OutsiderEvents),
        ("watch", Exception::OutsiderEvents),
        ("gollum", Exception::OutsiderEvents),
        ("check_run", Exception::OutsiderEvents),
        ("an_event_of_next_year", Exception::OutsiderEvents),
    ] {
        let value = json!({"event_name": event, "ref": "refs/heads/main"});
        assert_eq!(exceptions(Platform::Github, &[], &value), [expected], "{event}");
        let value = json!({"event_name": event, "ref": "refs/pull/7/merge"});
        let both = [Exception::ForkPullRequests, expected];
        assert_eq!(exceptions(Platform::Github, &[], &value), both, "{event}");
    }
}

#[test]
fn a_service_connections_token_needs_its_exception() {
    for value in [json!({"sub": "sc://octo/orders/deploy"}), json!({"rpo_ref": ""}), json!({"rpo_ref": null})]
    {
        assert_eq!(
            exceptions(Platform::AzureDevops, &[], &value),
            [Exception::ServiceConnections],
            "{value}"
        );
    }
}

/// The run that a registration counts grants for.
fn run(platform: Platform, value: Value) -> Option<String> {
    let claims = claims(value);
    profile(platform).run.iter().find_map(|template| super::filled(template, &claims))
}

#[test]
fn a_run_is_identified_by_all_of_its_signed_claims() {
    let circleci = json!({"oidc.circleci.com/workflow-id": "w", "oidc.circleci.com/job-id": "j"});
    for (platform, value, expected) in [
        (Platform::Github, json!({"run_id": "7", "run_attempt": 2, "check_run_id": "9"}), Some("7|2|9")),
        (Platform::Github, json!({"run_id": "7", "run_attempt": "2"}), Some("7|2")),
        (Platform::Github, json!({"run_id": "7"}), None),
        (Platform::Gitlab, json!({"pipeline_id": "5", "job_id": "6"}), Some("5|6")),
        (Platform::Gitlab, json!({"pipeline_id": "5"}), None),
        (Platform::Bitbucket, json!({"pipelineUuid": "{p}", "stepUuid": "{s}"}), Some("{p}|{s}")),
        (Platform::Circleci, circleci, Some("w|j")),
        (
            Platform::Jenkins,
            json!({"sub": "https://ci/job/a/", "build_number": 3}),
            Some("https://ci/job/a/|3"),
        ),
        (Platform::Jenkins, json!({"sub": "https://ci/job/a/"}), None),
        (Platform::Buildkite, json!({"job_id": "j"}), Some("j")),
        (Platform::AzureDevops, json!({"def_id": "3", "run_id": "142"}), Some("3|142")),
        (Platform::AzureDevops, json!({"sub": "sc://octo/orders/deploy"}), None),
        (Platform::Kubernetes, json!({"kubernetes.io.pod.uid": "u"}), Some("u")),
        (Platform::Kubernetes, json!({"kubernetes.io.namespace": "prod"}), None),
        (Platform::Oidc, json!({"sub": "x", "run_id": "7"}), None),
    ] {
        assert_eq!(run(platform, value.clone()).as_deref(), expected, "{platform:?} {value}");
    }
}

#[test]
fn tokens_of_a_ci_system_are_detected_under_any_platform() {
    let github = json!({"event_name": "push", "repository": "octo-org/my-app"});
    let gitlab = json!({"pipeline_source": "push", "project_path": "g/p"});
    let circleci = json!({"oidc.circleci.com/project-id": "p"});
    for (value, expected) in [
        (&github, Some(Platform::Github)),
        (&json!({"job_workflow_ref": "o/r/.github/workflows/w.yml@refs/heads/main"}), Some(Platform::Github)),
        (&gitlab, Some(Platform::Gitlab)),
        (&json!({"pipelineUuid": "{p}", "repositoryUuid": "{r}"}), Some(Platform::Bitbucket)),
        (&circleci, Some(Platform::Circleci)),
        (&json!({"organization_slug": "o", "pipeline_slug": "p"}), Some(Platform::Buildkite)),
        (&json!({"rpo_ref": "refs/heads/main"}), Some(Platform::AzureDevops)),
        (&json!({"change_id": "${CHANGE_ID}"}), Some(Platform::Jenkins)),
        (&json!({"sub": "orders", "groups": ["deployers"], "repository": "x"}), None),
    ] {
        for rule in [Platform::Oidc, Platform::Kubernetes, Platform::Gcp] {
            let found = super::foreign::detect(rule, &claims(value.clone())).map(|foreign| foreign.platform);
            assert_eq!(found, expected, "{rule:?} {value}");
        }
    }
    assert!(super::foreign::detect(Platform::Github, &claims(github)).is_none(), "its own rules apply");
}

#[test]
fn every_circleci_job_with_a_shell_needs_the_exception() {
    for (ssh, expected) in [(json!(false), vec![]), (json!("false"), vec![]), (json!(null), vec![])] {
        let value = json!({"oidc.circleci.com/ssh-rerun": ssh});
        assert_eq!(exceptions(Platform::Circleci, &[], &value), expected, "{value}");
    }
    for ssh in [json!(true), json!("true"), json!(1)] {
        let value = json!({"oidc.circleci.com/ssh-rerun": ssh});
        assert_eq!(exceptions(Platform::Circleci, &[], &value), [Exception::SshRerun], "{value}");
    }
    let both = json!({"oidc.circleci.com/ssh-rerun": true, "oidc.circleci.com/vcs-ref": "refs/pull/3"});
    let expected = [Exception::ForkPullRequests, Exception::SshRerun];
    assert_eq!(exceptions(Platform::Circleci, &[], &both), expected);
}
