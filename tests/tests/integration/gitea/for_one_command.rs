//! The action `./action/run`: a grant for one command.

use super::repository::{Repository, publish_the_action};
use super::site::{Site, text};

#[test]
#[ignore = "needs Gitea, which `cargo xtask test` builds"]
fn a_command_runs_with_its_grant_and_the_next_step_has_the_outputs() {
    let site = Site::start();
    let run = Repository::with(
        r#"      - id: deploy
        uses: ./action/run
        with:
          policy: orders-read
          $WHO
          run: |
            printf "%s runs\n" "the command"
            echo "$CLOUDANIX_GRANT_ID" > "$OUTSIDE/grant"
            echo "mine=42" >> "$GITHUB_OUTPUT"
      - run: echo "$ID $REVOKED $MINE" > "$OUTSIDE/outputs"
        env:
          ID: ${{ steps.deploy.outputs.grant-id }}
          REVOKED: ${{ steps.deploy.outputs.revoked }}
          MINE: ${{ steps.deploy.outputs.mine }}
"#,
    )
    .push(&site);
    let outputs = run.line_outside("outputs");
    let grant = run.line_outside("grant");
    let ended = run.finish();
    let log = ended.expect("success");
    assert_eq!(outputs, format!("{grant} true 42"));
    let grants = site.assert_ended(1, "step finished · exit 0");
    assert_eq!(text(&grants[0], "/id"), grant);
    let place = |what: &str| log.find(what).unwrap_or_else(|| panic!("no `{what}` in {log}"));
    assert!(place("✓ elevate") < place("the command runs"), "{log}");
}

#[test]
#[ignore = "needs Gitea, which `cargo xtask test` builds"]
fn the_exit_code_of_a_failing_command_fails_the_job() {
    let site = Site::start();
    let run = Repository::with(
        r#"      - uses: ./action/run
        with:
          policy: orders-read
          $WHO
          run: exit 42
      - run: touch "$OUTSIDE/went-on"
"#,
    )
    .push(&site);
    let ended = run.finish();
    let log = ended.expect("failure");
    assert!(log.contains("exit code 42"), "{log}");
    assert!(!site.runner.outside("went-on").exists());
    site.assert_ended(1, "step finished · exit 42");
}

#[test]
#[ignore = "needs Gitea, which `cargo xtask test` builds"]
fn a_policy_outside_the_boundary_is_refused_with_the_permitted_ones() {
    let site = Site::start();
    let run = Repository::with(
        r#"      - uses: ./action/run
        with:
          policy: orders-delete
          $WHO
          run: touch "$OUTSIDE/ran"
"#,
    )
    .push(&site);
    let ended = run.finish();
    let log = ended.expect("failure");
    for part in ["orders-delete", "orders-read", "policy_not_permitted", "exit code 125"] {
        assert!(log.contains(part), "no `{part}` in {log}");
    }
    assert!(!site.runner.outside("ran").exists());
    assert_eq!(site.broker.given().len(), 0);
}

#[test]
#[ignore = "needs Gitea, which `cargo xtask test` builds"]
fn two_jobs_at_once_have_a_grant_each() {
    let site = Site::start();
    let job = |name: &str| {
        format!(
            r#"      - uses: ./action/run
        with:
          policy: orders-read
          $WHO
          run: |
            echo "$CLOUDANIX_GRANT_ID" > "$OUTSIDE/{name}"
            $UNTIL_GO
"#
        )
    };
    let run = Repository::empty().job("left", &job("left")).job("right", &job("right")).push(&site);
    let grants = [run.line_outside("left"), run.line_outside("right")];
    assert_ne!(grants[0], grants[1]);
    assert_eq!(site.broker.live().len(), 2);
    std::fs::write(site.runner.outside("go"), "").unwrap();
    run.finish().expect("success");
    site.assert_ended(2, "step finished · exit 0");
}

#[test]
#[ignore = "needs Gitea, which `cargo xtask test` builds"]
fn the_action_is_used_by_a_tag_from_a_repository_of_the_server() {
    let site = Site::start();
    publish_the_action(&site, "v0.1.0");
    let run = Repository::with(
        r#"      - uses: cloudanix/jit-action/run@v0.1.0
        with:
          policy: orders-read
          $WHO
          run: echo "$CLOUDANIX_GRANT_ID" > "$OUTSIDE/command"
      - id: job
        uses: cloudanix/jit-action@v0.1.0
        with:
          policy: orders-read
          $WHO
      - id: early
        uses: cloudanix/jit-action/revoke@v0.1.0
        with:
          state-file: ${{ steps.job.outputs.state-file }}
          $WHO
      - run: echo "$REVOKED" > "$OUTSIDE/revoked"
        env:
          REVOKED: ${{ steps.early.outputs.revoked }}
"#,
    )
    .push(&site);
    let command = run.line_outside("command");
    assert_eq!(run.line_outside("revoked"), "true");
    run.finish().expect("success");
    site.broker.wait_until_nothing_is_live();
    let grants = site.broker.given();
    let ends: Vec<&str> = grants.iter().map(|grant| text(grant, "/end_reason")).collect();
    assert_eq!(ends, ["asked by the client", "step finished · exit 0"]);
    assert_eq!(text(&grants[1], "/id"), command);
}
