//! Without `run`: `post` revokes every grant that the main half left, and never fails the job.

use std::fs;
use std::time::Instant;

use system_tests::client::{is_alive, kill};
use system_tests::lossy_proxy::LossyProxy;
use system_tests::runner::kill_the_machine;
use system_tests::waiting::eventually;

use super::hub::{Hub, text};
use super::step::Step;

const ASKED: &str = "asked by the client";

#[test]
fn the_grant_lasts_until_post() {
    let hub = Hub::start();
    let step = Step::of(&hub);
    step.run("main.js").assert_code(0);
    let live = hub.broker.live();
    assert_eq!(live.len(), 1);
    let outputs = step.entries("GITHUB_OUTPUT");
    assert_eq!(outputs["grant-id"], text(&live[0], "/id"));
    assert_eq!(outputs["expires-at"], text(&live[0], "/expires_at"));
    assert_eq!(outputs["revoked"], "false");
    let handed_on = step.entries("GITHUB_ENV");
    assert_eq!(handed_on["CLOUDANIX_GRANT_ID"], outputs["grant-id"]);
    assert_eq!(handed_on["CLOUDANIX_STATE"], outputs["state-file"]);
    assert_eq!(hub.broker.introspect(&handed_on["CLOUDANIX_GRANT_TOKEN"])["active"], true);
    let post = step.run("post.js");
    post.assert_code(0);
    assert_eq!(post.annotations("warning"), Vec::<&str>::new());
    hub.assert_ended(1, ASKED);
    assert_eq!(hub.broker.introspect(&handed_on["CLOUDANIX_GRANT_TOKEN"])["active"], false);
    assert!(step.file("GITHUB_STEP_SUMMARY").contains("elevation timeline"));
    assert_eq!(step.left_behind(), Vec::<std::path::PathBuf>::new());
}

#[test]
fn state_is_saved_before_the_request_to_the_broker() {
    let hub = Hub::start();
    for (given, run) in [(1, ""), (2, "touch ran")] {
        let proxy = LossyProxy::in_front_of(hub.broker.url());
        proxy.lose("POST /v2/agentic/jit ", 1000);
        let step = Step::of(&hub).input("url", &proxy.url()).input("run", run);
        let main = step.start("main.js");
        // The broker has issued the grant, and its response never arrives.
        eventually("a lost answer", || (proxy.lost() > 0).then_some(()));
        kill_the_machine(&[main.pid()]);
        assert_eq!(main.finish().code, None);
        assert_eq!(hub.broker.live().len(), 1);
        assert_eq!(step.output("grant-id"), "");
        let post = step.run("post.js");
        post.assert_code(0);
        assert_eq!(post.annotations("warning"), Vec::<&str>::new());
        hub.assert_ended(given, ASKED);
        assert!(!step.in_workspace("ran").exists());
    }
}

#[test]
fn killed_main_half_ends_command_and_grant_and_post_reports_it() {
    let hub = Hub::start();
    let step = Step::of(&hub).input("run", "echo $$ > pid; until test -e go; do sleep 0.01; done");
    let main = step.start("main.js");
    let shell: i32 = super::step::line_in(&step.in_workspace("pid")).parse().unwrap();
    kill(main.pid(), "KILL");
    let began = Instant::now();
    main.finish();
    hub.broker.wait_until_nothing_is_live();
    println!("cancel · github · KILL to main alone · 285000 ms · {} ms", began.elapsed().as_millis());
    eventually("the end of the command", || (!is_alive(shell)).then_some(()));
    let post = step.run("post.js");
    assert_eq!(post.assert_code(0).annotations("warning"), Vec::<&str>::new());
    assert!(step.file("GITHUB_STEP_SUMMARY").contains("elevation timeline"));
    hub.assert_ended(1, "interrupted · the client's parent process ended");
    assert_eq!(step.left_behind(), Vec::<std::path::PathBuf>::new());
}

#[test]
fn a_revoke_that_fails_is_a_warning() {
    let hub = Hub::start();
    let step = Step::of(&hub);
    step.run("main.js").assert_code(0);
    // This auth token has been rotated away.
    let rotated = Hub::start().auth_token;
    let step = step.input("auth-token", &rotated);
    let post = step.run("post.js");
    let warnings = post.assert_code(0).annotations("warning");
    let expected =
        format!("the grant {} could not be revoked, and lives until its deadline: ", step.output("grant-id"));
    assert!(warnings.len() == 1 && warnings[0].starts_with(&expected), "{warnings:?}");
    assert_eq!(hub.broker.live().len(), 1);
    let step = step.input("auth-token", &hub.auth_token);
    step.run("post.js").assert_code(0);
    hub.assert_ended(1, ASKED);
}

#[test]
fn a_grant_that_has_ended_already_is_a_success() {
    let hub = Hub::start();
    let step = Step::of(&hub);
    step.run("main.js").assert_code(0);
    let path = format!("/v2/agentic/jit/{}", step.output("grant-id"));
    hub.broker.operator(reqwest::Method::DELETE, &path);
    hub.broker.wait_until_nothing_is_live();
    let post = step.run("post.js");
    assert_eq!(post.assert_code(0).annotations("warning"), Vec::<&str>::new());
}

#[test]
fn a_main_half_that_failed_leaves_post_nothing_to_do() {
    let hub = Hub::start();
    let step = Step::of(&hub).input("policy", "orders-delete");
    let main = step.run("main.js");
    let errors = main.assert_code(3).annotations("error");
    assert!(errors.len() == 1 && errors[0].contains("orders-delete"), "{errors:?}");
    let post = step.run("post.js");
    assert_eq!(post.assert_code(0).annotations("warning"), Vec::<&str>::new());
    assert_eq!(hub.broker.given().len(), 0);
}

#[test]
fn each_step_revokes_its_own_grant() {
    let hub = Hub::start();
    let first = Step::of(&hub);
    first.run("main.js").assert_code(0);
    let env = first.entries("GITHUB_ENV");
    // The second action finds the variables of the first in the job's environment.
    let second = env.iter().fold(Step::of(&hub).input("policy", "orders-write"), |step, (name, value)| {
        step.variable(name, value)
    });
    second.run("main.js").assert_code(0);
    assert_eq!(hub.broker.live().len(), 2);
    second.run("post.js").assert_code(0);
    let live = hub.broker.live();
    assert_eq!(live.len(), 1);
    assert_eq!(text(&live[0], "/id"), first.output("grant-id"));
    first.run("post.js").assert_code(0);
    hub.broker.wait_until_nothing_is_live();
}

#[test]
fn nothing_is_observed_without_a_command() {
    let hub = Hub::start();
    let main = Step::of(&hub).input("observe", "true").run("main.js");
    let refused = "the input `observe` is `true` without `run` — name the command that is observed in `run`";
    assert_eq!(main.assert_code(125).annotations("error"), [refused]);
    assert_eq!(hub.broker.given().len(), 0);
}

#[test]
fn command_only_inputs_are_reported_as_unused() {
    let hub = Hub::start();
    let step = Step::of(&hub).input("redact", "always");
    let main = step.run("main.js");
    assert_eq!(
        main.assert_code(0).annotations("warning"),
        ["`redact`, `aws-credentials` and `live-actions` do nothing without `run`"]
    );
    step.run("post.js").assert_code(0);
    let saved = fs::read_to_string(step.folder.path().join("GITHUB_STATE")).unwrap();
    assert!(!saved.contains(&hub.auth_token));
}
