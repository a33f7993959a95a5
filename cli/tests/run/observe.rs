//! `run --observe`: the command runs as without the client, whatever the broker does, and no grant is requested.

use std::fs;
use std::process::Command;

use protocol::ErrorCode;
use protocol::rules::Outcome;
use serde_json::json;

use crate::fake_broker::{Call, FakeBroker, Fault, OBSERVATION, Received};
use crate::harness::{DEAF, Finished, Wrapper, auth_token, eventually, files_in};

/// Runs until the test creates the file `go`.
const UNTIL_GO: &str = "echo $$ > pid; until test -e go; do sleep 0.01; done; exit 3";

/// Sends a datagram as an SDK does; for `bash`.
const SEND: &str = r#"send() { printf '{"Version":1,"ClientId":"%s","Type":"ApiCall","Service":"%s","Api":"%s","FinalHttpStatusCode":200}' "$AWS_CSM_CLIENT_ID" "$@" >/dev/udp/$AWS_CSM_HOST/$AWS_CSM_PORT; }; "#;

fn observe(broker: &FakeBroker, command: &[&str]) -> Wrapper {
    Wrapper::new(broker, &[&["--observe", "--"], command].concat())
}

fn with_calls(broker: &FakeBroker, step: &str) -> Finished {
    observe(broker, &["bash", "-c", &format!("{SEND}{step}")]).finish()
}

/// The end of every observed run: no grant, nothing left behind, and no secret in the output.
#[track_caller]
fn assert_only_observed(broker: &FakeBroker, finished: &Finished) {
    assert!(broker.books().grants.is_empty());
    let observed = |seen: &Received| matches!(seen, Received::Observe { .. } | Received::ObservedActions);
    assert!(broker.books().seen.iter().all(observed), "{:?}", broker.books().seen);
    let token = auth_token().secret().reveal().to_owned();
    assert!(!finished.stdout.contains(&token) && !finished.stderr.contains(&token), "{}", finished.stderr);
    let left = files_in(finished.folder.path());
    assert!(left.iter().all(|file| !file.starts_with("cloudanix-jit-")), "a handle: {left:?}");
}

/// One warning, and nothing that looks like a failure.
#[track_caller]
fn assert_warned_once(finished: &Finished, why: &str) {
    let lines: Vec<&str> = finished.stderr.lines().collect();
    assert!(
        matches!(lines[..], [line] if line.starts_with("! observe  not recorded: ") && line.contains(why)),
        "{why} in {}",
        finished.stderr
    );
}

#[test]
fn the_decision_and_the_calls_are_recorded_and_no_grant_is_requested() {
    let broker = FakeBroker::start();
    let finished =
        with_calls(&broker, "send ECS UpdateService; for n in 1 2 3; do send S3 PutObject; done; exit 3");
    finished.assert_code(3);
    let requested =
        Received::Observe { policies: vec!["orders-read".parse().unwrap()], ttl: "15m".parse().unwrap() };
    assert_eq!(broker.books().seen, [requested, Received::ObservedActions]);
    assert_eq!(broker.books().actions(), ["ecs:UpdateService · 200", "s3:PutObject · 200 ×3"]);
    assert_eq!(finished.stderr, format!("→ observe  would be granted · {OBSERVATION}\n"));
    assert_only_observed(&broker, &finished);
}

#[test]
fn a_decision_against_the_step_changes_nothing_for_it() {
    for (outcome, said) in [
        (Outcome::Deny, "would be denied"),
        (Outcome::NeedsApproval, "would need an approval"),
        (Outcome::Error, "would be denied, because a rule could not be evaluated"),
    ] {
        let broker = FakeBroker::start();
        broker.observes(outcome);
        let finished = observe(&broker, &["sh", "-c", "echo done; exit 3"]).finish();
        finished.assert_code(3);
        assert_eq!(finished.stdout, "done\n");
        let expected = format!(
            "→ observe  {said} · outside \\u{{1b}}[2J office hours · {OBSERVATION}\n  hint: deploy between 8 and 18\n"
        );
        assert_eq!(finished.stderr, expected);
        assert_only_observed(&broker, &finished);
    }
}

