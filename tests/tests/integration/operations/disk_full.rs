//! On a full disk the broker issues no grant and loses none, and it resumes when there is room again.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::PathBuf;
use std::process::Command;

use reqwest::Method;
use serde_json::json;
use system_tests::broker::{Broker, NO_RATE_LIMIT};
use system_tests::fixture::{Fixture, new_key};
use system_tests::http;
use system_tests::waiting::eventually;

/// Mounts a small disk in the broker's own namespace, which disappears with the broker.
const OWN_DISK: &[&str] = &[
    "unshare",
    "--map-root-user",
    "--mount",
    "sh",
    "-c",
    "mount -t tmpfs -o size=2m tmpfs {data} && exec \"$0\" \"$@\"",
];

fn can_mount() -> bool {
    let folder = tempfile::tempdir().unwrap();
    let script = OWN_DISK[5].replace("{data}", &folder.path().display().to_string());
    let tried = Command::new(OWN_DISK[0]).args(&OWN_DISK[1..5]).args([&script, "true"]).output();
    tried.is_ok_and(|output| output.status.success())
}

/// The broker's folder as the broker's namespace shows it.
fn disk(fixture: &Fixture) -> PathBuf {
    let data = fixture.broker.folder().join("data");
    PathBuf::from(format!("/proc/{}/root{}", fixture.broker.pid(), data.display()))
}

/// Fills the disk.
fn fill(fixture: &Fixture) {
    let mut file = OpenOptions::new().create(true).append(true).open(disk(fixture).join("filler")).unwrap();
    for size in [64 * 1024, 4096, 1] {
        while file.write_all(&vec![0; size]).is_ok() {}
    }
}

#[test]
fn full_disk_issues_no_grant_and_loses_none_until_it_has_room() {
    if !can_mount() {
        println!(
            "skipped: this machine does not allow mounts in a user namespace (`unshare --map-root-user --mount`)"
        );
        return;
    }
    let fixture = Fixture::with(Broker::launched_by(OWN_DISK, NO_RATE_LIMIT));
    let given = fixture.elevate().expect(201);
    let token = given.text_at("/credentials/token");
    fill(&fixture);

    // The database may still use the free space in its allocated blocks.
    let mut granted = 1;
    let mut key = String::new();
    eventually("a full disk", || {
        key = new_key();
        let answer = http::send(fixture.elevation(&key, &fixture.body()));
        match answer.outcome() {
            (201, _) => {
                granted += 1;
                fill(&fixture);
                None
            }
            outcome => {
                assert_eq!(outcome, (503, "store_unavailable"), "{}", answer.text);
                assert!(answer.headers.iter().any(|(name, _)| name == "retry-after"));
                assert!(
                    !answer.text.contains("broker.db") && !answer.text.contains("SQL"),
                    "{}",
                    answer.text
                );
                Some(())
            }
        }
    });
    for _ in 0..20 {
        assert_eq!(fixture.elevate().outcome(), (503, "store_unavailable"));
    }
    assert_eq!(fixture.broker.operator(Method::GET, "/readyz").status, 503, "the broker is not ready");
    assert_eq!(fixture.broker.operator(Method::GET, "/healthz").status, 200, "the broker is alive");
    assert_eq!(fixture.broker.introspect(token)["active"], true, "the broker still answers reads");
    assert_eq!(fixture.broker.live().len(), granted);

    fs::remove_file(disk(&fixture).join("filler")).unwrap();
    eventually("room again", || (fixture.elevate().status == 201).then_some(()));
    granted += 1;
    // The refused request has reserved nothing, so the same request now succeeds.
    http::send(fixture.elevation(&key, &fixture.body())).expect(201);
    granted += 1;
    assert_eq!(fixture.broker.given().len(), granted, "the broker issued a grant without a response");
    for grant in fixture.broker.given() {
        let id = grant["id"].as_str().unwrap();
        fixture.broker.timeline(id);
        let revoke = fixture.broker.request(Method::DELETE, &format!("/v2/agentic/jit/{id}"));
        http::send(revoke.bearer_auth(&fixture.agent.auth_token)).expect(200);
    }
    assert!(fixture.broker.live().is_empty());
}

#[test]
fn step_is_revoked_when_the_broker_has_disk_space_again() {
    if !can_mount() {
        println!(
            "skipped: this machine does not allow mounts in a user namespace (`unshare --map-root-user --mount`)"
        );
        return;
    }
    let fixture = Fixture::with(Broker::launched_by(OWN_DISK, NO_RATE_LIMIT));
    let step = "echo $CLOUDANIX_GRANT_ID > grant; until test -e go || ! test -e grant; do sleep 0.01; done";
    let mut running =
        fixture.client(&["run", "--policy", "orders-read", "--ttl", "15m", "--", "sh", "-c", step]).start();
    let grant = running.line_in("grant");
    fill(&fixture);
    eventually("a full disk", || {
        fill(&fixture);
        (fixture.elevate().status == 503).then_some(())
    });
    running.touch("go");
    let finished = running.finish();
    finished.assert_code(0);
    assert!(finished.stderr.contains("not confirmed yet"), "{}", finished.stderr);
    fs::remove_file(disk(&fixture).join("filler")).unwrap();
    let state = || fixture.broker.operator(Method::GET, &format!("/v2/agentic/jit/{grant}")).json;
    eventually("the keeper's revoke", || (state()["status"] == "revoked").then_some(()));
    assert_eq!(state()["end_reason"], json!("step finished · exit 0"));
    fixture.broker.timeline(&grant);
}
