//! A command that inspects all processes of its user finds no credential that it could elevate with.

use system_tests::onlooker::{look, seen};

use super::hub::Hub;
use super::step::Step;

#[test]
fn no_process_environment_shows_auth_token_or_request_token() {
    let hub = Hub::start();
    let runtime = "runtime-token-of-the-hidden-test";
    let step = Step::of(&hub)
        .variable("CLOUDANIX_AUTH_TOKEN", &hub.auth_token)
        .variable("ACTIONS_RUNTIME_TOKEN", runtime)
        .input("run", &format!("{}\nls -A \"$RUNNER_TEMP\"/*/ > files", look("seen")));
    let main = step.start("main.js");
    let node = main.pid();
    main.finish().assert_code(0);
    let secrets = [
        ("auth token", hub.auth_token.as_str()),
        ("request token", hub.request_token.as_str()),
        ("runtime token", runtime),
    ];
    let seen = seen(&step.in_workspace("seen"), &secrets).unwrap();
    assert_eq!(seen.finds, Vec::<String>::new());
    assert!(seen.readable.contains(&node), "the command could not inspect the action's process: {seen:?}");
    let files = std::fs::read_to_string(step.in_workspace("files")).unwrap();
    assert!(!files.contains("handed") && files.contains("state.json"), "{files}");
    hub.assert_ended(1, "step finished · exit 0");
}

/// Merges both streams in one pipe, as a runner reads them.
#[test]
fn the_elevate_line_and_the_masks_come_before_the_commands_first_line() {
    let hub = Hub::start();
    for _ in 0..5 {
        let step = Step::of(&hub).input("run", "echo first; echo first >&2");
        let main = step.run("main.js");
        let at = |text: &str, what: &str| text.find(what).unwrap_or_else(|| panic!("`{what}` in {text}"));
        assert!(at(&main.stderr, "✓ elevate") < at(&main.stderr, "first\n"), "{}", main.stderr);
        for stream in [&main.stdout, &main.stderr] {
            let masks = stream.rfind("::add-mask::").unwrap_or_default();
            assert!(masks > 0 && masks < at(stream, "first\n"), "{stream}");
        }
    }
}
