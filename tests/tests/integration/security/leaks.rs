//! No process writes a secret in any encoding, whether requests succeed or fail.

use std::fs;

use reqwest::Method;
use serde_json::{Value, json};
use system_tests::client::{Client, Finished, kill};
use system_tests::fixture::{AUDIENCE, Fixture, job_claims, new_key};
use system_tests::http;
use system_tests::leak_scan::LeakScan;
use system_tests::lossy_proxy::LossyProxy;
use system_tests::oidc_provider::Token;
use system_tests::waiting::eventually;

/// Prints everything that a step receives, on both streams and in many encodings.
const SHOWS_ALL: &str = "env; env >&2; echo $CLOUDANIX_GRANT_TOKEN; printf %s $CLOUDANIX_GRANT_TOKEN | base64 -w0; echo; \
                         printf ' %s' $CLOUDANIX_GRANT_TOKEN | base64 -w0 >&2; echo; \
                         printf '  %s' $CLOUDANIX_GRANT_TOKEN | base64 -w0; echo; \
                         printf '{\"token\":\"%s\"}\\n' $CLOUDANIX_GRANT_TOKEN; \
                         for n in 1 2 3; do printf '%s' $CLOUDANIX_GRANT_TOKEN; done; \
                         printf %s $CLOUDANIX_GRANT_TOKEN > ../$(basename $PWD).kept";

struct Scanned {
    fixture: Fixture,
    scan: LeakScan,
    runs: usize,
}

impl Scanned {
    fn new() -> Self {
        let fixture = Fixture::start();
        let mut scan = LeakScan::default();
        scan.secret("auth token", &fixture.agent.auth_token);
        // The secret part of the auth token, without its public prefix and id.
        scan.secret("auth token without prefix and id", &fixture.agent.auth_token[17..]);
        scan.secret("operator token", fixture.broker.operator_token());
        scan.secret("introspection token", fixture.broker.introspection_token());
        Self { fixture, scan, runs: 0 }
    }

    /// Builds a client whose job has its own OIDC token.
    fn client(&mut self, arguments: &[&str]) -> Client {
        let job = format!("job-{}", self.runs);
        let token =
            self.fixture.provider.mint(&Token::with_claims(job_claims(&job)).audience(AUDIENCE)).unwrap();
        self.oidc_secret(&token);
        self.fixture.client(arguments).env("CLOUDANIX_OIDC_TOKEN", token)
    }

    /// Adds the whole token and its signature as secrets; its payload alone is not one.
    fn oidc_secret(&mut self, token: &str) {
        self.scan.secret("OIDC token", token);
        if let Some((_, signature)) = token.rsplit_once('.').filter(|(_, signature)| signature.len() > 40) {
            self.scan.secret("an OIDC token's signature", signature);
        }
    }

    fn seen(&mut self, what: &str, finished: &Finished) {
        self.runs += 1;
        self.scan.written(&format!("{what}: stdout"), finished.stdout.clone());
        self.scan.written(&format!("{what}: stderr"), finished.stderr.clone());
        self.scan.folder(&format!("{what}: folder"), finished.folder.path());
    }

    fn answer(&mut self, what: &str, answer: &http::Answer) {
        self.scan.written(what, format!("{:?} {}", answer.headers, answer.text));
    }

    /// Adds the broker's logs and responses, and asserts that the scan finds no secret.
    fn assert_no_leak(mut self) {
        for grant in self.fixture.broker.grants("all") {
            let id = grant["id"].as_str().unwrap().to_owned();
            let json = self.fixture.broker.timeline(&id);
            self.scan.written("timeline as JSON", json.to_string());
            let path = format!("/v2/agentic/jit/{id}/timeline");
            let text = self.fixture.broker.request(Method::GET, &path).header("accept", "text/plain");
            let text = http::send(text.bearer_auth(self.fixture.broker.operator_token())).expect(200);
            self.scan.written("timeline as text", text.text);
            self.scan.written("grant", grant.to_string());
        }
        for path in ["/v2/agents", "/v2/agents/orders-agent", "/metrics", "/openapi.json"] {
            let answer = self.fixture.broker.operator(Method::GET, path);
            self.answer(path, &answer);
        }
        let folder = self.fixture.broker.folder().to_owned();
        self.scan.folder("broker", &folder);
        self.fixture.broker.stop();
        self.scan.folder("broker, stopped", &folder);
        assert!(self.scan.bytes() > 50_000, "{}", self.scan.bytes());
        let finds = self.scan.finds();
        assert!(finds.is_empty(), "{}", finds.join("\n"));
    }
}

