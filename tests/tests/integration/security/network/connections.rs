//! Idle connections neither keep other callers out nor end the grants of running jobs.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;

use reqwest::{Certificate, Method};
use system_tests::broker::{Broker, NO_RATE_LIMIT};
use system_tests::certificates::Authority;
use system_tests::client::{self, Client, Running};
use system_tests::fixture::{Fixture, new_key};
use system_tests::gate::FLOODS;
use system_tests::http;
use system_tests::waiting::eventually;

use super::flood::{Flood, Opening};

/// A limit on open files that is low enough for a test to reach.
const FEW_FILES: &[&str] = &["prlimit", "--nofile=256:256"];
const FILES: usize = 256;
/// Addresses that the tests' own requests do not use.
const ATTACKERS: [Ipv4Addr; 2] = [Ipv4Addr::new(127, 0, 0, 66), Ipv4Addr::new(127, 0, 0, 67)];
/// Connections per address: together more than the limit on open files.
const EACH: usize = 150;

fn limits(more: &str) -> String {
    format!("{NO_RATE_LIMIT}\nheartbeat = \"1s\"\n{more}")
}

fn address(broker: &Broker) -> SocketAddr {
    broker.url().split_once("://").unwrap().1.parse().unwrap()
}

/// A step that runs until the file `go` exists.
const JOB: &[&str] = &[
    "run",
    "--policy",
    "orders-read",
    "--ttl",
    "15m",
    "--",
    "sh",
    "-c",
    "echo $CLOUDANIX_GRANT_ID > grant; until test -e go || ! test -e grant; do sleep 0.01; done",
];

fn running_job(fixture: &Fixture) -> Running {
    started(fixture.client(JOB))
}

/// Starts a job with a grant that ends after three missed heartbeats.
fn started(job: Client) -> Running {
    let mut running = job.start();
    running.line_in("grant");
    running
}

fn metric(broker: &Broker, name: &str) -> u64 {
    let metrics = http::send(broker.request(Method::GET, "/metrics")).expect(200).text;
    let values = metrics.lines().filter(|line| line.starts_with(name));
    values.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
}

fn beats(broker: &Broker) -> u64 {
    let route = "route=\"/v2/agentic/jit/{id}/heartbeat\",status=\"200\"";
    metric(broker, &format!("cloudanix_jit_http_request_duration_seconds_count{{method=\"POST\",{route}}}"))
}

/// Asserts that the job kept its grant: neither the client nor the broker has recorded an interruption.
#[track_caller]
fn assert_kept(fixture: &Fixture, mut running: Running) {
    let grant = running.line_in("grant");
    running.touch("go");
    let finished = running.finish();
    finished.assert_code(0);
    assert!(!finished.stderr.contains("lapsed"), "{}", finished.stderr);
    let timeline = fixture.broker.timeline(&grant).to_string();
    assert!(
        !timeline.contains("lease-lost") && !timeline.contains("no heartbeat within the lease"),
        "{timeline}"
    );
}

/// Asserts that every request of a pipeline succeeds while these addresses flood the broker.
fn works_under(fixture: &Fixture, running: Running, attackers: &[Ipv4Addr], opening: Opening) {
    let _permit = FLOODS.enter();
    let before = beats(&fixture.broker);
    let flood = Flood::from(attackers, EACH, address(&fixture.broker), opening);
    let key = new_key();
    let grant = http::send(fixture.elevation(&key, &fixture.body())).expect(201).text_at("/id").to_owned();
    let beat = fixture.broker.request(Method::POST, &format!("/v2/agentic/jit/{grant}/heartbeat"));
    http::send(beat.bearer_auth(&fixture.agent.auth_token).header("Idempotency-Key", &key)).expect(200);
    let back = fixture.broker.request(Method::DELETE, &format!("/v2/agentic/jit/{grant}"));
    http::send(back.bearer_auth(&fixture.agent.auth_token)).expect(200);
    eventually("more heartbeats than may be missed", || (beats(&fixture.broker) >= before + 6).then_some(()));
    let open = fs::read_dir(format!("/proc/{}/fd", fixture.broker.pid())).unwrap().count();
    assert!(open < FILES - 20, "{open} files are open: none are kept for the database and outgoing calls");
    assert_kept(fixture, running);
    drop(flood);
    if opening.stays_open() {
        let evicted = metric(&fixture.broker, "cloudanix_jit_connections_evicted_total");
        assert!(evicted > 0, "the broker closed no idle connection to make room");
        assert!(fixture.broker.log().contains("waiting connections are closed to make room"));
    }
    assert!(!fixture.broker.log().contains("EMFILE"), "the broker ran out of files");
}

