//! AWS steps work under `run` with the AWS CLI, boto3 and JavaScript, and only the step can use the keys.
//!
//! Terraform has its own test in `terraform.rs`, which runs where Terraform is installed.

use std::fs;
use std::time::Duration;

use serde_json::Value;
use system_tests::aws::calls::Keys;
use system_tests::aws::cli::AwsCli;
use system_tests::aws::fixture::{AwsFixture, Mode, Setting};
use system_tests::aws::ministack::Ministack;
use system_tests::aws::steps::{Sdk, calls};
use system_tests::client::Client;
use system_tests::fixture::Agent;
use system_tests::waiting::eventually;

use crate::aws::SHARED;

const WANTED: [&str; 2] = ["ecs", "list-clusters"];
const RUN: [&str; 5] = ["run", "--policy", "ecs-read", "--ttl", "15m"];

fn client<'a>(
    fixture: &AwsFixture<'_>,
    agent: &Agent,
    keys: &Keys,
    options: &[&'a str],
    step: &'a [String],
) -> Client {
    let step = step.iter().map(String::as_str);
    let line: Vec<&str> = options.iter().copied().chain(["--"]).chain(step).collect();
    fixture.client(agent, keys, &line).env("AWS_REGION", "us-east-1")
}

/// The runner's keys: those that get permission, or keys that never do.
fn held(fixture: &AwsFixture<'_>, mode: Mode) -> Keys {
    match mode {
        Mode::StaticInline | Mode::StaticAttached => fixture.deploy_session(),
        Mode::UserInline | Mode::UserAttached => fixture.account.access_key("deployer"),
        Mode::Session | Mode::Role | Mode::Pod => fixture.pipeline.clone(),
    }
}

/// The commands of the step with the keys that it received itself.
const KEPT: &str = "aws ecs list-clusters && \
                    printf '%s\\n' $AWS_ACCESS_KEY_ID $AWS_SECRET_ACCESS_KEY $AWS_SESSION_TOKEN > kept";

fn the_aws_cli(mode: Mode) {
    let fixture = AwsFixture::start(&SHARED);
    let (agent, held) = (fixture.agent(mode), held(&fixture, mode));
    assert!(fixture.cli.run(&held, &WANTED).is_refused(), "before");
    let aws = AwsCli::path();
    let alone = [aws.as_str(), "ecs", "list-clusters"].map(str::to_owned);
    let finished = client(&fixture, &agent, &held, &RUN, &alone).finish();
    finished.assert_code(0);
    assert_eq!(finished.json()["clusterArns"], serde_json::json!([]), "{}", finished.stdout);
    assert!(finished.stderr.contains("revoke   step finished · exit 0"), "{}", finished.stderr);
    assert!(fixture.cli.run(&held, &WANTED).is_refused(), "after");
    assert!(finished.left_behind().is_empty(), "{:?}", finished.left_behind());

    let keeping = ["sh".to_owned(), "-c".to_owned(), KEPT.replace("aws ", &format!("{aws} "))];
    let finished = client(&fixture, &agent, &held, &RUN, &keeping).finish();
    finished.assert_code(0);
    let kept = fs::read_to_string(finished.folder.path().join("kept")).unwrap_or_default();
    let mut kept = kept.lines().map(str::to_owned);
    let (id, secret) = (kept.next().unwrap_or_default(), kept.next().unwrap_or_default());
    let kept = Keys { id, secret, token: kept.next().filter(|token| !token.is_empty()) };
    let is_new = matches!(mode, Mode::Session | Mode::Role);
    assert_eq!(kept != held, is_new, "{kept:?}");
    assert!(fixture.cli.run(&kept, &WANTED).is_refused(), "the step's keys have no access after the grant");

    let other = [aws.as_str(), "s3api", "list-buckets"].map(str::to_owned);
    let refused = client(&fixture, &agent, &held, &RUN, &other).finish();
    assert_ne!(refused.status.code(), Some(0), "another policy is refused throughout: {}", refused.stdout);
    assert!(refused.stderr.contains("AccessDenied"), "{}", refused.stderr);
    fixture.broker.wait_until_nothing_is_live();
}

#[test]
fn a_role_of_the_runner_may_during_the_step() {
    the_aws_cli(Mode::StaticInline);
}

#[test]
fn a_user_of_the_runner_may_during_the_step() {
    the_aws_cli(Mode::UserInline);
}

#[test]
fn the_step_gets_a_session_of_a_role() {
    the_aws_cli(Mode::Session);
}

#[test]
fn the_step_gets_a_session_of_a_role_of_its_own() {
    the_aws_cli(Mode::Role);
}

#[test]
fn sdks_find_the_keys_in_either_way() {
    let fixture = AwsFixture::start(&SHARED);
    let agent = fixture.agent(Mode::Session);
    for sdk in Sdk::ALL {
        for way in ["env", "endpoint"] {
            let options = [&RUN[..], &["--aws-credentials", way]].concat();
            let step = sdk.step("clusters tell done");
            let finished = client(&fixture, &agent, &fixture.pipeline, &options, &step).finish();
            finished.assert_code(0);
            let done = fs::read_to_string(finished.folder.path().join("done")).unwrap_or_default();
            let done = calls(&done);
            assert_eq!(done.len(), 1, "{sdk:?} {way}: {}{}", finished.stdout, finished.stderr);
            assert_eq!(done[0].1, "allowed", "{sdk:?} {way}: {}", finished.stderr);
            assert_ne!(done[0].0, fixture.pipeline.id, "{sdk:?} {way}: not the runner's own");
        }
    }
    fixture.broker.wait_until_nothing_is_live();
}

