//! The action `./action` without `run`: a grant until the job ends.

use super::repository::Repository;
use super::site::{Site, text};

const ELEVATE: &str =
    "      - uses: ./action\n        with:\n          policy: orders-read\n          $WHO\n";
const LOOK: &str = r#"      - run: |
          echo "$CLOUDANIX_GRANT_ID" > "$OUTSIDE/grant"
          $UNTIL_GO
          echo "raw:$CLOUDANIX_GRANT_TOKEN"
          printf '%s' "$CLOUDANIX_GRANT_TOKEN" > "$OUTSIDE/token"
"#;

/// Pushes a job of the steps [`ELEVATE`], [`LOOK`] and `later`. Checks that the grant is live during a later step and
/// that the post half revokes it.
#[track_caller]
fn ends_with_the_job(later: &str, conclusion: &str) -> String {
    let site = Site::start();
    let run = Repository::with(&format!("{ELEVATE}{LOOK}{later}")).push(&site);
    let grant = run.line_outside("grant");
    let live: Vec<String> = site.broker.live().iter().map(|grant| text(grant, "/id").to_owned()).collect();
    assert_eq!(live, [grant]);
    std::fs::write(site.runner.outside("go"), "").unwrap();
    let ended = run.finish();
    let log = ended.expect(conclusion).to_owned();
    site.assert_ended(1, "asked by the client");
    assert_eq!(site.runner.calls().last().map(String::as_str), Some("timeline"), "{:?}", site.runner.calls());
    let token = std::fs::read_to_string(site.runner.outside("token")).unwrap();
    assert!(log.contains("raw:***") && !log.contains(&token), "{log}");
    log
}

#[test]
#[ignore = "needs Gitea, which `cargo xtask test` builds"]
fn a_later_step_has_the_grant_and_post_revokes_it() {
    ends_with_the_job("", "success");
}

#[test]
#[ignore = "needs Gitea, which `cargo xtask test` builds"]
fn post_revokes_when_a_later_step_fails() {
    let log = ends_with_the_job("      - run: exit 7\n", "failure");
    assert!(log.contains("exit code 7") || log.contains("exit status 7"), "{log}");
}

#[test]
#[ignore = "needs Gitea, which `cargo xtask test` builds"]
fn inside_a_composite_action_both_kinds_work() {
    let site = Site::start();
    let run = Repository::with(
        r#"      - id: deploy
        uses: ./deploy
        with:
          token: ${{ secrets.CLOUDANIX_AUTH_TOKEN }}
      - run: |
          echo "$COMMAND" > "$OUTSIDE/command"
          echo "$CLOUDANIX_GRANT_ID" > "$OUTSIDE/job"
        env:
          COMMAND: ${{ steps.deploy.outputs.grant }}
"#,
    )
    .file(
        "deploy/action.yml",
        r#"name: deploy
description: deploys
inputs:
  token:
    description: the auth token
outputs:
  grant:
    description: the grant of the command
    value: ${{ steps.command.outputs.grant-id }}
runs:
  using: composite
  steps:
    - uses: ./action
      with:
        policy: orders-read
        auth-token: ${{ inputs.token }}
    - id: command
      uses: ./action/run
      with:
        policy: orders-write
        auth-token: ${{ inputs.token }}
        run: echo deployed
"#,
    )
    .push(&site);
    let (command, job) = (run.line_outside("command"), run.line_outside("job"));
    run.finish().expect("success");
    site.broker.wait_until_nothing_is_live();
    let mut ends: Vec<(String, String)> = Vec::new();
    for grant in site.broker.given() {
        ends.push((text(&grant, "/id").to_owned(), text(&grant, "/end_reason").to_owned()));
    }
    let expected = [(command, "step finished · exit 0".to_owned()), (job, "asked by the client".to_owned())];
    assert_eq!(ends, expected);
}
