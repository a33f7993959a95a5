//! The grants, the exit code and the log of every kind of job in a pipeline.

use std::fs;

use serde_json::{Value, json};
use system_tests::fixture::Fixture;
use system_tests::leak_scan::LeakScan;
use system_tests::waiting::{eventually, eventually_within};

use super::project::{PATIENCE, Project};

/// The jobs' shell. `$KEPT` is a folder outside the leak scan, in which a job stores values for the test.
const PIPELINE: &str = r##"
stages: [deploy]
include:
  - component: $CI_SERVER_FQDN/$CI_PROJECT_PATH/elevate@$CI_COMMIT_SHA
    inputs:
      job-name: component
      image: unused
      policy: orders-read
      ttl: 10m
      reason: "ship: it's # now"
      run: "echo $CLOUDANIX_GRANT_ID; env; printf %s \"$CLOUDANIX_GRANT_TOKEN\" >$KEPT/component; x="
  - component: $CI_SERVER_FQDN/$CI_PROJECT_PATH/elevate@$CI_COMMIT_SHA
    inputs: { job-name: failing-component, image: unused, policy: orders-read, run: "false; echo went on" }
  - local: cloudanix-jit.gitlab-ci.yml
.run: { stage: deploy, extends: .cloudanix-elevate, variables: { CLOUDANIX_POLICY: orders-read } }
.script: { stage: deploy, extends: .cloudanix-elevate-script, variables: { CLOUDANIX_POLICY: orders-read } }
one-command:
  extends: .run
  script:
    - cloudanix_run sh -c 'env; printf %s "$CLOUDANIX_GRANT_TOKEN" >$KEPT/one-command'
    - test -z "${CLOUDANIX_GRANT_ID:-}"
failing-command: { extends: .run, script: [cloudanix_run sh -c 'exit 7'] }
denied: { extends: .run, variables: { CLOUDANIX_POLICY: admin }, script: [cloudanix_run echo never] }
without-policy: { extends: .run, variables: { CLOUDANIX_POLICY: "" }, script: [cloudanix_run echo never] }
without-token:
  extends: .run
  before_script: [unset CLOUDANIX_ID_TOKEN, !reference [.cloudanix-elevate, before_script]]
  script: [cloudanix_run echo never]
other-audience: { extends: .run, variables: { CLOUDANIX_AUDIENCE: other }, script: [cloudanix_run echo never] }
whole-script:
  extends: .script
  script:
    - printf %s "$CLOUDANIX_GRANT_TOKEN" >$KEPT/whole-script
    - test -z "${CLOUDANIX_ID_TOKEN:-}${CLOUDANIX_AUTH_TOKEN:-}"
failing-script: { extends: .script, script: [exit 9] }
left-open: { extends: .script, script: [trap - EXIT, exit 8] }
denied-script: { extends: .script, variables: { CLOUDANIX_POLICY: admin }, script: [echo never] }
traced:
  extends: .script
  before_script: [set -x, !reference [.cloudanix-elevate-script, before_script]]
  script: [echo never]
"##;

#[test]
fn every_kind_of_job_ends_without_a_grant_and_without_a_secret_in_sight() {
    let fixture = Fixture::start();
    let kept = tempfile::tempdir().unwrap();
    let pipeline = PIPELINE.replace("$KEPT", &kept.path().display().to_string());
    let project = Project::with(Some(&pipeline));
    let token = fixture.oidc_token();
    let finished = project.start(&fixture, &fixture.agent, &token).finish();
    assert!(fixture.broker.live().is_empty(), "{}", finished.text);
    assert_eq!(finished.code, Some(1), "some jobs fail: {}", finished.text);

    for (job, code, end) in [
        ("component", 0, "step finished · exit 0"),
        ("failing-component", 1, "step finished · exit 1"),
        ("one-command", 0, "step finished · exit 0"),
        ("failing-command", 7, "step finished · exit 7"),
        ("whole-script", 0, "asked by the client"),
        ("failing-script", 9, "asked by the client"),
        ("left-open", 8, "asked by the client"),
    ] {
        assert_eq!(finished.code_of(job), code, "{job}: {}", finished.text);
        assert_eq!(grant_of(&fixture, job)["end_reason"], end, "{job}: {}", finished.text);
    }
    assert_eq!(fixture.broker.given().len(), 7);
    assert!(!finished.printed_by("failing-component").contains("went on"));
    let after = |job: &str| finished.printed_by(job).contains("outlived the script, which ended as failed");
    assert!(after("left-open") && !after("failing-script"), "{}", finished.text);

    for (job, code, said) in [
        ("denied", 125, "`admin`"),
        ("denied-script", 3, "`admin`"),
        ("without-policy", 125, "set `CLOUDANIX_POLICY` under the job's `variables:`"),
        ("without-token", 125, "add to the job `id_tokens: { CLOUDANIX_ID_TOKEN: { aud: cloudanix-jit } }`"),
        (
            "other-audience",
            125,
            "set `aud:` of the variable under the job's `id_tokens:` to the expected audience",
        ),
        ("traced", 125, "switch CI_DEBUG_TRACE off"),
    ] {
        let printed = finished.printed_by(job);
        assert_eq!(finished.code_of(job), code, "{job}: {printed}");
        assert!(printed.contains(said) && !printed.contains("never\n"), "{job}: {printed}");
    }
    provenance(&fixture);

    let mut scan = LeakScan::default();
    scan.secret("auth token", &fixture.agent.auth_token);
    scan.secret("OIDC token", &token);
    scan.secret("the OIDC token's signature", token.rsplit_once('.').unwrap().1);
    for job in ["component", "one-command", "whole-script"] {
        let grant_token = fs::read_to_string(kept.path().join(job)).unwrap();
        assert_eq!(fixture.broker.introspect(&grant_token), json!({"active": false}), "{job}");
        scan.secret(job, &grant_token);
    }
    scan.folder("project", project.around());
    let finds = scan.finds();
    assert!(scan.bytes() > 50_000 && finds.is_empty(), "{} bytes, {}", scan.bytes(), finds.join("\n"));
    let states = fs::read_dir(project.around().join("project.tmp")).unwrap().count();
    assert_eq!(states, 0, "no state file stays behind");
}

