//! Gitea has no OIDC: the job's log names the way out, and the timeline records a grant by auth token alone.

use super::repository::Repository;
use super::site::{Identity, Site, text};

#[test]
#[ignore = "needs Gitea, which `cargo xtask test` builds"]
fn agent_that_requires_oidc_is_refused_with_the_remedy() {
    let site = Site::with(Identity::Missing);
    let run = Repository::with(
        r#"      - uses: ./action/run
        with:
          policy: orders-read
          $WHO
          run: touch "$OUTSIDE/ran"
"#,
    )
    .push(&site);
    let ended = run.finish();
    let log = ended.expect("failure");
    assert!(!site.runner.outside("ran").exists());
    let lower = log.to_lowercase();
    for part in ["gitea", "oidc", "cloudanix_oidc_token_file", "allow_auth_token_only"] {
        assert!(lower.contains(part), "no `{part}` in {log}");
    }
    assert!(!log.contains("id-token: write"), "the workflow cannot fix it: {log}");
    assert_eq!(site.broker.given().len(), 0);
}

#[test]
#[ignore = "needs Gitea, which `cargo xtask test` builds"]
fn without_oidc_the_timeline_has_repository_run_and_commit_as_claimed() {
    let site = Site::with(Identity::AuthTokenOnly);
    let run = Repository::with(
        r#"      - uses: ./action/run
        with:
          policy: orders-read
          $WHO
          run: echo "$GITHUB_REPOSITORY $GITHUB_RUN_NUMBER $GITHUB_SHA" > "$OUTSIDE/facts"
"#,
    )
    .push(&site);
    let facts = run.line_outside("facts");
    run.finish().expect("success");
    let grants = site.assert_ended(1, "step finished · exit 0");
    let claimed = |name: &str| text(&grants[0], &format!("/provenance/claimed/{name}")).to_owned();
    let found = format!("{} {} {}", claimed("repository"), claimed("run"), claimed("commit"));
    assert_eq!(found, facts, "{}", grants[0]["provenance"]);
    assert_eq!(text(&grants[0], "/provenance/trust"), "auth-token-only");
}