#[test]
fn every_kind_of_call_is_recorded_and_a_flood_is_bounded() {
    let broker = FakeBroker::start();
    let flood = r#"exec 3>/dev/udp/$AWS_CSM_HOST/$AWS_CSM_PORT
        for ((n = 0; n < 150; n++)); do printf '{"ClientId":"%s","Type":"ApiCall","Service":"S3","Api":"Call%d"}' $AWS_CSM_CLIENT_ID $n >&3; done"#;
    with_calls(&broker, flood).assert_code(0);
    let reports = broker.books().seen.iter().filter(|seen| **seen == Received::ObservedActions).count();
    assert_eq!(reports, 2);
    assert_eq!(broker.books().actions().len(), 150);

    let broker = FakeBroker::start();
    with_calls(&broker, &flood.replace("150", "20000")).assert_code(0);
    let rows = broker.books().actions();
    assert!((2..=300).contains(&rows.len()), "{}", rows.len());
    assert!(rows.iter().any(|row| row.starts_with("other ×")), "{rows:?}");
}

#[test]
fn the_command_does_not_wait_for_the_broker() {
    let broker = FakeBroker::start();
    broker.plan(Call::Observe, &[Fault::Stall; 20]);
    let running = observe(&broker, &["sh", "-c", UNTIL_GO]).start();
    running.pid_in("pid");
    broker.wait("the request", |books| matches!(books.seen[..], [Received::Observe { .. }, ..]));
    fs::write(running.folder.path().join("go"), "").unwrap();
    // The broker never answers.
    let finished = running.finish();
    finished.assert_code(3);
    assert_warned_once(&finished, "no answer in time");
    assert_only_observed(&broker, &finished);
}

#[test]
fn the_command_does_not_wait_for_a_token() {
    let broker = FakeBroker::start();
    let mut wrapper = observe(&broker, &["sh", "-c", UNTIL_GO]).env("CLOUDANIX_AUTH_TOKEN_FILE", "token");
    wrapper.command.env_remove("CLOUDANIX_AUTH_TOKEN");
    let token = wrapper.folder.path().join("token");
    assert!(Command::new("mkfifo").arg(&token).status().unwrap().success());
    let running = wrapper.start();
    running.pid_in("pid");
    assert_eq!(broker.books().seen, []);
    fs::write(&token, auth_token().secret().reveal()).unwrap();
    broker.wait("the request", |books| !books.seen.is_empty());
    fs::write(running.folder.path().join("go"), "").unwrap();
    let finished = running.finish();
    finished.assert_code(3);
    assert_only_observed(&broker, &finished);
}

#[test]
fn a_token_file_is_consumed_before_the_command_starts() {
    let broker = FakeBroker::start();
    let look = "test ! -e token && test -z \"${CLOUDANIX_AUTH_TOKEN_FILE+set}\"";
    let mut wrapper = observe(&broker, &["sh", "-c", look]).env("CLOUDANIX_AUTH_TOKEN_FILE", "token");
    wrapper.command.env_remove("CLOUDANIX_AUTH_TOKEN");
    fs::write(wrapper.folder.path().join("token"), auth_token().secret().reveal()).unwrap();
    let finished = wrapper.finish();
    finished.assert_code(0);
    assert!(finished.stderr.contains("would be granted"), "{}", finished.stderr);
}

#[test]
fn a_broker_that_is_down_or_refuses_is_one_warning() {
    let broker = FakeBroker::start();
    broker.set_down(true);
    let finished = observe(&broker, &["sh", "-c", "echo done; exit 3"]).finish();
    finished.assert_code(3);
    assert_eq!(finished.stdout, "done\n");
    assert_warned_once(&finished, "");

    let codes = [
        ErrorCode::AuthTokenInvalid,
        ErrorCode::OidcTokenMissing,
        ErrorCode::AgentDisabled,
        ErrorCode::RateLimited,
        ErrorCode::InvalidRequest,
        ErrorCode::RouteNotFound,
        ErrorCode::Internal,
    ];
    for code in codes {
        let broker = FakeBroker::start();
        broker.plan(Call::Observe, &[Fault::Refuse(code); 20]);
        let finished = observe(&broker, &["sh", "-c", "exit 3"]).finish();
        finished.assert_code(3);
        let transient = matches!(code, ErrorCode::RateLimited | ErrorCode::Internal);
        assert_warned_once(&finished, if transient { "HTTP " } else { "as planned by the test" });
        assert_only_observed(&broker, &finished);
    }
}

