//! The AWS CLI has the grant's access inside the block and loses it after the block.

use std::fs;

use system_tests::aws::cli::AwsCli;
use system_tests::aws::fixture::{AwsFixture, Mode};
use system_tests::fixture::{AUDIENCE, Agent};
use system_tests::gate::JENKINS;
use system_tests::leak_scan::LeakScan;
use system_tests::oidc_provider::OidcProvider;

use super::build::{Build, JOB, token_of};
use crate::aws::SHARED;

/// The last step runs after the block with the agent's own access, and stores its output.
const PIPELINE: &str = r#"
cloudanixElevate(policy: 'ecs-read', awsCredentials: 'HOW') {
    sh 'AWS ecs list-clusters > clusters'
    sh '[ ! -s "$AWS_SHARED_CREDENTIALS_FILE" ] || cat "$AWS_SHARED_CREDENTIALS_FILE" > "${WORKSPACE%/*}.kept"'
    sh 'env | grep ^AWS_ | sort > given; echo "$CLOUDANIX_GRANT_ID" > grant'
}
sh 'AWS ecs list-clusters 2> refused || echo refused > after'
"#;

/// Runs a build whose block has a grant in this mode; returns the environment of its steps.
fn a_block_with(mode: Mode, how: &str) -> String {
    let _permit = JENKINS.enter();
    let fixture = AwsFixture::start(&SHARED);
    let provider = OidcProvider::start().unwrap();
    let issuer = provider.issuer();
    let trust = format!(
        "[[trust]]\nissuer = \"{issuer}\"\nplatform = \"jenkins\"\naudience = \"{AUDIENCE}\"\nclaims = {{ sub = \"{JOB}\" }}\n"
    );
    let registration =
        fixture.registration(mode).replace("[dangerous]\nallow_auth_token_only = true\n", &trust);
    let agent = Agent { id: mode.agent().to_owned(), auth_token: fixture.broker.register(&registration) };
    let held = if mode == Mode::StaticInline { fixture.deploy_session() } else { fixture.pipeline.clone() };
    let mut variables = fixture.cli.environment().to_vec();
    variables.extend([
        ("AWS_ACCESS_KEY_ID", held.id.clone()),
        ("AWS_SECRET_ACCESS_KEY", held.secret.clone()),
        ("JENKINS_URL", "https://ci.example/".to_owned()),
        ("BUILD_TAG", "jenkins-team-my-app-main-142".to_owned()),
    ]);
    variables.extend(held.token.clone().map(|token| ("AWS_SESSION_TOKEN", token)));
    let pipeline = PIPELINE.replace("HOW", how).replace("AWS ecs", &format!("{} ecs", AwsCli::path()));
    let mut build = Build::start(&fixture.broker, &agent, token_of(&provider, 142), variables, &pipeline);
    assert_eq!(build.result(), "SUCCESS null", "{}", build.log());
    let clusters = fs::read_to_string(build.path("workspace/clusters")).unwrap();
    assert!(clusters.contains("clusterArns"), "{clusters}");
    assert_eq!(build.line_in("after"), "refused");
    fixture.broker.wait_until_nothing_is_live();
    let timeline = fixture.broker.timeline(&build.line_in("grant")).to_string();
    assert!(timeline.contains("ListClusters"), "the block's calls are on it: {timeline}");

    let mut scan = LeakScan::default();
    scan.secret("auth token", &agent.auth_token);
    let kept = build.path("").with_extension("kept");
    if let Ok(text) = fs::read_to_string(&kept) {
        fs::remove_file(&kept).unwrap();
        for line in text.lines().filter(|line| line.contains("secret_access_key") || line.contains("token")) {
            scan.secret("a key of the session", line.rsplit(" = ").next().unwrap());
        }
    }
    scan.folder("build", build.path("").as_path());
    assert_eq!(scan.finds(), Vec::<String>::new());
    fs::read_to_string(build.path("workspace/given")).unwrap()
}

#[test]
fn a_role_that_the_agent_is_already_may_during_the_block() {
    let given = a_block_with(Mode::StaticInline, "auto");
    assert!(given.contains("AWS_ACCESS_KEY_ID=") && !given.contains("cloudanix-jit-"), "{given}");
}

#[test]
fn a_session_is_in_a_file() {
    let given = a_block_with(Mode::Session, "auto");
    assert!(given.contains("/aws-credentials\n") && !given.contains("ACCESS_KEY"), "{given}");
}

#[test]
fn a_session_is_at_an_endpoint() {
    let given = a_block_with(Mode::Session, "endpoint");
    assert!(given.contains("/aws-endpoint-token\n") && !given.contains("ACCESS_KEY"), "{given}");
}
