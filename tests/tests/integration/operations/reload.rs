//! The settings that a running broker reloads from changed files, and those that need a restart.

use std::fs;
use std::path::PathBuf;

use reqwest::Method;
use system_tests::broker::{Broker, NO_RATE_LIMIT};
use system_tests::certificates::put;
use system_tests::fixture::{Fixture, new_key, registration};
use system_tests::http;
use system_tests::oidc_provider::OidcProvider;
use system_tests::waiting::eventually;
use tempfile::TempDir;

/// A broker with a folder of agents, which is empty at first.
struct Watching {
    broker: Broker,
    provider: OidcProvider,
    folder: TempDir,
}

impl Watching {
    fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let broker = Broker::start();
        let agents = format!("agents = \"{}\"\nlisten =", folder.path().display());
        broker.reconfigure(|text| text.replacen("listen =", &agents, 1));
        broker.hang_up();
        eventually("the new configuration", || {
            broker.log().contains("configuration read again").then_some(())
        });
        Self { broker, provider: OidcProvider::start().expect("a provider"), folder }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn registration(&self, id: &str) -> String {
        registration(id, self.provider.issuer())
    }

    fn is_there(&self, id: &str) -> bool {
        self.broker.operator(Method::GET, &format!("/v2/agents/{id}")).status == 200
    }

    #[track_caller]
    fn wait_for(&self, id: &str) {
        eventually(id, || self.is_there(id).then_some(()));
    }

    /// Waits until the log has this text.
    #[track_caller]
    fn wait_for_line(&self, said: &str) {
        eventually(said, || self.broker.log().contains(said).then_some(()));
    }
}

#[test]
fn agents_are_registered_from_new_files_with_and_without_a_signal() {
    let here = Watching::start();
    put(&here.file("a.toml"), &here.registration("a-agent"));
    here.broker.hang_up();
    here.wait_for("a-agent");
    put(&here.file("b.toml"), &here.registration("b-agent"));
    here.wait_for("b-agent");
    // Removing a registration's file removes no agent.
    fs::remove_file(here.file("a.toml")).expect("the file was there");
    put(&here.file("c.toml"), &here.registration("c-agent"));
    here.broker.hang_up();
    here.wait_for("c-agent");
    assert!(here.is_there("a-agent"));
}

#[test]
fn one_invalid_file_prevents_every_change() {
    let here = Watching::start();
    put(&here.file("a.toml"), &here.registration("a-agent"));
    put(&here.file("b.toml"), "id = \"b-agent\"");
    here.broker.hang_up();
    here.wait_for_line("the agents stay as they were");
    let log = here.broker.log();
    assert!(log.contains(&format!("`{}`: ", here.file("b.toml").display())), "{log}");
    assert!(!here.is_there("a-agent"));
    // Two files for one agent are ambiguous, so the broker refuses the reload.
    put(&here.file("b.toml"), &here.registration("a-agent"));
    here.broker.hang_up();
    here.wait_for_line("`id`: another file is of agent `a-agent` too");
    assert!(!here.is_there("a-agent"));
    put(&here.file("b.toml"), &here.registration("b-agent"));
    here.broker.hang_up();
    here.wait_for("a-agent");
    here.wait_for("b-agent");
}

#[test]
fn limits_and_token_hashes_hold_from_the_signal_on() {
    let fixture = Fixture::start();
    let broker = &fixture.broker;
    let mut body = fixture.body();
    body["heartbeat"] = true.into();
    let beats_every = |seconds: u32| {
        let grant = http::send(fixture.elevation(&new_key(), &body)).expect(201);
        assert_eq!(grant.json["heartbeat_seconds"], seconds, "{}", grant.text);
    };
    beats_every(10);
    broker.reconfigure(|text| {
        let text = text.replace(NO_RATE_LIMIT, "elevations_per_minute = 1\nheartbeat = \"7s\"");
        // Makes the introspector's token the operator's; the operator's former token becomes invalid.
        let hash = text.lines().find_map(|line| line.strip_prefix("introspectors.tests."));
        let kept: Vec<&str> = text.lines().filter(|line| !line.contains(".sha256 = ")).collect();
        format!("operators.second.{}\n{}\n", hash.expect("a hash"), kept.join("\n"))
    });
    broker.hang_up();
    let list = |token: &str| http::send(broker.request(Method::GET, "/v2/agents").bearer_auth(token)).status;
    eventually("the new operator", || (list(broker.introspection_token()) == 200).then_some(()));
    assert_eq!(list(broker.operator_token()), 401);
    beats_every(7);
    assert_eq!(fixture.elevate().outcome(), (429, "rate_limited"));
    assert!(!broker.log().contains("needs a restart"), "{}", broker.log());
}

#[test]
fn a_configuration_with_an_error_changes_nothing_and_says_which_key() {
    let fixture = Fixture::start();
    fixture.broker.reconfigure(|text| {
        text.replace("elevations_per_minute = 1000000", "elevations_per_minute = 1\nsigning_key_days = 0")
    });
    fixture.broker.hang_up();
    eventually("the reason", || {
        fixture.broker.log().contains("`limits.signing_key_days`: expected at least 1, found 0").then_some(())
    });
    for _ in 0..5 {
        fixture.elevate().expect(201);
    }
}

#[test]
fn settings_that_need_a_restart_are_named_and_unchanged() {
    let fixture = Fixture::start();
    let url = fixture.broker.url().to_owned();
    fixture.broker.reconfigure(|text| {
        let text = text.replacen(&format!("url = \"{url}\""), "url = \"https://elsewhere.example.com\"", 1);
        text.replacen("database = \"sqlite:", "database = \"sqlite:/elsewhere", 1)
    });
    fixture.broker.hang_up();
    eventually("the warnings", || {
        let log = fixture.broker.log();
        let named = |key: &str| {
            log.lines().any(|line| line.contains("needs a restart") && line.contains(&format!("\"{key}\"")))
        };
        (named("url") && named("database") && !named("listen")).then_some(())
    });
    let discovery = fixture.broker.request(Method::GET, "/.well-known/openid-configuration");
    assert_eq!(http::send(discovery).text_at("/issuer"), url);
    fixture.elevate().expect(201);
}
