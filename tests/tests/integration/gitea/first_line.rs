//! A command whose first line prints the grant's token: no stored log has it, in any form.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use system_tests::leak_scan::LeakScan;

use super::repository::Repository;
use super::site::Site;

/// Prints the token raw on both streams, and in base64 after a prefix of zero, one, two and five bytes.
const PRINTS: &str = r#"            echo "first:$CLOUDANIX_GRANT_TOKEN"
            echo "error:$CLOUDANIX_GRANT_TOKEN" >&2
            for before in "" x xy user:; do printf '%s%s' "$before" "$CLOUDANIX_GRANT_TOKEN" | base64 -w 0; echo; done
"#;

#[test]
#[ignore = "needs Gitea, which `cargo xtask test` builds"]
fn the_first_line_of_a_command_never_shows_the_token() {
    let site = Site::start();
    no_log_has_a_token(&site, 4, 5);
    the_server_has_none_on_its_disk(&site);
}

/// Runs this many jobs with this many steps each, and checks that no stored log has a token of a step.
pub(crate) fn no_log_has_a_token(site: &Site, jobs: usize, steps: usize) {
    let mut repository = Repository::empty();
    for job in 0..jobs {
        let mut text = String::new();
        for step in 0..steps {
            write!(
                text,
                "      - uses: ./action/run\n        with:\n          policy: orders-read\n          $WHO\n          \
                 run: |\n{PRINTS}            printf '%s' \"$CLOUDANIX_GRANT_TOKEN\" > \"$OUTSIDE/job-{job}-{step}\"\n"
            )
            .unwrap();
        }
        repository = repository.job(&format!("job-{job}"), &text);
    }
    let patience = Duration::from_secs(120 + 10 * u64::try_from(jobs * steps).unwrap());
    let ended = repository.push(site).finish_within(patience);
    ended.expect("success");
    assert_eq!(ended.logs.len(), jobs);
    let mut finds = BTreeMap::new();
    for (job, log) in &ended.logs {
        let found = finds_in(site, job, log, steps);
        assert_eq!(log.matches("✓ revoke").count(), steps, "{job} has the lines of every step: {log}");
        assert!(log.matches("first:").count() >= steps, "{job} has the first line of every step: {log}");
        if !found.is_empty() {
            finds.insert(job, found);
        }
    }
    assert!(finds.is_empty(), "{} of {jobs} logs have a token: {finds:#?}", finds.len());
    assert_eq!(site.broker.given().len(), jobs * steps);
    site.broker.wait_until_nothing_is_live();
}

fn finds_in(site: &Site, job: &str, log: &str, steps: usize) -> Vec<String> {
    let mut scan = LeakScan::default();
    scan.secret("the auth token", &site.auth_token);
    for step in 0..steps {
        let token = std::fs::read_to_string(site.runner.outside(&format!("{job}-{step}"))).unwrap();
        // The signature alone also reveals a redaction that left a part of the token.
        let signature = token.rsplit('.').next().unwrap();
        scan.secret(&format!("the signature in step {step}"), signature);
        scan.secret(&format!("the token of step {step}"), &token);
    }
    scan.written(job, log);
    scan.finds()
}

/// Checks the server's database and journal, which received the log lines while the jobs ran.
fn the_server_has_none_on_its_disk(site: &Site) {
    let token = std::fs::read_to_string(site.runner.outside("job-0-0")).unwrap();
    let (header, _) = token.split_once('.').unwrap();
    let mut scan = LeakScan::default();
    scan.secret("the auth token", &site.auth_token);
    // Every token of the broker begins with this header.
    scan.secret("the header of a grant's token", header);
    scan.folder("gitea", site.server.folder());
    scan.written("the runner's log", site.runner.log());
    assert!(scan.bytes() > 1 << 20, "the database was looked through");
    assert_eq!(scan.finds(), Vec::<String>::new());
}
