//! `elevate` retries transient faults, stops at refusals, and leaves no grant behind after a failure.

use std::fs;
use std::time::Instant;

use predicates::prelude::PredicateBooleanExt as _;
use predicates::str::{contains, ends_with};
use protocol::{Credentials, ErrorCode, Grant, GrantStatus, Secret};

use crate::program::{GRANT_TOKEN, Printed as _, Program, auth_token, grant, grant_id, grant_with_token};
use crate::scripted::{Reply, ScriptedBroker, json, problem, unused_address};

const ASK: [&str; 5] = ["elevate", "--policy", "orders-read", "--ttl", "15m"];
const HURRY: [&str; 7] = ["elevate", "--policy", "orders-read", "--ttl", "15m", "--timeout", "2s"];

fn granted() -> Reply {
    json(201, grant_with_token())
}

#[test]
fn a_grant_is_printed_as_exports_and_has_a_handle() {
    let broker = ScriptedBroker::start([granted()]);
    let program = Program::new(&broker.url(), &ASK).hands_over(GRANT_TOKEN);
    let elevated = program.assert().code(0);
    let handles = program.handles();
    let exports = format!(
        "export CLOUDANIX_GRANT_ID='{}'\nexport CLOUDANIX_STATE='{}'\nexport CLOUDANIX_GRANT_TOKEN='{GRANT_TOKEN}'\n",
        grant_id(),
        handles[0].display()
    );
    elevated.stderr(contains("✓ elevate  policy attached · orders-read · 15m · elev-")).stdout(exports);
    let handle = fs::read_to_string(&handles[0]).unwrap();
    assert!(handle.contains(grant_id().as_str()) && !handle.contains(GRANT_TOKEN), "{handle}");
    let request = &broker.seen()[0];
    assert_eq!(request.header("authorization"), Some(format!("Bearer {}", auth_token()).as_str()));
    assert!(handle.contains(request.header("idempotency-key").unwrap()));
}

