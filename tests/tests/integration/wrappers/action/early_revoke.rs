//! A step can revoke the job's grant before the job ends.

use super::hub::Hub;
use super::step::Step;

#[test]
fn grant_is_revoked_by_state_file_by_id_or_as_the_last_of_the_job() {
    let hub = Hub::start();
    for named in ["state-file", "grant-id", ""] {
        let asked = Step::of(&hub);
        asked.run("main.js").assert_code(0);
        let mut revoke = Step::of(&hub);
        if named.is_empty() {
            for (name, value) in asked.entries("GITHUB_ENV") {
                revoke = revoke.variable(&name, &value);
            }
        } else {
            revoke = revoke.input(named, &asked.output(named));
        }
        let revoked = revoke.run("revoke/main.js");
        assert_eq!(revoked.assert_code(0).annotations("warning"), Vec::<&str>::new(), "{named}");
        assert_eq!(revoke.output("revoked"), "true");
        assert_eq!(hub.broker.live().len(), 0, "{named}");
        assert_eq!(revoke.left_behind(), Vec::<std::path::PathBuf>::new());
        let post = asked.run("post.js");
        assert_eq!(post.assert_code(0).annotations("warning"), Vec::<&str>::new(), "{named}");
        assert!(asked.file("GITHUB_STEP_SUMMARY").contains("elevation timeline"));
    }
    hub.assert_ended(3, "asked by the client");
}

#[test]
fn one_that_fails_is_a_warning() {
    let hub = Hub::start();
    let asked = Step::of(&hub);
    asked.run("main.js").assert_code(0);
    let rotated = Hub::start().auth_token;
    let revoke = Step::of(&hub).input("grant-id", &asked.output("grant-id")).input("auth-token", &rotated);
    let revoked = revoke.run("revoke/main.js");
    let warnings = revoked.assert_code(0).annotations("warning");
    assert!(
        warnings.len() == 1 && warnings[0].starts_with("the grant could not be revoked yet: "),
        "{warnings:?}"
    );
    assert_eq!(revoke.output("revoked"), "false");
    asked.run("post.js").assert_code(0);
    hub.broker.wait_until_nothing_is_live();
}
