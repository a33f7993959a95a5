//! Every operation of the broker's API description refuses callers without the right credentials.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;

use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use system_tests::broker::Broker;
use system_tests::fixture::{Agent, Fixture, new_key, registration};
use system_tests::http;
use system_tests::people::{self, PeopleProvider, ProviderOptions};

/// Public operations: anyone may verify tokens with the keys of the first two, and probes and scrapers carry no
/// credentials. A new public operation belongs in this list.
const PUBLIC: &[&str] =
    &["/.well-known/openid-configuration", "/.well-known/jwks.json", "/healthz", "/readyz", "/metrics"];

/// Receives tokens that a transmitter signs, and answers as RFC 8935 wants it.
const SIGNED: &str = "/v2/security-events/{source}";

/// Exchanges the code of a sign-in: the credential is in the body.
const EXCHANGE: &str = "POST /v2/sessions";

/// One path with one method.
struct Operation {
    method: Method,
    path: String,
    described: Value,
}

impl Operation {
    fn accepts(&self, credential: &str) -> bool {
        let schemes = self.described["security"].as_array();
        schemes.is_some_and(|schemes| schemes.iter().any(|scheme| scheme.get(credential).is_some()))
    }

    fn name(&self) -> String {
        format!("{} {}", self.method, self.path)
    }

    /// A request that the broker would accept with the right credentials.
    fn request(&self, fixture: &Fixture, grant: &str) -> RequestBuilder {
        let path = self
            .path
            .replace("{token_id}", &fixture.agent.auth_token[5..17])
            .replace("observations/{id}", "observations/obs-0000000000000000")
            .replace("break-glass-codes/{id}", "break-glass-codes/bg-000000000000")
            .replace("standing-approvals/{id}", "standing-approvals/sa-0000000000000000")
            .replace("{digest}", &"0".repeat(64))
            .replace("{source}", "scanner")
            .replace("{subject}", "agent%2Forders-agent")
            .replace("{id}", if self.path.contains("/agents/") { &fixture.agent.id } else { grant });
        let mut query = String::new();
        let mut headers = Vec::new();
        for parameter in self.described["parameters"].as_array().into_iter().flatten() {
            let name = parameter["name"].as_str().unwrap();
            match (parameter["in"].as_str().unwrap(), parameter["required"] == true, name) {
                ("path", ..) | (_, false, _) => {}
                ("query", true, "subject") => query = "?subject=carol".to_owned(),
                ("query", true, "since") => query = "?since=2026-01-01T00:00:00Z".to_owned(),
                ("query", true, "idempotency_key") => query = format!("?idempotency_key={}", new_key()),
                ("header", true, "Idempotency-Key") => headers.push((name, new_key())),
                other => panic!("{}: say here how to fill in {other:?}", self.name()),
            }
        }
        let mut request = fixture.broker.request(self.method.clone(), &format!("{path}{query}"));
        for (name, value) in headers {
            request = request.header(name, value);
        }
        match self.described.pointer("/requestBody/content").and_then(Value::as_object) {
            None => request,
            Some(content) => {
                let media_type = content.keys().next().unwrap();
                request.header("content-type", media_type).body(self.body(fixture, media_type))
            }
        }
    }