/// Does the same in plaintext.
fn works_in_plaintext_under(attackers: &[Ipv4Addr], opening: Opening) {
    let fixture = Fixture::with(Broker::launched_by(FEW_FILES, &limits("")));
    let running = running_job(&fixture);
    works_under(&fixture, running, attackers, opening);
}

#[test]
fn idle_http1_connections_do_not_stop_the_broker() {
    works_in_plaintext_under(&ATTACKERS, Opening::Http1);
}

#[test]
fn idle_http2_connections_do_not_stop_the_broker() {
    works_in_plaintext_under(&ATTACKERS, Opening::Http2);
}

#[test]
fn connections_without_requests_do_not_stop_the_broker() {
    works_in_plaintext_under(&ATTACKERS, Opening::Silence);
}

#[test]
fn requests_without_their_bodies_do_not_stop_the_broker() {
    works_in_plaintext_under(&ATTACKERS, Opening::NoBody);
}

#[test]
fn idle_connections_from_the_runner_s_own_address_do_not_stop_the_broker() {
    works_in_plaintext_under(&[Ipv4Addr::LOCALHOST, ATTACKERS[0]], Opening::Http1);
}

#[test]
fn half_open_tls_handshakes_do_not_stop_the_broker() {
    let authority = Authority::new("ours");
    let folder = tempfile::tempdir().unwrap();
    authority.for_a_broker().put(folder.path());
    let ca = folder.path().join("ca.pem");
    fs::write(&ca, &authority.pem).unwrap();
    let root = Certificate::from_pem(authority.pem.as_bytes()).unwrap();
    let shown = folder.path().display();
    let tls = format!("\n[tls]\ncertificate = \"{shown}/tls.pem\"\nkey = \"{shown}/tls.key\"");
    let client = http::client(|builder| builder.tls_certs_only([root]));
    let fixture = Fixture::with(Broker::launched_behind_tls(FEW_FILES, client, &limits(&tls)));
    let running = started(fixture.client(JOB).env("SSL_CERT_FILE", ca));
    works_under(&fixture, running, &ATTACKERS, Opening::HalfOfTls);
}

#[test]
fn broker_without_free_files_ends_no_grant_for_missed_heartbeats() {
    let fixture = Fixture::with(Broker::launched_by(&[], &limits("")));
    let running = running_job(&fixture);
    let prlimit = |soft: &str| {
        let pid = fixture.broker.pid().to_string();
        let done = Command::new("prlimit").args([&format!("--nofile={soft}:"), "--pid", &pid]).status();
        assert!(done.unwrap().success());
    };
    // The limit is below the number of open files: the broker cannot accept the client's next connection.
    prlimit("10");
    let said = || fixture.broker.log().matches("connections cannot be accepted").count();
    // The broker logs this every ten seconds, which is longer than three heartbeats.
    let twice = || (said() >= 2).then_some(());
    let _attempt = Flood::from(&ATTACKERS[..1], 1, address(&fixture.broker), Opening::Http1);
    eventually("a second line in the log", twice);
    assert!(fixture.broker.log().contains("EMFILE"), "{}", fixture.broker.log());
    prlimit("1024");
    let before = beats(&fixture.broker);
    eventually("a heartbeat", || (beats(&fixture.broker) > before).then_some(()));
    assert!(metric(&fixture.broker, "cloudanix_jit_connections_refused_total{reason=\"exhausted\"}") > 0);
    assert_kept(&fixture, running);
}

#[test]
fn the_soft_limit_of_files_is_raised_to_the_hard_one() {
    let broker = Broker::launched_by(&["prlimit", "--nofile=128:600"], NO_RATE_LIMIT);
    let limits = fs::read_to_string(format!("/proc/{}/limits", broker.pid())).unwrap();
    let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    assert_eq!(line.split_whitespace().nth(3), Some("600"), "{line}");
    assert_eq!(metric(&broker, "cloudanix_jit_connections_limit"), 450);
    client::kill(broker.pid().cast_signed(), "TERM");
}

#[test]
fn behind_a_trusted_proxy_all_connections_may_come_from_one_address() {
    let more = format!("connections_per_network = 5\ntrusted_proxies = [\"{}\"]", ATTACKERS[0]);
    let broker = Broker::launched_by(&[], &limits(&more));
    let _proxy = Flood::from(&ATTACKERS[..1], 20, address(&broker), Opening::Http1);
    let open = || metric(&broker, "cloudanix_jit_connections ");
    eventually("twenty connections", || (open() >= 20).then_some(()));
    let _stranger = Flood::from(&ATTACKERS[1..], 20, address(&broker), Opening::Http1);
    eventually("a stranger at its cap", || {
        (metric(&broker, "cloudanix_jit_connections_evicted_total") > 0).then_some(())
    });
    // Counts the proxy's connections, five of the stranger's, and some that are closing or read this metric.
    assert!((20..=32).contains(&open()), "{}", open());
}