#[test]
fn successful_runs_write_no_secret_even_if_the_step_tries() {
    let mut all = Scanned::new();
    for (what, arguments) in [
        ("a run", &["run", "--policy", "orders-read", "--ttl", "15m", "--reason", "because", "--"][..]),
        ("a redacted run", &["run", "--redact", "always", "--policy", "orders-write", "--ttl", "15m", "--"]),
    ] {
        let finished = all.client(&[arguments, &["sh", "-c", SHOWS_ALL]].concat()).finish();
        finished.assert_code(0);
        // The step's own file is not ours to redact; the test reads the token from it.
        let kept = finished.folder.path().with_extension("kept");
        let token = fs::read_to_string(&kept).unwrap();
        fs::remove_file(kept).unwrap();
        assert!(token.starts_with("eyJ"), "{token}");
        assert_eq!(all.fixture.broker.introspect(&token), json!({"active": false}));
        all.scan.secret("grant token", &token);
        all.scan.secret("a grant token's signature", token.rsplit_once('.').unwrap().1);
        assert!(
            finished.stdout.contains("CLOUDANIX_GRANT_ID=elev-"),
            "only the secrets are redacted: {}",
            finished.stdout
        );
        all.seen(what, &finished);
    }
    for arguments in [
        &["whoami"][..],
        &["whoami", "--output", "json"],
        &["doctor"],
        &["doctor", "--policy", "orders-read", "--ttl", "15m"],
    ] {
        let finished = all.client(arguments).finish();
        finished.assert_code(0);
        all.seen(&arguments.join(" "), &finished);
    }
    for arguments in
        [&["agent", "list"][..], &["agent", "show", "orders-agent"], &["agent", "list", "--output", "json"]]
    {
        let finished = all.fixture.operator_client(arguments).finish();
        finished.assert_code(0);
        all.seen(&arguments.join(" "), &finished);
    }
    all.assert_no_leak();
}

/// Proves that the scan of the other tests finds leaks.
#[test]
fn without_redaction_the_scan_finds_what_the_step_shows() {
    let mut all = Scanned::new();
    let run =
        ["run", "--redact", "never", "--policy", "orders-read", "--ttl", "15m", "--", "sh", "-c", SHOWS_ALL];
    let finished = all.client(&run).finish();
    finished.assert_code(0);
    let kept = finished.folder.path().with_extension("kept");
    all.scan.secret("grant token", &fs::read_to_string(&kept).unwrap());
    fs::remove_file(kept).unwrap();
    all.seen("unredacted", &finished);
    let finds = all.scan.finds().join("\n");
    for form in [
        "raw) in unredacted: stdout",
        "raw) in unredacted: stderr",
        "base64, from byte 0",
        "base64, from byte 1",
        "base64, from byte 2",
    ] {
        assert!(finds.contains(form), "{form} is not in\n{finds}");
    }
    assert!(!finds.contains("auth token") && !finds.contains("OIDC"), "the step never had these: {finds}");
}

#[test]
fn elevate_prints_the_token_once_and_stores_it_nowhere() {
    let mut all = Scanned::new();
    let finished = all
        .client(&[
            "elevate",
            "--policy",
            "orders-read",
            "--ttl",
            "15m",
            "--output",
            "json",
            "--state",
            "state.json",
        ])
        .finish();
    finished.assert_code(0);
    let token = finished.json()["credentials"]["token"].as_str().unwrap().to_owned();
    all.scan.secret("grant token", &token);
    let state = fs::read(finished.folder.path().join("state.json")).unwrap();
    let key =
        serde_json::from_slice::<Value>(&state).unwrap()["idempotency_key"].as_str().unwrap().to_owned();
    all.scan.written("state file", state);
    // The client prints the credentials on stdout, so the scan skips it.
    all.scan.written("elevate: stderr", finished.stderr.clone());
    let id = finished.json()["id"].as_str().unwrap().to_owned();
    for arguments in [
        &["status", &id][..],
        &["status", &id, "--output", "json"],
        &["timeline", &id],
        &["timeline", &id, "--output", "json"],
        &["revoke", &id],
    ] {
        let finished = all.client(arguments).finish();
        finished.assert_code(0);
        all.seen(&arguments.join(" "), &finished);
    }
    // The idempotency key allows a revoke and a heartbeat: it is no credential, and still belongs to the run only.
    assert!(!all.fixture.broker.log().contains(&key), "the idempotency key is in the broker's log");
    all.assert_no_leak();
}

