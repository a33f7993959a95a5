//! The action elevates and revokes in whole workflows that `act` runs.

use std::fs;

use system_tests::client::kill;

use super::act::Repository;
use super::hub::{Hub, text};
use super::step::line_in;

#[test]
fn a_command_runs_with_its_grant_and_the_next_step_knows_of_it() {
    let hub = Hub::start();
    let repository = Repository::with(
        r#"      - id: deploy
        uses: ./action/run
        with:
          policy: orders-read
          $WHO
          run: |
            echo "$CLOUDANIX_GRANT_ID" > "$OUTSIDE/grant"
            echo "result=deployed" >> "$GITHUB_OUTPUT"
      - run: echo "$ID $REVOKED $RESULT" > "$OUTSIDE/outputs"
        env:
          ID: ${{ steps.deploy.outputs.grant-id }}
          REVOKED: ${{ steps.deploy.outputs.revoked }}
          RESULT: ${{ steps.deploy.outputs.result }}
"#,
    );
    let (succeeded, log) = repository.push(&hub).finish();
    assert!(succeeded, "{log}");
    let grant = hub.assert_ended(1, "step finished · exit 0");
    let id = text(&grant, "/id");
    assert_eq!(line_in(&repository.outside("grant")), id);
    assert_eq!(line_in(&repository.outside("outputs")), format!("{id} true deployed"));
    assert_eq!(text(&grant, "/ttl"), "15m", "the default of the definition");
}

#[test]
fn a_failing_command_fails_the_job_and_leaves_nothing() {
    let hub = Hub::start();
    let repository = Repository::with(
        r#"      - uses: ./action
        with:
          policy: orders-read
          $WHO
          run: exit 7
      - run: touch "$OUTSIDE/went-on"
      - if: always()
        run: echo done > "$OUTSIDE/always"
"#,
    );
    let (succeeded, log) = repository.push(&hub).finish();
    assert!(!succeeded && log.contains("exit status 7"), "{log}");
    assert!(log.contains("::error title=cloudanix-jit::the command ended with exit code 7"), "{log}");
    assert!(!repository.outside("went-on").exists());
    assert_eq!(line_in(&repository.outside("always")), "done");
    hub.assert_ended(1, "step finished · exit 7");
}

#[test]
fn a_policy_that_is_refused_fails_the_job_and_says_why() {
    let hub = Hub::start();
    let repository = Repository::with(
        "      - uses: ./action\n        with:\n          policy: orders-delete\n          $WHO\n",
    );
    let (succeeded, log) = repository.push(&hub).finish();
    assert!(!succeeded, "{log}");
    assert!(
        log.lines()
            .any(|line| line.contains("::error title=cloudanix-jit::") && line.contains("orders-delete")),
        "{log}"
    );
    assert_eq!(hub.broker.given().len(), 0);
}

#[test]
fn two_grants_of_one_job_live_side_by_side_and_both_end_with_it() {
    let hub = Hub::start();
    let step = |policy: &str| {
        format!("      - uses: ./action\n        with:\n          policy: {policy}\n          $WHO\n")
    };
    let wait =
        "      - run: echo here > \"$OUTSIDE/here\"; until test -e \"$OUTSIDE/go\"; do sleep 0.05; done\n";
    let repository = Repository::with(&(step("orders-read") + &step("orders-write") + wait));
    let run = repository.push(&hub);
    line_in(&repository.outside("here"));
    assert_eq!(hub.broker.live().len(), 2);
    fs::write(repository.outside("go"), "").unwrap();
    let (succeeded, log) = run.finish();
    assert!(succeeded, "{log}");
    assert_eq!(hub.broker.live().len(), 0, "{log}");
    hub.assert_ended(2, "asked by the client");
}

#[test]
fn inside_a_composite_action_the_grant_ends_with_the_job() {
    let hub = Hub::start();
    let repository = Repository::with(
        r#"      - uses: ./deploy
        with:
          token: ${{ secrets.CLOUDANIX_AUTH_TOKEN }}
      - run: echo "$CLOUDANIX_GRANT_ID" > "$OUTSIDE/grant"
"#,
    );
    repository.file(
        "deploy/action.yml",
        r#"name: deploy
description: deploys
inputs:
  token:
    description: the auth token
runs:
  using: composite
  steps:
    - uses: ./action
      with:
        policy: orders-read
        auth-token: ${{ inputs.token }}
    - uses: ./action/run
      with:
        policy: orders-write
        auth-token: ${{ inputs.token }}
        run: echo deployed > "$OUTSIDE/deployed"
"#,
    );
    let (succeeded, log) = repository.push(&hub).finish();
    assert!(succeeded, "{log}");
    assert_eq!(line_in(&repository.outside("deployed")), "deployed");
    hub.broker.wait_until_nothing_is_live();
    let grants = hub.broker.given();
    let for_the_job = line_in(&repository.outside("grant"));
    let reasons: Vec<(bool, &str)> =
        grants.iter().map(|grant| (text(grant, "/id") == for_the_job, text(grant, "/end_reason"))).collect();
    assert_eq!(reasons, [(false, "step finished · exit 0"), (true, "asked by the client")]);
}

#[test]
fn a_job_that_is_cancelled_leaves_no_grant() {
    let hub = Hub::start();
    let repository = Repository::with(
        r#"      - uses: ./action
        with:
          policy: orders-write
          $WHO
      - uses: ./action/run
        with:
          policy: orders-read
          $WHO
          run: |
            echo $$ > "$OUTSIDE/here"
            until test -e "$OUTSIDE/go"; do sleep 0.05; done
"#,
    );
    let run = repository.push(&hub);
    line_in(&repository.outside("here"));
    assert_eq!(hub.broker.live().len(), 2);
    kill(run.pid(), "INT");
    let (succeeded, log) = run.finish();
    assert!(!succeeded, "{log}");
    hub.broker.wait_until_nothing_is_live();
    // Ends a command that outlived the SIGKILL of its parent.
    fs::write(repository.outside("go"), "").unwrap();
    assert_eq!(hub.broker.given().len(), 2);
}