/// Asserts that the timeline has the project, the pipeline and the job, with signed claims apart from client claims.
#[track_caller]
fn provenance(fixture: &Fixture) {
    let grant = grant_of(fixture, "component");
    let timeline = fixture.broker.timeline(grant["id"].as_str().unwrap());
    let asked = &timeline["events"][0]["data"];
    for (fact, value) in [
        ("signed.repository", "octo/my-app"),
        ("signed.run", "142"),
        ("signed.actor", "octocat"),
        ("claimed.repository", "octo/my-app"),
        ("claimed.job", "component"),
        ("ttl", "10m"),
        ("reason", "ship: it's # now"),
    ] {
        assert_eq!(asked[fact], json!(value), "{fact}: {asked}");
    }
}

/// The grant of the job with this name.
#[track_caller]
fn grant_of(fixture: &Fixture, job: &str) -> Value {
    let grants = fixture.broker.given();
    let of_job = |grant: &&Value| grant.pointer("/provenance/claimed/job") == Some(&json!(job));
    grants.iter().find(of_job).unwrap_or_else(|| panic!("no grant of `{job}`: {grants:?}")).clone()
}

#[test]
fn two_jobs_of_one_agent_do_not_revoke_each_others_grant() {
    let fixture = Fixture::start();
    let kept = tempfile::tempdir().unwrap();
    let waits = "echo $CLOUDANIX_GRANT_ID >$KEPT/$CI_JOB_NAME; until test -e $KEPT/go-$CI_JOB_NAME; do sleep 0.02; done";
    let pipeline = r#"
stages: [deploy]
include: [{ local: cloudanix-jit.gitlab-ci.yml }]
first:
  extends: .cloudanix-elevate-script
  stage: deploy
  variables: { CLOUDANIX_POLICY: orders-read }
  script: ["WAITS"]
second:
  extends: .cloudanix-elevate
  stage: deploy
  variables: { CLOUDANIX_POLICY: orders-read }
  script: ["cloudanix_run sh -c 'WAITS'"]
"#;
    let pipeline = pipeline.replace("WAITS", waits).replace("$KEPT", &kept.path().display().to_string());
    let project = Project::with(Some(&pipeline));
    let running = project.start(&fixture, &fixture.agent, &fixture.oidc_token());
    let grant = |job: &str| {
        let line = fs::read_to_string(kept.path().join(job)).ok()?;
        line.strip_suffix('\n').map(str::to_owned)
    };
    let second = eventually_within(PATIENCE, "both jobs at work", || grant("first").and(grant("second")));
    assert_eq!(fixture.broker.live().len(), 2);
    fs::write(kept.path().join("go-first"), "").unwrap();
    eventually("the end of the first grant", || (fixture.broker.live().len() == 1).then_some(()));
    assert_eq!(fixture.broker.live()[0]["id"], json!(second), "the other job's grant stays live");
    fs::write(kept.path().join("go-second"), "").unwrap();
    let finished = running.finish();
    assert_eq!(finished.code, Some(0), "{}", finished.text);
    assert!(fixture.broker.live().is_empty());
    assert_eq!(grant_of(&fixture, "second")["end_reason"], "step finished · exit 0");
}