#[test]
fn refusals_and_garbage_repeat_no_secret() {
    let mut all = Scanned::new();
    let run = ["run", "--policy", "orders-read", "--ttl", "15m", "--timeout", "2s", "--", "true"];
    let expired = all
        .fixture
        .provider
        .mint(&Token::with_claims(job_claims("late")).audience(AUDIENCE).expires_in(-600))
        .unwrap();
    let elsewhere = all
        .fixture
        .provider
        .mint(&Token::with_claims(job_claims("off")).audience("sts.amazonaws.com"))
        .unwrap();
    let mut claims = job_claims("other");
    claims["project_id"] = json!("2");
    let untrusted = all.fixture.provider.mint(&Token::with_claims(claims).audience(AUDIENCE)).unwrap();
    let damaged = format!("{}AAAA", &expired[..expired.len() - 4]);
    let wrong_auth = protocol::AuthToken::from_random([1; 6], [2; 24]).secret().reveal().to_owned();
    let cut_auth = all.fixture.agent.auth_token[..60].to_owned();
    for token in [&expired, &elsewhere, &untrusted, &damaged] {
        all.oidc_secret(token);
    }
    all.scan.secret("an auth token that is not accepted", &wrong_auth);
    all.scan.secret("half an auth token", &cut_auth);
    let with = |all: &mut Scanned, name: &str, value: &str| all.client(&run).env(name, value).finish();
    for (what, finished) in [
        ("expired", with(&mut all, "CLOUDANIX_OIDC_TOKEN", &expired)),
        ("another audience", with(&mut all, "CLOUDANIX_OIDC_TOKEN", &elsewhere)),
        ("another project", with(&mut all, "CLOUDANIX_OIDC_TOKEN", &untrusted)),
        ("damaged", with(&mut all, "CLOUDANIX_OIDC_TOKEN", &damaged)),
        ("an unknown auth token", with(&mut all, "CLOUDANIX_AUTH_TOKEN", &wrong_auth)),
        ("a cut auth token", with(&mut all, "CLOUDANIX_AUTH_TOKEN", &cut_auth)),
        ("the auth token as URL", {
            let token = all.fixture.agent.auth_token.clone();
            with(&mut all, "CLOUDANIX_URL", &format!("http://user:{token}@127.0.0.1:1"))
        }),
        ("no broker", {
            // The keeper continues for a minute, because the broker may have received the request.
            let soon = ["run", "--policy", "orders-read", "--ttl", "1m", "--timeout", "2s", "--", "true"];
            all.client(&soon).env("CLOUDANIX_URL", "http://127.0.0.1:1").finish()
        }),
        ("a step that is not there", all.client(&[&run[..8], &["./not-there"]].concat()).finish()),
        ("a denied policy", all.client(&["run", "--policy", "nope", "--ttl", "15m", "--", "true"]).finish()),
        ("a secret on the command line", {
            let token = all.fixture.agent.auth_token.clone();
            all.fixture.operator_client(&["agent", "revoke-token", "orders-agent", &token]).finish()
        }),
    ] {
        assert_ne!(finished.status.code(), Some(0), "{what}");
        all.seen(what, &finished);
    }
    let good = all.fixture.body();
    let token = good["oidc_token"].as_str().unwrap().to_owned();
    all.oidc_secret(&token);
    let auth = all.fixture.agent.auth_token.clone();
    let post = |body: String| {
        let request = all.fixture.broker.request(Method::POST, "/v2/agentic/jit").bearer_auth(&auth);
        request.header("idempotency-key", new_key()).header("content-type", "application/json").body(body)
    };
    let answers = [
        ("a body cut in the token", post(format!("{{\"oidc_token\":\"{token}"))),
        ("a token where a list is expected", post(json!({"policies": token}).to_string())),
        (
            "a token where an id is expected",
            post(json!({"agent_id": auth, "policies": [], "ttl": "1m"}).to_string()),
        ),
        (
            "a token as policy",
            post(json!({"agent_id": "orders-agent", "policies": [auth], "ttl": "1m"}).to_string()),
        ),
        ("a token as key", post(good.to_string()).header("idempotency-key", &auth)),
        (
            "a token in the path",
            all.fixture.broker.request(Method::GET, &format!("/{auth}")).bearer_auth(&auth),
        ),
    ]
    .map(|(what, request)| (what, http::send(request)));
    for (what, answer) in &answers {
        assert!(answer.status >= 400, "{what}");
    }
    // The responses go to the sender of the secret, so the scan covers only the broker's own records.
    all.assert_no_leak();
}

#[test]
fn failing_runs_write_no_secret() {
    let mut all = Scanned::new();
    let run = ["run", "--policy", "orders-read", "--ttl", "15m", "--", "sh", "-c"];
    let waits = "echo $CLOUDANIX_GRANT_TOKEN > ../$(basename $PWD).kept; echo up > up; until test -e go || ! test -e up; do sleep 0.01; done";

    let proxy = LossyProxy::in_front_of(all.fixture.broker.url());
    proxy.lose("POST ", 1);
    proxy.lose("DELETE ", 1);
    let lossy = all.client(&[&run[..], &["true"]].concat()).env("CLOUDANIX_URL", proxy.url()).finish();
    lossy.assert_code(0);
    all.seen("lost replies", &lossy);

    let mut running = all.client(&[&run[..], &[waits]].concat()).start();
    running.line_in("up");
    let kept = running.folder().with_extension("kept");
    let token = fs::read_to_string(&kept).unwrap();
    fs::remove_file(kept).unwrap();
    all.scan.secret("grant token", token.trim());
    let (pid, keeper) = (running.pid(), running.keeper());
    for process in [pid, keeper] {
        for what in ["cmdline", "status"] {
            all.scan.written(&format!("/proc/{what}"), fs::read(format!("/proc/{process}/{what}")).unwrap());
        }
    }
    all.scan.written("the keeper's environment", fs::read(format!("/proc/{keeper}/environ")).unwrap());
    all.fixture.broker.kill();
    running.signal("TERM");
    kill(pid, "KILL");
    all.fixture.broker.restart();
    eventually("the end of the grant", || all.fixture.broker.live().is_empty().then_some(()));
    running.touch("go");
    let killed = running.finish();
    all.seen("killed", &killed);
    all.assert_no_leak();
}
