//! With `run`: the environment of the command, the outputs of the job and the end of the grant.

use std::fs;

use super::hub::{Hub, REQUEST_TOKEN, text};
use super::step::{Step, line_in};

#[test]
fn the_command_has_the_grant_and_the_job_learns_how_it_went() {
    let hub = Hub::start();
    let step = Step::of(&hub)
        .input("reason", "a # heading\n</pre>")
        .input("run", "echo $CLOUDANIX_GRANT_ID > grant\n");
    let main = step.run("main.js");
    main.assert_code(0);
    let grant = hub.assert_ended(1, "step finished · exit 0");
    let id = text(&grant, "/id");
    assert_eq!(line_in(&step.in_workspace("grant")), id, "the command ran with it");
    let outputs = step.entries("GITHUB_OUTPUT");
    let outputs: Vec<(&str, &str)> =
        outputs.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let deadline = text(&grant, "/expires_at");
    assert_eq!(outputs, [("expires-at", deadline), ("grant-id", id), ("revoked", "true")]);
    let summary = step.file("GITHUB_STEP_SUMMARY");
    assert!(summary.starts_with(&format!("### Grant `{id}`\n\n    elevation timeline · {id}")), "{summary}");
    assert!(summary.contains("step finished · exit 0"), "{summary}");
    let markup = |line: &&str| !line.is_empty() && !line.starts_with("    ");
    assert_eq!(summary.lines().skip(1).find(markup), None, "the summary contains markup from the command");
    assert_eq!(step.left_behind(), Vec::<std::path::PathBuf>::new());
    let post = step.run("post.js");
    post.assert_code(0);
    assert_eq!(post.stdout, "", "nothing is left to be done");
}

#[test]
fn a_failing_command_keeps_its_exit_code() {
    let hub = Hub::start();
    let step = Step::of(&hub).input("run", "false | true\necho never");
    let main = step.run("main.js");
    main.assert_code(1);
    assert!(!main.stdout.contains("never"), "as in a step of GitHub's own: -e and pipefail");
    assert_eq!(main.annotations("error"), ["the command ended with exit code 1"]);
    hub.assert_ended(1, "step finished · exit 1");
    assert_eq!(step.output("revoked"), "true");
    let other = Step::of(&hub).input("run", "exit 42");
    other.run("main.js").assert_code(42);
}

#[test]
fn command_sees_no_auth_token_no_job_identity_and_no_inputs() {
    let hub = Hub::start();
    let step = Step::of(&hub)
        .variable("INPUT_OF_THE_USER", "stays")
        .variable("ACTIONS_RUNTIME_TOKEN", "runtime-token-0123456789")
        .input("run", "env > seen");
    step.run("main.js").assert_code(0);
    let seen = fs::read_to_string(step.in_workspace("seen")).unwrap();
    for hidden in [
        hub.auth_token.as_str(),
        REQUEST_TOKEN,
        "runtime-token-0123456789",
        "INPUT_POLICY",
        "INPUT_RUN=",
        "GITHUB_STATE=",
    ] {
        assert!(!seen.contains(hidden), "{hidden} in {seen}");
    }
    assert!(seen.contains("CLOUDANIX_GRANT_TOKEN=") && seen.contains("INPUT_OF_THE_USER=stays"), "{seen}");
}

#[test]
fn an_observed_command_runs_without_a_grant_and_keeps_its_exit_code() {
    let hub = Hub::start();
    let step = Step::of(&hub).input("observe", "true").input("run", "env > seen; exit 3");
    let main = step.run("main.js");
    main.assert_code(3);
    assert_eq!(main.annotations("error"), ["the command ended with exit code 3"]);
    let seen = fs::read_to_string(step.in_workspace("seen")).unwrap();
    for hidden in [hub.auth_token.as_str(), "CLOUDANIX_GRANT", "INPUT_OBSERVE"] {
        assert!(!seen.contains(hidden), "{hidden} in {seen}");
    }
    assert!(seen.contains(REQUEST_TOKEN), "the platform's tokens are the command's own");
    assert_eq!(hub.broker.given().len(), 0);
    step.run("post.js").assert_code(0);
    assert_eq!(step.left_behind(), Vec::<std::path::PathBuf>::new());
}