#[cfg(unix)]
#[test]
fn the_handle_is_for_its_owner_only() {
    use std::os::unix::fs::PermissionsExt as _;
    let broker = ScriptedBroker::start([granted()]);
    let program = Program::new(&broker.url(), &ASK).hands_over(GRANT_TOKEN);
    program.assert().success();
    let mode = fs::metadata(&program.handles()[0]).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn an_existing_state_file_is_refused_without_a_request() {
    let broker = ScriptedBroker::start([granted()]);
    let program = Program::new(&broker.url(), &[&ASK[..], &["--state", "state.json"]].concat());
    fs::write(program.folder().join("state.json"), "{}").unwrap();
    program.assert().code(2).stderr(contains("exists already")).stderr(contains("revoke --state state.json"));
    assert!(broker.seen().is_empty());
}

#[test]
fn the_output_forms_carry_the_grant() {
    let broker = ScriptedBroker::start([granted(), granted()]);
    let with = |form| [&ASK[..], &["--output", form]].concat();
    let program = Program::new(&broker.url(), &with("json")).hands_over(GRANT_TOKEN);
    let printed: serde_json::Value = serde_json::from_str(&program.assert().printed()).unwrap();
    assert_eq!(printed["credentials"]["token"], GRANT_TOKEN);
    assert_eq!(printed["state"], program.handles()[0].display().to_string());
    Program::new(&broker.url(), &with("dotenv"))
        .hands_over(GRANT_TOKEN)
        .assert()
        .stdout(ends_with(format!("CLOUDANIX_GRANT_TOKEN={GRANT_TOKEN}\n")));
}

/// A grant with an AWS session, and a clock of its own.
fn in_aws(keys_end: &str) -> Reply {
    let credentials = Credentials::Aws {
        access_key_id: "ASIA1".to_owned(),
        secret_access_key: Secret::new("a secret/key+"),
        session_token: Secret::new("token=="),
        expires_at: keys_end.parse().unwrap(),
        region: Some("eu-west-1".to_owned()),
    };
    let expires_at = "2026-06-08T15:00:00Z".parse().unwrap();
    let grant = Grant { expires_at, credentials: Some(credentials), ..grant_with_token() };
    json(201, grant)
}

#[test]
fn the_keys_of_an_aws_session_are_in_every_form() {
    let lasting = || in_aws("2026-06-08T15:00:00.000Z");
    let broker = ScriptedBroker::start([lasting(), lasting(), lasting()]);
    let with = |form| Program::new(&broker.url(), &[&ASK[..], &["--output", form]].concat());
    let mut exported = with("env").assert().stderr(contains("! elevate").not());
    for line in [
        "export AWS_ACCESS_KEY_ID='ASIA1'\n",
        "export AWS_SECRET_ACCESS_KEY='a secret/key+'\n",
        "export AWS_SESSION_TOKEN='token=='\n",
        "export AWS_REGION='eu-west-1'\nexport AWS_DEFAULT_REGION='eu-west-1'\n",
    ] {
        exported = exported.stdout(contains(line));
    }
    with("dotenv")
        .env("AWS_REGION", "us-east-1")
        .assert()
        .stdout(contains("AWS_SECRET_ACCESS_KEY=\"a secret/key+\"\n"))
        .stdout(contains("REGION").not());
    let program = with("github");
    let (env, outputs) = (program.folder().join("env"), program.folder().join("outputs"));
    let program = program
        .env("GITHUB_ACTIONS", "true")
        .env("GITHUB_ENV", env.display().to_string())
        .env("GITHUB_OUTPUT", outputs.display().to_string());
    program.assert().stderr(contains("::add-mask::a secret/key+\n"));
    assert!(fs::read_to_string(&env).unwrap().contains("\na secret/key+\n"));
    assert!(!fs::read_to_string(&outputs).unwrap().contains("secret"));
}

#[test]
fn early_expiry_and_a_conflicting_profile_are_warnings() {
    let broker = ScriptedBroker::start([in_aws("2026-06-08T14:15:00.000Z")]);
    let program = Program::new(&broker.url(), &ASK).env("AWS_PROFILE", "prod");
    program
        .assert()
        .code(0)
        .stderr(contains("the AWS keys last until 2026-06-08T14:15:00.000Z"))
        .stderr(contains("`AWS_PROFILE` is set"));
}

#[test]
fn on_github_the_credential_is_masked_first_and_is_no_output() {
    let broker = ScriptedBroker::start([granted()]);
    let program = Program::new(&broker.url(), &[&ASK[..], &["--output", "github"]].concat());
    let (env, outputs) = (program.folder().join("env"), program.folder().join("outputs"));
    let program =
        program.env("GITHUB_ENV", env.to_str().unwrap()).env("GITHUB_OUTPUT", outputs.to_str().unwrap());
    let program = program.env("GITHUB_ACTIONS", "true");
    program.assert().code(0).stderr(contains(format!("::add-mask::{GRANT_TOKEN}\n"))).stdout("");
    let (env, outputs) = (fs::read_to_string(env).unwrap(), fs::read_to_string(outputs).unwrap());
    assert!(env.contains(&format!("\n{GRANT_TOKEN}\n")) && env.contains("CLOUDANIX_GRANT_TOKEN<<cloudanix-"));
    assert!(outputs.contains("grant-id<<cloudanix-") && outputs.contains("expires-at<<cloudanix-"));
    assert!(!outputs.contains(GRANT_TOKEN), "{outputs}");
}

#[test]
fn a_form_that_cannot_be_written_is_refused_without_a_request() {
    let broker = ScriptedBroker::start([granted()]);
    Program::new(&broker.url(), &[&ASK[..], &["--output", "github"]].concat())
        .assert()
        .code(2)
        .stderr(contains("`--output github` needs `GITHUB_ENV`"));
    assert!(broker.seen().is_empty());
}

#[test]
fn a_lost_answer_is_retried_at_once_with_the_same_key() {
    let broker = ScriptedBroker::start([Reply::HangUp, granted()]);
    let program = Program::new(&broker.url(), &ASK).hands_over(GRANT_TOKEN);
    program.assert().code(0).stderr(contains("trying again").not());
    let seen = broker.seen();
    assert_eq!(seen[0].header("idempotency-key"), seen[1].header("idempotency-key"));
    assert_ne!(seen[0].connection, seen[1].connection);
}

#[test]
fn transient_refusals_are_retried_after_the_brokers_delay() {
    let busy = problem(ErrorCode::RateLimited, "slow down").with("retry-after", "1");
    let away = problem(ErrorCode::StoreUnavailable, "back soon");
    let broker = ScriptedBroker::start([busy, away, granted()]);
    let start = Instant::now();
    Program::new(&broker.url(), &ASK)
        .hands_over(GRANT_TOKEN)
        .assert()
        .code(0)
        .stderr(contains("HTTP 429 · trying again in 1.0s"))
        .stderr(contains("HTTP 503 · trying again"));
    assert!(start.elapsed().as_millis() >= 1000);
    assert_eq!(broker.seen().len(), 3);
}

#[test]
fn a_delay_beyond_the_timeout_is_not_waited_for() {
    let away = problem(ErrorCode::StoreUnavailable, "back tomorrow").with("retry-after", "3000");
    let broker = ScriptedBroker::start([
        away,
        problem(ErrorCode::GrantNotFound, ""),
        problem(ErrorCode::GrantNotFound, ""),
    ]);
    let start = Instant::now();
    Program::new(&broker.url(), &ASK)
        .assert()
        .code(5)
        .stderr(contains("back tomorrow"))
        .stderr(contains("no grant was issued"));
    assert!(start.elapsed().as_secs() < 30);
}

#[test]
fn a_refusal_is_final_at_once() {
    for (code, exit) in [
        (ErrorCode::PolicyNotPermitted, 3),
        (ErrorCode::ClaimsNotTrusted, 3),
        (ErrorCode::AuthTokenInvalid, 4),
        (ErrorCode::OidcTokenReplayed, 4),
        (ErrorCode::InvalidRequest, 2),
        (ErrorCode::IdempotencyConflict, 1),
    ] {
        let broker = ScriptedBroker::start([problem(code, "expected `a`, found `b`"), granted()]);
        let program = Program::new(&broker.url(), &ASK);
        program
            .assert()
            .code(exit)
            .stderr(contains("expected `a`, found `b`"))
            .stderr(contains("hint: a hint of the broker"))
            .stderr(contains(format!("code: {}", code.as_str())));
        assert_eq!(broker.lines(), ["POST /v2/agentic/jit"], "asked once, and nothing to revoke");
        assert!(program.handles().is_empty(), "no handle is left");
    }
}

#[test]
fn a_malformed_answer_is_revoked_by_key() {
    let broker = ScriptedBroker::start([json(201, "not a grant"), json(200, grant(GrantStatus::Revoked))]);
    let program = Program::new(&broker.url(), &ASK);
    program.assert().code(5).stderr(contains("the grant is revoked"));
    let lines = broker.lines();
    let key = broker.seen()[0].header("idempotency-key").unwrap().to_owned();
    assert_eq!(lines[1], format!("DELETE /v2/agentic/jit?cause=asked&idempotency_key={key}"));
    assert!(program.handles().is_empty());
}

#[test]
fn an_unreachable_broker_is_exit_5_and_the_handle_remains() {
    let start = Instant::now();
    let program = Program::new(&unused_address(), &HURRY);
    program.assert().code(5).stderr(contains("cannot be reached")).stderr(contains("revoke --state"));
    assert_eq!(program.handles().len(), 1);
    assert!(start.elapsed().as_secs() < 40);
}

#[test]
fn an_approval_is_waited_for_and_the_credentials_are_fetched_after_it() {
    let broker = ScriptedBroker::start([
        json(202, grant(GrantStatus::PendingApproval)),
        json(200, grant(GrantStatus::PendingApproval)),
        json(200, grant(GrantStatus::Active)),
        granted(),
    ]);
    Program::new(&broker.url(), &ASK)
        .hands_over(GRANT_TOKEN)
        .assert()
        .code(0)
        .stderr(contains("waiting for approval · elev-9c11f3a800000001 · up to 10m"));
    let poll = "GET /v2/agentic/jit/elev-9c11f3a800000001";
    assert_eq!(broker.lines(), ["POST /v2/agentic/jit", poll, poll, "POST /v2/agentic/jit"]);
    assert!(broker.seen().iter().all(|request| request.connection == 0), "one connection is enough");
}

#[test]
fn an_approval_that_times_out_is_exit_6_and_revoked() {
    let pending = || json(202, grant(GrantStatus::PendingApproval));
    let broker =
        ScriptedBroker::start([pending(), pending(), pending(), json(200, grant(GrantStatus::Revoked))]);
    Program::new(&broker.url(), &[&ASK[..], &["--wait", "1s"]].concat())
        .assert()
        .code(6)
        .stderr(contains("was not given within 1s"));
    assert!(
        broker.lines().last().unwrap().starts_with("DELETE /v2/agentic/jit?cause=asked&idempotency_key=")
    );
}

#[test]
fn a_refused_approval_is_exit_6() {
    let broker = ScriptedBroker::start([
        json(202, grant(GrantStatus::PendingApproval)),
        json(200, grant(GrantStatus::Denied)),
        json(200, grant(GrantStatus::Denied)),
    ]);
    Program::new(&broker.url(), &ASK).assert().code(6).stderr(contains("it is `denied`"));
}

#[test]
fn a_wrong_set_up_sends_no_request() {
    let broker = ScriptedBroker::start([]);
    let program = || Program::new(&broker.url(), &ASK);
    program().without("CLOUDANIX_URL").assert().code(2).stderr(contains("`CLOUDANIX_URL` is not set"));
    program()
        .without("CLOUDANIX_AUTH_TOKEN")
        .assert()
        .code(2)
        .stderr(contains("`CLOUDANIX_AUTH_TOKEN` is not set"));
    program()
        .without("CLOUDANIX_AGENT_ID")
        .assert()
        .code(2)
        .stderr(contains("`CLOUDANIX_AGENT_ID` is not set"));
    let cut = auth_token()[..60].to_owned();
    program()
        .env("CLOUDANIX_AUTH_TOKEN", &cut)
        .assert()
        .code(2)
        .stderr(contains("expected `cjat_` and 68 hexadecimal digits"))
        .stderr(contains(cut.as_str()).not());
    program()
        .env("CLOUDANIX_URL", "http://jit.example.com")
        .assert()
        .code(2)
        .stderr(contains("plain http would show the auth token"));
    assert!(broker.seen().is_empty());
}

#[test]
fn the_alias_of_the_agent_id_is_read() {
    let broker = ScriptedBroker::start([granted()]);
    let program = Program::new(&broker.url(), &ASK).without("CLOUDANIX_AGENT_ID");
    program.env("CLOUDANIX_AGENT_IDENTIFIER", "other-agent").hands_over(GRANT_TOKEN).assert().code(0);
    assert!(broker.seen()[0].body.contains("\"agent_id\":\"other-agent\""));
}

#[cfg(unix)]
#[test]
fn ctrl_c_during_the_wait_revokes_and_is_exit_130() {
    use rustix::process::{Pid, Signal, kill_process};
    for signal in [Signal::INT, Signal::TERM] {
        let pending = || json(202, grant(GrantStatus::PendingApproval));
        let broker = ScriptedBroker::start([pending(), pending(), json(200, grant(GrantStatus::Revoked))]);
        let program = Program::new(&broker.url(), &ASK);
        let running = program.start();
        broker.wait_for(2);
        kill_process(Pid::from_child(&running.child), signal).unwrap();
        running.assert().code(130).stderr(contains("interrupted")).stderr(contains("the grant is revoked"));
        assert!(
            broker.lines().last().unwrap().starts_with("DELETE /v2/agentic/jit?cause=asked&idempotency_key=")
        );
        assert!(program.handles().is_empty());
    }
}

#[cfg(unix)]
#[test]
fn a_kill_leaves_a_handle_that_revokes_the_grant() {
    let pending = || json(202, grant(GrantStatus::PendingApproval));
    let broker = ScriptedBroker::start([pending(), pending(), json(200, grant(GrantStatus::Revoked))]);
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state.json");
    let state = state.to_str().unwrap();
    let program = Program::new(&broker.url(), &[&ASK[..], &["--state", state]].concat());
    let mut running = program.start();
    broker.wait_for(2);
    running.child.kill().unwrap();
    running.child.wait().unwrap();
    Program::new(&broker.url(), &["revoke", "--state", state]).assert().code(0);
    let key = broker.seen()[0].header("idempotency-key").unwrap().to_owned();
    assert_eq!(broker.lines()[2], format!("DELETE /v2/agentic/jit?cause=asked&idempotency_key={key}"));
}
