//! No file or output of a step or a workflow contains a secret.

use std::collections::BTreeMap;
use std::fs;

use system_tests::leak_scan::LeakScan;

use super::act::Repository;
use super::hub::{Hub, REQUEST_TOKEN};
use super::step::{Ended, Step};

fn scan_of(hub: &Hub) -> LeakScan {
    let mut scan = LeakScan::default();
    scan.secret("auth token", &hub.auth_token);
    scan.secret("auth token without prefix and id", &hub.auth_token[17..]);
    scan.secret("request token", REQUEST_TOKEN);
    scan.secret("operator token", hub.broker.operator_token());
    scan
}

fn know_the_minted(scan: &mut LeakScan, hub: &Hub) {
    for token in hub.minted() {
        scan.secret("OIDC token", &token);
        scan.secret("an OIDC token's signature", token.rsplit_once('.').unwrap().1);
    }
}

/// The output of a half as the runner shows it, with registered secrets masked.
fn shown(ended: &Ended) -> String {
    let all = format!("{}\n{}", ended.stdout, ended.stderr);
    let (masks, lines): (Vec<&str>, Vec<&str>) =
        all.lines().partition(|line| line.starts_with("::add-mask::"));
    let decoded = |mask: &str| mask["::add-mask::".len()..].replace("%25", "%");
    let mut hidden: Vec<String> = masks.into_iter().map(decoded).collect();
    hidden.sort_by_key(|value| std::cmp::Reverse(value.len()));
    hidden.iter().fold(lines.join("\n"), |text, value| text.replace(value, "***"))
}

#[test]
fn the_auth_token_is_masked_before_anything_else_is_said() {
    let hub = Hub::start();
    for script in ["main.js", "revoke/main.js"] {
        let ended = Step::of(&hub).run(script);
        let first = ended.stdout.lines().next().unwrap_or_default();
        assert_eq!(first, format!("::add-mask::{}", hub.auth_token), "{script}");
    }
}

#[test]
fn no_half_of_a_step_writes_a_secret() {
    let hub = Hub::start();
    let mut scan = scan_of(&hub);
    let shows_all = "env; env >&2; printf %s \"$CLOUDANIX_GRANT_TOKEN\" | base64 -w0; echo; \
                     echo \"{\\\"token\\\":\\\"$CLOUDANIX_GRANT_TOKEN\\\"}\"; printf %s \"$CLOUDANIX_GRANT_TOKEN\" > ../../kept";
    let kept = tempfile::tempdir().unwrap();
    let steps: BTreeMap<&str, Step> = BTreeMap::from([
        (
            "one command",
            Step::of(&hub).input("run", &shows_all.replace("../..", &kept.path().display().to_string())),
        ),
        ("the job", Step::of(&hub)),
        ("refused", Step::of(&hub).input("policy", "orders-delete").input("run", "true")),
        (
            "no broker",
            Step::of(&hub).input("url", "http://127.0.0.1:9").input("timeout", "1s").input("run", "true"),
        ),
        ("wrong version", Step::of(&hub).without("INPUT_BINARY").input("version", "9.9.9")),
    ]);
    for (name, step) in &steps {
        for half in ["main.js", "post.js"] {
            let ended = step.run(half);
            scan.written(&format!("{name}: {half}"), shown(&ended));
            // The runner reads these files and does not show them.
            for output in ["stdout", "stderr"] {
                fs::remove_file(step.folder.path().join(format!("{half}.{output}"))).unwrap();
            }
        }
        if let Some(token) = step.entries("GITHUB_ENV").remove("CLOUDANIX_GRANT_TOKEN") {
            scan.secret("grant token for the job", &token);
            // GITHUB_ENV is the one file that may contain the token.
            fs::remove_file(step.folder.path().join("GITHUB_ENV")).unwrap();
        }
        scan.folder(name, step.folder.path());
    }
    scan.secret("grant token", &fs::read_to_string(kept.path().join("kept")).unwrap());
    know_the_minted(&mut scan, &hub);
    assert!(scan.bytes() > 1000);
    assert_eq!(scan.finds(), Vec::<String>::new());
}

#[test]
fn no_workflow_shows_a_secret() {
    let hub = Hub::start();
    let repository = Repository::with(
        r#"      - uses: ./action
        with:
          policy: orders-write
          $WHO
      - run: echo "$CLOUDANIX_GRANT_TOKEN"
      - uses: ./action/run
        with:
          policy: orders-read
          $WHO
          run: env | sort
"#,
    );
    let (succeeded, log) = repository.push(&hub).finish();
    assert!(succeeded && log.contains("CLOUDANIX_GRANT_TOKEN=***"), "{log}");
    let mut scan = scan_of(&hub);
    know_the_minted(&mut scan, &hub);
    scan.folder("repository, log and what is left of the job", repository.path());
    assert_eq!(scan.finds(), Vec::<String>::new());
}