#[test]
fn a_broker_that_comes_back_while_the_command_runs_records_it() {
    let broker = FakeBroker::start();
    broker.plan(Call::Observe, &[Fault::Break, Fault::Break, Fault::Refuse(ErrorCode::Internal)]);
    let running = observe(&broker, &["sh", "-c", UNTIL_GO]).start();
    broker.wait("the attempts", |books| books.seen.len() == 2);
    fs::write(running.folder.path().join("go"), "").unwrap();
    let finished = running.finish();
    finished.assert_code(3);
    assert!(finished.stderr.contains("would be granted"), "{}", finished.stderr);
}

#[test]
fn an_answer_that_is_on_its_way_when_the_command_ends_is_awaited() {
    let broker = FakeBroker::start();
    broker.plan(Call::Observe, &[Fault::Refuse(ErrorCode::Internal), Fault::Stall]);
    let running = observe(&broker, &["sh", "-c", UNTIL_GO]).start();
    broker.wait("the attempts", |books| books.seen.len() == 2);
    fs::write(running.folder.path().join("go"), "").unwrap();
    let finished = running.finish();
    finished.assert_code(3);
    assert_warned_once(&finished, "no answer in time");
}

#[test]
fn a_wrong_set_up_is_one_warning_and_sends_nothing() {
    for (name, value, why) in [
        ("CLOUDANIX_URL", "", "`CLOUDANIX_URL` is not set"),
        ("CLOUDANIX_URL", "http://jit.example.com", "expected https"),
        ("CLOUDANIX_AUTH_TOKEN", "", "`CLOUDANIX_AUTH_TOKEN` is not set"),
        ("CLOUDANIX_AUTH_TOKEN", "cjat_nonsense", "`CLOUDANIX_AUTH_TOKEN`: "),
        ("CLOUDANIX_AUTH_TOKEN_FILE", "/no/such/file", "`CLOUDANIX_AUTH_TOKEN_FILE`"),
        ("CLOUDANIX_AGENT_ID", "", "`CLOUDANIX_AGENT_ID` is not set"),
        ("CLOUDANIX_PLATFORM", "mainframe", "mainframe"),
        ("CLOUDANIX_CA_FILE", "/no/such/file", "/no/such/file"),
    ] {
        let broker = FakeBroker::start();
        let finished = observe(&broker, &["sh", "-c", "exit 3"]).env(name, value).finish();
        finished.assert_code(3);
        assert_warned_once(&finished, why);
        assert_eq!(broker.books().seen, []);
        assert_only_observed(&broker, &finished);
    }
}

#[test]
fn calls_that_cannot_be_recorded_are_a_warning() {
    for (faults, why) in [
        ([Fault::Stall; 20], "no answer in time"),
        ([Fault::Break; 20], ""),
        ([Fault::Refuse(ErrorCode::ObservationNotFound); 20], "as planned by the test"),
    ] {
        let broker = FakeBroker::start();
        broker.plan(Call::ObservedActions, &faults);
        let finished = with_calls(&broker, "send S3 PutObject; exit 3");
        finished.assert_code(3);
        let warning = "! observe  the command's calls are not recorded: ";
        let warned = finished.stderr.lines().filter(|line| line.starts_with("! "));
        let warned: Vec<&str> = warned.collect();
        assert!(
            matches!(warned[..], [line] if line.starts_with(warning) && line.contains(why)),
            "{}",
            finished.stderr
        );
    }
}