    fn body(&self, fixture: &Fixture, media_type: &str) -> String {
        match (media_type, self.path.as_str()) {
            ("application/toml", _) => registration(&fixture.agent.id, fixture.provider.issuer()),
            (_, "/v2/agentic/jit" | "/v2/observations") => fixture.body().to_string(),
            (_, "/v2/rules") => json!({"files": {}, "role": "active"}).to_string(),
            (_, "/v2/rules/rollout") => json!({"agents": ["*"]}).to_string(),
            (_, "/v2/rules/replay") => json!({"files": {}, "since": "2026-01-01T00:00:00Z"}).to_string(),
            (_, "/v2/posture/{source}/{subject}") => {
                json!({"ok": true, "as_of": "2026-01-01T00:00:00Z"}).to_string()
            }
            (_, "/v2/agentic/jit/{id}/actions" | "/v2/observations/{id}/actions") => {
                json!({"actions": [{"name": "orders:read", "count": 1}]}).to_string()
            }
            (_, "/v2/requests/{id}/votes") => {
                json!({"digest": "0".repeat(64), "choice": "approve"}).to_string()
            }
            (_, "/v2/standing-approvals") => {
                let policies = ["orders-read"];
                json!({"agent_id": fixture.agent.id, "policies": policies, "uses": 1, "lasts": "1h"})
                    .to_string()
            }
            (_, "/v2/break-glass") => {
                let (agent_id, policies) = (&fixture.agent.id, ["orders-read"]);
                json!({"agent_id": agent_id, "policies": policies, "ttl": "15m", "incident": "I", "reason": "r"})
                    .to_string()
            }
            (_, "/v2/break-glass/{id}/review") => json!({"note": "fine"}).to_string(),
            (_, "/v2/break-glass-codes") => {
                json!({"agents": ["*"], "count": 1, "label": "l", "days": 1}).to_string()
            }
            (_, "/v2/agents/{id}/tokens") => "{}".to_owned(),
            (_, "/v2/registrations/check") => {
                let file = registration(&fixture.agent.id, fixture.provider.issuer());
                json!({"registration": file}).to_string()
            }
            (_, "/v2/rules/test") => json!({"cases": ""}).to_string(),
            (_, "/v2/introspect") => "token=abc".to_owned(),
            (_, "/v2/reconcile") => "{}".to_owned(),
            _ => panic!("{}: say here what its body looks like", self.name()),
        }
    }
}

fn operations(fixture: &Fixture) -> Vec<Operation> {
    let document = http::send(fixture.broker.request(Method::GET, "/openapi.json")).expect(200).json;
    let paths = document["paths"].as_object().unwrap().clone();
    let operations: Vec<Operation> = paths
        .into_iter()
        .flat_map(|(path, item)| {
            let methods = item.as_object().unwrap().clone();
            methods.into_iter().filter(|(_, operation)| operation.get("responses").is_some()).map(
                move |(method, described)| Operation {
                    method: method.to_ascii_uppercase().parse().unwrap(),
                    path: path.clone(),
                    described,
                },
            )
        })
        .collect();
    assert!(operations.len() >= 19, "{}", operations.len());
    operations
}

fn guarded(fixture: &Fixture) -> Vec<Operation> {
    let mut operations = operations(fixture);
    operations.retain(|operation| {
        let path = operation.path.as_str();
        !PUBLIC.contains(&path) && path != SIGNED && operation.name() != EXCHANGE
    });
    operations
}

