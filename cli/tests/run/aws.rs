//! The environment of a step with an AWS grant, and its redaction.

use crate::fake_broker::{AWS_SECRETS, FakeBroker, Issues, Session};
use crate::harness::{Finished, Wrapper};

/// The step's environment, by way of a step that prints it.
fn environment(broker: &FakeBroker, arguments: &[&str], env: &[(&str, &str)]) -> Finished {
    let mut all = arguments.to_vec();
    all.extend(["--redact", "never", "--", "env"]);
    let mut wrapper = Wrapper::new(broker, &all);
    for (name, value) in env {
        wrapper = wrapper.env(name, value);
    }
    let finished = wrapper.finish();
    finished.assert_code(0);
    finished
}

fn value<'a>(finished: &'a Finished, name: &str) -> Option<&'a str> {
    finished.stdout.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='))
}

const STANDING: &[(&str, &str)] = &[
    ("AWS_PROFILE", "standing"),
    ("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/Standing"),
    ("AWS_WEB_IDENTITY_TOKEN_FILE", "/var/run/token"),
    ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/standing"),
    ("AWS_SECURITY_TOKEN", "standing"),
    ("AWS_ACCESS_KEY_ID", "AKIASTANDING"),
    ("AWS_CREDENTIAL_EXPIRATION", "2026-01-01T00:00:00Z"),
];

#[test]
fn the_step_has_the_sessions_keys_and_no_conflicting_variables() {
    let broker = FakeBroker::start();
    broker.issues(Issues::Aws(Session::lasting(900)));
    let step = environment(&broker, &[], STANDING);
    assert_eq!(value(&step, "AWS_ACCESS_KEY_ID"), Some("ASIAFAKE1"));
    assert_eq!(value(&step, "AWS_SECRET_ACCESS_KEY"), Some(AWS_SECRETS[0].0));
    assert_eq!(value(&step, "AWS_SESSION_TOKEN"), Some(AWS_SECRETS[0].1));
    assert_eq!(value(&step, "AWS_REGION"), Some("eu-west-1"));
    assert_eq!(value(&step, "AWS_DEFAULT_REGION"), Some("eu-west-1"));
    assert_eq!(value(&step, "AWS_EC2_METADATA_DISABLED"), Some("true"));
    for (name, _) in STANDING.iter().filter(|(name, _)| *name != "AWS_ACCESS_KEY_ID") {
        assert_eq!(value(&step, name), None, "{name}");
    }
    let own = environment(&broker, &[], &[("AWS_DEFAULT_REGION", "us-east-1")]);
    assert_eq!((value(&own, "AWS_REGION"), value(&own, "AWS_DEFAULT_REGION")), (None, Some("us-east-1")));
}

#[test]
fn a_workload_with_its_own_keys_keeps_its_environment() {
    let broker = FakeBroker::start();
    broker.issues(Issues::Held);
    let step = environment(&broker, &[], STANDING);
    for (name, standing) in STANDING {
        assert_eq!(value(&step, name), Some(*standing), "{name}");
    }
    assert_eq!(value(&step, "AWS_EC2_METADATA_DISABLED"), None);
    assert_eq!(value(&step, "AWS_CSM_ENABLED"), Some("true"), "what it does is of interest all the same");
}

#[test]
fn the_sessions_secrets_are_redacted() {
    let broker = FakeBroker::start();
    broker.issues(Issues::Aws(Session::lasting(900)));
    for way in ["env", "endpoint"] {
        let step = "env; env >&2; env | base64 -w0; echo $AWS_SESSION_TOKEN | tr -d '\\n' | base64 -w0";
        let finished = Wrapper::new(&broker, &["--aws-credentials", way, "--", "sh", "-c", step]).finish();
        finished.assert_code(0);
        finished.assert_holds_no_secret();
        assert!(finished.stdout.contains("***"), "{way}");
    }
}

#[test]
fn the_sessions_secrets_are_masked_where_the_platform_masks() {
    let broker = FakeBroker::start();
    broker.issues(Issues::Aws(Session::lasting(900)));
    let wrapper = Wrapper::new(&broker, &["--", "sh", "-c", "echo started >&2"]);
    let finished = wrapper.env("GITHUB_ACTIONS", "true").finish();
    let started = finished.stderr.find("started").unwrap();
    for secret in [AWS_SECRETS[0].0, AWS_SECRETS[0].1] {
        let mask = finished.stderr.find(&format!("::add-mask::{secret}\n")).unwrap();
        assert!(mask < started, "{}", finished.stderr);
    }
}

#[test]
fn an_endpoint_without_an_aws_session_is_refused_and_revoked() {
    let broker = FakeBroker::start();
    let finished =
        Wrapper::new(&broker, &["--aws-credentials", "endpoint", "--", "touch", "started"]).finish();
    finished.assert_code(125);
    assert!(finished.stderr.contains("found one for `token` that gives none"), "{}", finished.stderr);
    assert_eq!(broker.books().outcome(), (0, vec!["not-started"]));
}