/// A session lasts at most an hour; the grant lasts two.
fn a_step_outlives_its_session(sdk: Sdk) {
    let emulator = Ministack::with_faketime();
    let launcher = emulator.clock().launcher();
    // Heartbeats use real timers, which the movable clock does not affect.
    let limits = "heartbeat = \"2h\"";
    let fixture =
        AwsFixture::with(&emulator, &Setting { launcher, limits, ..Setting::in_front_of(&emulator.url()) });
    let agent = fixture.agent(Mode::Session);
    let options = ["run", "--policy", "ecs-read", "--ttl", "2h"];
    let step = sdk.step("clusters tell first wait go clusters tell second wait on clusters tell third");
    let mut running = client(&fixture, &agent, &fixture.pipeline, &options, &step).start();
    running.line_in("first");
    emulator.clock().advance(Duration::from_secs(57 * 60));
    running.touch("go");
    running.line_in("second");
    emulator.clock().advance(Duration::from_secs(57 * 60));
    running.touch("on");
    running.line_in("third");
    let finished = running.finish();
    finished.assert_code(0);
    let done = calls(&fs::read_to_string(finished.folder.path().join("third")).unwrap_or_default());
    let outcomes: Vec<&str> = done.iter().map(|(_, outcome)| outcome.as_str()).collect();
    assert_eq!(outcomes, ["allowed"; 3], "{}{}", finished.stdout, finished.stderr);
    // The JavaScript SDK uses the old keys once more while it refreshes them.
    assert_ne!(done[0].0, done[2].0, "the first session is over: {done:?}");
    fixture.broker.wait_until_nothing_is_live();
}

#[test]
fn a_python_step_outlives_its_session() {
    a_step_outlives_its_session(Sdk::Python);
}

#[test]
fn a_javascript_step_outlives_its_session() {
    a_step_outlives_its_session(Sdk::JavaScript);
}

fn only_grant(fixture: &AwsFixture<'_>) -> String {
    let grants = fixture.broker.grants("all");
    assert_eq!(grants.len(), 1, "{grants:?}");
    grants[0]["id"].as_str().unwrap_or_default().to_owned()
}

/// The texts of the timeline's action events, with the counts of equal calls added up.
fn actions(timeline: &Value) -> Vec<(String, u64)> {
    let mut found: Vec<(String, u64)> = Vec::new();
    let rows = timeline["events"].as_array().into_iter().flatten();
    for text in rows.filter(|row| row["kind"] == "action").filter_map(|row| row["text"].as_str()) {
        let (call, count) = text.split_once(" ×").unwrap_or((text, "1"));
        let count: u64 = count.parse().unwrap_or_default();
        match found.iter_mut().find(|(known, _)| known == call) {
            Some((_, sum)) => *sum += count,
            None => found.push((call.to_owned(), count)),
        }
    }
    found
}

#[test]
fn aws_calls_of_a_step_appear_on_the_timeline_while_it_runs() {
    let fixture = AwsFixture::start(&SHARED);
    let agent = fixture.agent(Mode::Session);
    let step = Sdk::Python.step("clusters buckets buckets buckets tell up wait go clusters");
    let mut running = client(&fixture, &agent, &fixture.pipeline, &RUN, &step).start();
    running.line_in("up");
    let id = only_grant(&fixture);
    let expected =
        [("ecs:ListClusters · 200".to_owned(), 1), ("s3:ListBuckets · 403 AccessDenied".to_owned(), 3)];
    eventually("the calls on the timeline", || {
        (actions(&fixture.broker.timeline(&id)) == expected).then_some(())
    });
    assert_eq!(fixture.broker.live().len(), 1, "the step still runs");
    running.touch("go");
    let finished = running.finish();
    finished.assert_code(0);
    assert!(finished.stderr.contains("→ action   ecs:ListClusters · 200"), "{}", finished.stderr);
    let timeline = fixture.broker.timeline(&id);
    assert_eq!(actions(&timeline)[0].1, 2, "the timeline lacks the last call: {timeline}");
    let path = format!("/v2/agentic/jit/{id}/timeline");
    let text = fixture.broker.request(reqwest::Method::GET, &path).header("accept", "text/plain");
    let text = system_tests::http::send(text.bearer_auth(fixture.broker.operator_token())).expect(200).text;
    assert!(text.contains("ecs:ListClusters · 200 (client says)"), "{text}");
    let keys = calls(&finished.stdout);
    assert!(
        !text.contains(&keys[0].0) && !timeline.to_string().contains(&keys[0].0),
        "the timeline contains a key: {text}"
    );
}

#[test]
fn the_aws_clis_calls_are_on_the_timeline_when_it_has_ended() {
    let fixture = AwsFixture::start(&SHARED);
    let agent = fixture.agent(Mode::StaticInline);
    let step = [AwsCli::path().as_str(), "ecs", "list-clusters"].map(str::to_owned);
    client(&fixture, &agent, &fixture.deploy_session(), &RUN, &step).finish().assert_code(0);
    let timeline = fixture.broker.timeline(&only_grant(&fixture));
    assert_eq!(actions(&timeline), [("ecs:ListClusters · 200".to_owned(), 1)], "{timeline}");
}

#[test]
fn a_step_whose_sdk_tells_nothing_loses_nothing() {
    let fixture = AwsFixture::start(&SHARED);
    let agent = fixture.agent(Mode::Session);
    let step = Sdk::JavaScript.step("clusters");
    let finished = client(&fixture, &agent, &fixture.pipeline, &RUN, &step).finish();
    finished.assert_code(0);
    assert_eq!(calls(&finished.stdout)[0].1, "allowed", "{}", finished.stderr);
    assert!(!finished.stderr.contains("action"), "{}", finished.stderr);
    assert!(actions(&fixture.broker.timeline(&only_grant(&fixture))).is_empty());
}
