//! The log of a step's AWS calls: printed, reported, and without effect on the step.

use protocol::ErrorCode;

use crate::fake_broker::{AWS_SECRETS, Call, FakeBroker, Fault, Issues, Received, Session};
use crate::harness::{Finished, Wrapper};

/// Sends a datagram as an SDK does; for `bash`.
const SEND: &str = r#"send() { printf '{"Version":1,"ClientId":"%s","Type":"%s","Service":"%s","Api":"%s"%s}' "$AWS_CSM_CLIENT_ID" "$@" >/dev/udp/$AWS_CSM_HOST/$AWS_CSM_PORT; }; "#;

fn run(broker: &FakeBroker, arguments: &[&str], step: &str) -> Finished {
    let step = format!("{SEND}{step}");
    let mut all = arguments.to_vec();
    all.extend(["--", "bash", "-c", &step]);
    Wrapper::new(broker, &all).finish()
}

fn in_aws() -> FakeBroker {
    let broker = FakeBroker::start();
    broker.issues(Issues::Aws(Session::lasting(900)));
    broker
}

const CALLS: &str = r#"send ApiCallAttempt ECS UpdateService ',"HttpStatusCode":200,"SessionToken":"'$AWS_SESSION_TOKEN'"'
    send ApiCall ECS UpdateService ',"FinalHttpStatusCode":200'
    for n in 1 2 3; do send ApiCall S3 PutObject ',"FinalHttpStatusCode":200'; done
    send ApiCall 'CloudWatch Logs' PutLogEvents ',"FinalHttpStatusCode":400,"FinalAwsException":"AccessDeniedException"'"#;

const ROWS: [&str; 3] =
    ["ecs:UpdateService · 200", "s3:PutObject · 200 ×3", "logs:PutLogEvents · 400 AccessDeniedException"];

#[test]
fn calls_are_printed_and_reported_and_the_grant_revoked() {
    let broker = in_aws();
    let finished = run(&broker, &[], &format!("{CALLS}; exit 3"));
    finished.assert_code(3);
    for row in ROWS {
        // On a slow machine not all are in the first line.
        let (kind, _) = row.split_once(" ×").unwrap_or((row, ""));
        assert!(finished.stderr.contains(&format!("→ action   {kind}")), "{kind} in {}", finished.stderr);
    }
    let seen = finished.stderr.find("→ action").unwrap();
    assert!(seen < finished.stderr.find("✓ revoke").unwrap(), "{}", finished.stderr);
    assert_eq!(broker.books().actions(), ROWS);
    assert_eq!(broker.books().outcome(), (0, vec!["exit:3"]));
    finished.assert_holds_no_secret();
}

#[test]
fn the_first_call_of_a_kind_is_reported_while_the_step_runs() {
    let broker = in_aws();
    let step = format!(
        "{SEND}send ApiCall ECS ListTasks ',\"FinalHttpStatusCode\":200'; until test -e go; do sleep 0.01; done"
    );
    let running = Wrapper::new(&broker, &["--", "bash", "-c", &step]).start();
    broker.wait("the action", |books| books.actions() == ["ecs:ListTasks · 200"]);
    assert_eq!(broker.books().live(), 1);
    std::fs::write(running.folder.path().join("go"), "").unwrap();
    running.finish().assert_code(0);
    assert_eq!(broker.books().actions(), ["ecs:ListTasks · 200"], "told once");
}

#[test]
fn the_revoke_does_not_wait_for_a_report() {
    for fault in [Fault::Stall, Fault::Break, Fault::Refuse(ErrorCode::Internal)] {
        let broker = in_aws();
        broker.plan(Call::Actions, &[fault; 20]);
        let finished = run(&broker, &[], CALLS);
        finished.assert_code(0);
        assert_eq!(broker.books().outcome(), (0, vec!["exit:0"]), "{fault:?}");
        // Else it would say what the broker did, some seconds later.
        let given_up = "! action   some calls are not on the timeline: no answer in time";
        assert!(finished.stderr.contains(given_up), "{fault:?}: {}", finished.stderr);
    }
}

#[test]
fn a_refused_report_is_the_last_one() {
    let broker = in_aws();
    broker.plan(Call::Actions, &[Fault::Refuse(ErrorCode::InvalidRequest); 20]);
    let finished = run(&broker, &[], CALLS);
    finished.assert_code(0);
    assert!(finished.stderr.contains("not on the timeline: as planned by the test"), "{}", finished.stderr);
    assert_eq!(broker.books().seen.iter().filter(|seen| **seen == Received::Actions).count(), 1);
}

#[test]
fn foreign_and_malformed_datagrams_are_ignored() {
    let broker = in_aws();
    let step = format!(
        "{CALLS}; AWS_CSM_CLIENT_ID=elev-ffffffffffffffff; send ApiCall ECS DeleteCluster; \
         echo nonsense >/dev/udp/$AWS_CSM_HOST/$AWS_CSM_PORT; \
         head -c 20000 /dev/zero >/dev/udp/$AWS_CSM_HOST/$AWS_CSM_PORT"
    );
    run(&broker, &[], &step).assert_code(0);
    assert_eq!(broker.books().actions(), ROWS);
}

#[test]
fn a_flood_is_bounded_on_the_timeline_and_does_not_delay_the_end() {
    let broker = in_aws();
    let flood = r#"exec 3>/dev/udp/$AWS_CSM_HOST/$AWS_CSM_PORT
        for ((n = 0; n < 20000; n++)); do printf '{"ClientId":"%s","Type":"ApiCall","Service":"S3","Api":"Call%d"}' $AWS_CSM_CLIENT_ID $n >&3; done"#;
    let finished = run(&broker, &[], flood);
    finished.assert_code(0);
    let books = broker.books();
    let rows = books.actions();
    assert!((2..=400).contains(&rows.len()), "{}", rows.len());
    assert!(rows.iter().any(|row| row.starts_with("other ×")), "{rows:?}");
    assert_eq!(books.outcome(), (0, vec!["exit:0"]));
}

#[test]
fn calls_are_not_logged_if_switched_off_or_sent_elsewhere() {
    let broker = in_aws();
    let csm = |arguments: &[&str], env: Option<(&str, &str)>| {
        let mut all = arguments.to_vec();
        all.extend(["--", "sh", "-c", "env | grep ^AWS_CSM_ || true"]);
        let wrapper = Wrapper::new(&broker, &all);
        match env {
            Some((name, value)) => wrapper.env(name, value).finish().stdout,
            None => wrapper.finish().stdout,
        }
    };
    assert_eq!(csm(&[], None).lines().count(), 4);
    assert_eq!(csm(&["--no-live-actions"], None), "");
    assert_eq!(csm(&[], Some(("AWS_CSM_HOST", "10.0.0.1"))), "AWS_CSM_HOST=10.0.0.1\n");
    broker.issues(Issues::Token);
    assert_eq!(csm(&[], None), "", "a grant that is not in AWS");
}

#[test]
fn the_sessions_token_in_datagrams_is_not_reported() {
    let broker = in_aws();
    let finished = run(&broker, &["--redact", "never"], CALLS);
    for secret in [AWS_SECRETS[0].0, AWS_SECRETS[0].1] {
        assert!(!finished.stderr.contains(secret) && !broker.books().actions().concat().contains(secret));
    }
}