#[test]
fn every_endpoint_refuses_requests_without_credentials() {
    let fixture = Fixture::start();
    let grant = fixture.elevate().expect(201).text_at("/id").to_owned();
    let before = fixture.broker.timeline(&grant);
    let forged = protocol::AuthToken::from_random([7; 6], [9; 24]).secret().reveal().to_owned();
    let cut = &fixture.agent.auth_token[..40];
    let operator_cut = &fixture.broker.operator_token()[..40];
    let mut wrong = Vec::new();
    for operation in guarded(&fixture) {
        let request = || operation.request(&fixture, &grant);
        for (how, request) in [
            ("nothing", request()),
            ("an empty bearer", request().header("authorization", "Bearer ")),
            ("basic", request().basic_auth("operator", Some(fixture.broker.operator_token()))),
            ("nonsense", request().bearer_auth("nonsense")),
            ("a forged token", request().bearer_auth(&forged)),
            ("half a token", request().bearer_auth(cut)),
            ("half an operator token", request().bearer_auth(operator_cut)),
            ("an OIDC token", request().bearer_auth(fixture.oidc_token())),
        ] {
            let answer = http::send(request);
            let challenged = answer.headers.iter().any(|(name, _)| name == "www-authenticate");
            if answer.status != 401 || !challenged {
                wrong.push(format!("{} with {how}: {} {}", operation.name(), answer.status, answer.text));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(fixture.broker.given().len(), 1);
    assert_eq!(fixture.broker.timeline(&grant), before, "a refused request had an effect");
    fixture.elevate().expect(201);
}

#[test]
fn every_endpoint_refuses_another_agents_token() {
    let fixture = Fixture::start();
    let stranger = fixture.another_agent("billing-agent");
    let grant = fixture.elevate().expect(201).text_at("/id").to_owned();
    let mut wrong = Vec::new();
    for operation in guarded(&fixture) {
        let answer = http::send(operation.request(&fixture, &grant).bearer_auth(&stranger.auth_token));
        // The body of an elevation names the fixture's agent, which is not the stranger.
        let expected = match operation.name().as_str() {
            "POST /v2/agentic/jit" | "POST /v2/observations" => (401, "agent_mismatch"),
            "POST /v2/observations/{id}/actions" => (404, "observation_not_found"),
            "GET /v2/sessions/current" | "DELETE /v2/sessions/current" => (401, "session_ended"),
            _ if operation.accepts("auth_token") => (404, "grant_not_found"),
            _ => (401, "auth_token_invalid"),
        };
        if answer.outcome() != expected {
            wrong.push(format!(
                "{}: expected {expected:?}, found {} {}",
                operation.name(),
                answer.status,
                answer.text
            ));
        }
        for secret in ["octo/my-app", &fixture.agent.auth_token] {
            if answer.text.contains(secret) {
                wrong.push(format!("{}: tells `{secret}`", operation.name()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(fixture.broker.live().len(), 1);
}

#[test]
fn operator_endpoints_refuse_agent_and_introspection_tokens() {
    let fixture = Fixture::start();
    let grant = fixture.elevate().expect(201).text_at("/id").to_owned();
    for operation in guarded(&fixture) {
        if !operation.accepts("auth_token") {
            let answer =
                http::send(operation.request(&fixture, &grant).bearer_auth(&fixture.agent.auth_token));
            assert_eq!(answer.status, 401, "{} with the agent's own token", operation.name());
        }
        if !operation.accepts("introspection_token") {
            let token = fixture.broker.introspection_token();
            let answer = http::send(operation.request(&fixture, &grant).bearer_auth(token));
            assert_eq!(answer.status, 401, "{} with an introspection token", operation.name());
        }
    }
}

#[test]
fn every_endpoint_refuses_a_person_without_rights() {
    let fixture = Fixture::start();
    let people = json!({"carol": {"name": "Carol Example", "groups": ["sales"]}});
    let provider = PeopleProvider::start(&fixture.broker, &people, ProviderOptions::default()).unwrap();
    let rules = r#"@id("platform") permit (principal in Team::"platform", action, resource);"#;
    people::configure(&fixture.broker, &provider, rules, "");
    let grant = fixture.elevate().expect(201).text_at("/id").to_owned();
    let token = people::session(&fixture.broker, "carol");
    let mut wrong = Vec::new();
    let mut tried = 0;
    for operation in guarded(&fixture).into_iter().filter(|one| one.path != "/v2/sessions/current") {
        let answer = http::send(operation.request(&fixture, &grant).bearer_auth(&token));
        let for_persons = operation.accepts("session_token");
        let expected: &[(u16, &str)] = match for_persons {
            // The list has what is of agents that the person may see: nothing.
            true if ["/v2/requests", "/v2/notifications"].contains(&operation.path.as_str()) => &[(200, "")],
            true if ["GET /v2/break-glass", "GET /v2/agentic/jit", "GET /v2/agents"]
                .contains(&operation.name().as_str()) =>
            {
                &[(200, "")]
            }
            true if operation.path == "/v2/break-glass" => &[(404, "agent_not_found")],
            true if operation.path.starts_with("/v2/break-glass/") => &[(404, "grant_not_found")],
            true if operation.name() == "GET /v2/standing-approvals" => &[(200, "")],
            true if operation.path == "/v2/standing-approvals" => &[(404, "agent_not_found")],
            true if operation.path.starts_with("/v2/standing-approvals/") => {
                &[(404, "standing_approval_not_found")]
            }
            true if operation.path.starts_with("/v2/requests/") => &[(404, "grant_not_found")],
            true if operation.accepts("auth_token") => &[(404, "grant_not_found")],
            true => &[(403, "not_permitted")],
            false => &[(401, "auth_token_invalid"), (404, "grant_not_found")],
        };
        tried += usize::from(for_persons);
        if !expected.contains(&answer.outcome()) {
            let (name, found) = (operation.name(), answer.outcome());
            wrong.push(format!("{name}: expected one of {expected:?}, found {found:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(tried >= 20, "{tried} operations are for persons");
    assert_eq!(fixture.broker.live().len(), 1);
}

#[test]
fn public_endpoints_reveal_no_agent_and_no_grant() {
    let fixture = Fixture::start();
    let grant = fixture.elevate().expect(201);
    let open: Vec<Operation> = operations(&fixture)
        .into_iter()
        .filter(|operation| PUBLIC.contains(&operation.path.as_str()))
        .collect();
    assert_eq!(open.len(), PUBLIC.len());
    for operation in open {
        let answer = http::send(operation.request(&fixture, "")).expect(200);
        for secret in [&fixture.agent.id, grant.text_at("/id"), "octo/my-app", "PRIVATE"] {
            assert!(!answer.text.contains(secret), "{}: {}", operation.name(), answer.text);
        }
    }
}

#[test]
fn a_body_of_ten_megabytes_is_refused_and_not_kept() {
    let fixture = Fixture::start();
    fixture.elevate().expect(201);
    let before = resident(fixture.broker.pid());
    for operation in guarded(&fixture) {
        if operation.described.get("requestBody").is_none() {
            continue;
        }
        for (who, token) in [("a stranger", "nonsense"), ("the operator", fixture.broker.operator_token())] {
            let path = operation.path.replace("{id}", &fixture.agent.id);
            let media_type =
                operation.described["requestBody"]["content"].as_object().unwrap().keys().next().unwrap();
            let path = path
                .replace("jit/orders-agent", "jit/elev-0000000000000000")
                .replace("requests/orders-agent", "requests/elev-0000000000000000")
                .replace("break-glass/orders-agent", "break-glass/elev-0000000000000000")
                .replace("{source}/{subject}", "scanner/agent%2Forders-agent");
            let status = post_ten_megabytes(&fixture, operation.method.as_str(), &path, media_type, token);
            assert_eq!(status, 413, "{} by {who}", operation.name());
        }
    }
    let grown = resident(fixture.broker.pid()).saturating_sub(before);
    assert!(grown < 8 * 1024, "the broker has grown by {grown} kB");
    fixture.elevate().expect(201);
}

/// Writes the request by hand: on an early refusal most HTTP clients report a broken connection instead of the status.
fn post_ten_megabytes(fixture: &Fixture, method: &str, path: &str, media_type: &str, token: &str) -> u16 {
    let mut stream = TcpStream::connect(fixture.broker.url().trim_start_matches("http://")).unwrap();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: broker\r\nAuthorization: Bearer {token}\r\nIdempotency-Key: {}\r\n\
         Content-Type: {media_type}\r\nContent-Length: {}\r\n\r\n",
        new_key(),
        10 << 20
    );
    stream.write_all(head.as_bytes()).unwrap();
    let chunk = vec![b'{'; 64 * 1024];
    for _ in 0..160 {
        // The broker has refused already, and its response is still to be read.
        if stream.write_all(&chunk).is_err() {
            break;
        }
    }
    let mut answer = Vec::new();
    let mut buffer = [0; 4096];
    while let Ok(read @ 1..) = stream.read(&mut buffer) {
        answer.extend_from_slice(&buffer[..read]);
        if answer.windows(4).any(|window| window == b"\r\n\r\n") {
            break;
        }
    }
    let text = String::from_utf8_lossy(&answer).into_owned();
    text.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default()
}

/// The resident memory of a process in kB.
fn resident(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[test]
fn an_agent_that_asks_too_often_waits_and_the_others_do_not() {
    let fixture = Fixture::with(Broker::with_pace(3));
    let other: Agent = fixture.another_agent("billing-agent");
    for _ in 0..3 {
        fixture.elevate().expect(201);
    }
    let refused = fixture.elevate();
    assert_eq!(refused.outcome(), (429, "rate_limited"));
    let wait = refused.headers.iter().find(|(name, _)| name == "retry-after").unwrap();
    assert!((1..=21).contains(&wait.1.parse::<u32>().unwrap()), "{wait:?}");
    let mut body = fixture.body();
    body["agent_id"] = json!(other.id);
    let theirs = http::send(system_tests::fixture::elevation(&fixture.broker, &other, &new_key(), &body));
    assert_ne!(theirs.status, 429, "{}", theirs.text);
    let id = fixture.broker.live()[0]["id"].as_str().unwrap().to_owned();
    let back = fixture.broker.request(Method::DELETE, &format!("/v2/agentic/jit/{id}"));
    http::send(back.bearer_auth(&fixture.agent.auth_token)).expect(200);
}