#[test]
fn the_environment_is_the_commands_own_but_for_the_call_log_and_the_brokers_tokens() {
    let broker = FakeBroker::start();
    let own = [
        ("AWS_ACCESS_KEY_ID", "AKIAOWN"),
        ("AWS_SECRET_ACCESS_KEY", "own"),
        ("AWS_PROFILE", "own"),
        ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "platform's"),
        ("SYSTEM_ACCESSTOKEN", "platform's"),
    ];
    let environment = |arguments: &[&str]| -> Vec<String> {
        let mut wrapper = Wrapper::new(&broker, &[&["--observe"], arguments, &["--", "env"]].concat());
        for (name, value) in own {
            wrapper = wrapper.env(name, value);
        }
        let finished = wrapper.finish();
        finished.assert_code(0);
        let mut lines: Vec<String> = finished.stdout.lines().map(str::to_owned).collect();
        // Each run has a folder of its own.
        lines.retain(|line| !line.starts_with("PATH=") && !line.starts_with("TMPDIR="));
        lines.sort();
        lines
    };
    let without_log = environment(&["--no-live-actions"]);
    let mut expected: Vec<String> = own.iter().map(|(name, value)| format!("{name}={value}")).collect();
    expected.extend([
        format!("CLOUDANIX_URL={}", broker.url),
        "CLOUDANIX_AGENT_ID=test-agent".to_owned(),
        "CLOUDANIX_PLATFORM=none".to_owned(),
    ]);
    expected.sort();
    assert_eq!(without_log, expected);
    let with_log = environment(&[]);
    let added: Vec<&String> = with_log.iter().filter(|line| !without_log.contains(line)).collect();
    assert!(added.len() == 4 && added.iter().all(|line| line.starts_with("AWS_CSM_")), "{added:?}");
}

#[test]
fn another_listener_keeps_the_calls() {
    let broker = FakeBroker::start();
    let wrapper = observe(&broker, &["sh", "-c", "env | grep ^AWS_CSM_"]);
    let finished = wrapper.env("AWS_CSM_HOST", "10.0.0.1").finish();
    finished.assert_code(0);
    assert_eq!(finished.stdout, "AWS_CSM_HOST=10.0.0.1\n");
}

#[test]
fn signals_reach_the_command_and_its_end_is_the_exit_code() {
    let broker = FakeBroker::start();
    let running = observe(&broker, &["sh", "-c", DEAF]).start();
    running.pid_in("pid");
    running.signal("TERM");
    running.signal("HUP");
    let heard = running.folder.path().join("heard");
    eventually("both signals", || {
        let heard = fs::read_to_string(&heard).unwrap_or_default();
        (heard.contains("TERM\n") && heard.contains("HUP\n")).then_some(())
    });
    fs::write(running.folder.path().join("go"), "").unwrap();
    let finished = running.finish();
    finished.assert_code(4);
    assert_only_observed(&broker, &finished);

    let running = observe(&broker, &["sh", "-c", "echo $$ > pid; exec sleep 1000"]).start();
    running.pid_in("pid");
    running.signal("TERM");
    running.finish().assert_code(143);
}

#[test]
fn a_command_that_cannot_be_started_is_not_observed() {
    let broker = FakeBroker::start();
    let finished = observe(&broker, &["no-such-command"]).finish();
    finished.assert_code(127);
    assert!(
        finished.stderr.contains("✗ run      `no-such-command` cannot be started"),
        "{}",
        finished.stderr
    );
    assert_eq!(broker.books().seen, []);
}

#[test]
fn the_state_file_has_the_outcome_and_nothing_to_revoke() {
    let broker = FakeBroker::start();
    for (command, code) in [(&["sh", "-c", "exit 3"][..], 3), (&["no-such-command"], 127)] {
        let arguments = [&["--observe", "--state", "state", "--"], command].concat();
        let finished = Wrapper::new(&broker, &arguments).finish();
        finished.assert_code(code);
        let state = fs::read_to_string(finished.folder.path().join("state")).unwrap();
        let state: serde_json::Value = serde_json::from_str(&state).unwrap();
        assert_eq!((&state["end"]["exit_code"], &state["end"]["revoked"]), (&json!(code), &json!(true)));
        assert_eq!(state.get("idempotency_key"), None);
        assert_eq!(state["end"].get("problem").is_some(), code == 127);
    }
}

#[test]
fn without_a_ttl_a_quarter_of_an_hour_is_requested() {
    let broker = FakeBroker::start();
    let mut command = Command::new(env!("CARGO_BIN_EXE_cloudanix-jit"));
    command.args(["run", "--observe", "--policy", "orders-read", "--", "true"]);
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap()).env("CLOUDANIX_URL", &broker.url);
    command.env("CLOUDANIX_AGENT_ID", "test-agent").env("CLOUDANIX_PLATFORM", "none");
    command.env("CLOUDANIX_AUTH_TOKEN", auth_token().secret().reveal());
    assert!(command.status().unwrap().success());
    let ttl = "15m".parse().unwrap();
    assert_eq!(
        broker.books().seen,
        [Received::Observe { policies: vec!["orders-read".parse().unwrap()], ttl }]
    );
}