#[test]
fn a_shell_and_a_folder_can_be_chosen() {
    let hub = Hub::start();
    let step = Step::of(&hub).input("shell", "sh").input("working-directory", "below");
    fs::create_dir(step.in_workspace("below")).unwrap();
    let step = step.input("run", "echo \"$(pwd) $(cat /proc/$$/comm)\" > here");
    step.run("main.js").assert_code(0);
    let below = fs::canonicalize(step.in_workspace("below")).unwrap();
    assert_eq!(line_in(&step.in_workspace("below/here")), format!("{} sh", below.display()));
    for (name, value, error) in [
        ("shell", "fish", "the input `shell` is `fish` — expected `bash`, `sh` or `pwsh`"),
        ("live-actions", "no", "the input `live-actions` is `no` — expected `true` or `false`"),
        ("observe", "yes", "the input `observe` is `yes` — expected `true` or `false`"),
        ("policy", "", "the input `policy` is missing — name the policy that the step needs"),
    ] {
        let main = Step::of(&hub).input("run", "true").input(name, value).run("main.js");
        assert_eq!(main.assert_code(125).annotations("error"), [error]);
    }
    assert_eq!(hub.broker.given().len(), 1, "the broker received an invalid request");
}

#[test]
fn refusal_is_one_line() {
    let hub = Hub::start();
    let denied = Step::of(&hub).input("policy", "orders-delete").input("run", "touch ran");
    let main = denied.run("main.js");
    let errors = main.assert_code(125).annotations("error");
    assert!(
        errors.len() == 1 && errors[0].contains("orders-delete") && errors[0].contains(" — hint: "),
        "{errors:?}"
    );
    assert!(!denied.in_workspace("ran").exists());
    assert_eq!(hub.broker.given().len(), 0);
}

#[test]
fn a_job_that_may_not_ask_for_an_identity_is_told_what_to_write() {
    let hub = Hub::start();
    let step = Step::of(&hub)
        .without("ACTIONS_ID_TOKEN_REQUEST_URL")
        .without("ACTIONS_ID_TOKEN_REQUEST_TOKEN")
        .input("run", "true");
    let main = step.run("main.js");
    let errors = main.assert_code(125).annotations("error");
    assert_eq!(errors.len(), 1);
    assert!(errors[0].contains("permissions: { id-token: write, contents: read }"), "{errors:?}");
}

#[test]
fn the_action_for_one_command_wants_a_command() {
    let hub = Hub::start();
    let main = Step::of(&hub).run("run/main.js");
    let missing = "the input `run` is missing — name the command that runs with the grant";
    assert_eq!(main.assert_code(125).annotations("error"), [missing]);
    assert_eq!(hub.broker.given().len(), 0, "the grant became one for the whole job");
    Step::of(&hub).input("run", "true").run("run/main.js").assert_code(0);
    hub.assert_ended(1, "step finished · exit 0");
}

#[test]
fn workflow_commands_cannot_be_injected() {
    let hub = Hub::start();
    let step = Step::of(&hub).input("run", "true").input("shell", "x\n::set-env name=A::100%\r\n");
    let main = step.run("main.js");
    assert_eq!(
        main.annotations("error"),
        ["the input `shell` is `x%0A::set-env name=A::100%25` — expected `bash`, `sh` or `pwsh`"]
    );
    assert!(main.stdout.lines().all(|line| !line.starts_with("::set-env")), "{}", main.stdout);
}

#[test]
fn failed_outputs_do_not_change_the_exit_code_of_the_command() {
    let hub = Hub::start();
    let nowhere = tempfile::tempdir().unwrap();
    for code in [0, 3] {
        let step = Step::of(&hub).variable("GITHUB_OUTPUT", &nowhere.path().display().to_string());
        let step = step.input("run", &format!("echo ran > ran; exit {code}"));
        let main = step.run("main.js");
        assert!(!main.assert_code(code).annotations("warning").is_empty());
        assert_eq!(line_in(&step.in_workspace("ran")), "ran");
        step.run("post.js").assert_code(0);
    }
    hub.assert_ended(2, "step finished · exit 3");
}

#[test]
fn one_job_of_an_agent_does_not_end_the_grant_of_another() {
    let hub = Hub::start();
    let script = "echo $CLOUDANIX_GRANT_ID > ready\nuntil test -e go; do sleep 0.01; done";
    let (one, other) = (Step::of(&hub).input("run", script), Step::of(&hub).input("run", script));
    let (first, second) = (one.start("main.js"), other.start("main.js"));
    line_in(&one.in_workspace("ready"));
    let id_of_other = line_in(&other.in_workspace("ready"));
    assert_eq!(hub.broker.live().len(), 2);
    fs::write(one.in_workspace("go"), "").unwrap();
    first.finish().assert_code(0);
    one.run("post.js").assert_code(0);
    let live = hub.broker.live();
    assert_eq!(live.len(), 1);
    assert_eq!(text(&live[0], "/id"), id_of_other);
    fs::write(other.in_workspace("go"), "").unwrap();
    second.finish().assert_code(0);
    assert_eq!(other.output("grant-id"), id_of_other);
    hub.assert_ended(2, "step finished · exit 0");
}
