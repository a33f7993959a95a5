//! Persons sign in at a complete provider that others wrote, and do what operators do.

mod agents;
mod approvals;
mod break_glass;
mod browser;
mod console;
mod ended;
mod hostile;
mod live;
mod notifications;
mod rights;
mod routes;
mod rules;
mod sign_in;

use serde_json::{Value, json};
use system_tests::client::{Client, Finished};
use system_tests::fixture::Fixture;
use system_tests::people::{Browser, PeopleProvider, ProviderOptions, configure};

/// Who is who in these tests: Alice may do everything, Bob sees one team's agents, Carol may do nothing.
const RULES: &str = r#"
@id("platform")
permit (principal in Team::"platform", action, resource);

@id("orders-team")
permit (principal in Team::"orders", action == Action::"view", resource in Group::"orders");
"#;

fn people() -> Value {
    json!({
        "alice": {"name": "Alice Example", "groups": ["platform", "everyone"], "preferred_username": "alice"},
        "bob": {"name": "Bob Example", "groups": ["orders"]},
        "carol": {"name": "Carol Example", "groups": []},
        // Without an account at GitLab.
        "dana": {"name": "Dana Example", "groups": ["platform"]},
        "erin": {"name": "Erin Example", "groups": ["platform"], "preferred_username": "erin"},
        // The account that starts the runs.
        "octo": {"name": "Octo Example", "groups": ["platform"], "preferred_username": "OctoCat"},
    })
}

/// A broker with an agent at which persons sign in.
struct Signing {
    fixture: Fixture,
    provider: PeopleProvider,
}

/// A person's machine: a browser, and the folder in which the client keeps sessions.
struct Person {
    name: &'static str,
    browser: Browser,
    home: tempfile::TempDir,
}

impl Person {
    fn new(name: &'static str) -> Self {
        Self { name, browser: Browser::default(), home: tempfile::tempdir().unwrap() }
    }

    /// The client of the person at this broker.
    fn client(&self, broker: &str, arguments: &[&str]) -> Client {
        Client::new(arguments).env("CLOUDANIX_URL", broker).env("HOME", self.home.path())
    }

    fn run(&self, signing: &Signing, arguments: &[&str]) -> Finished {
        self.client(signing.fixture.broker.url(), arguments).finish()
    }

    /// Signs in with the client and the browser that it opens.
    #[track_caller]
    fn login(&mut self, signing: &Signing, more: &[&str]) -> Finished {
        let arguments = [&["login"], more].concat();
        let client = self.client(signing.fixture.broker.url(), &arguments);
        let mut running = client.program("xdg-open", "printf '%s\\n' \"$1\" > opened").start();
        let address = running.line_in("opened");
        let page = self.browser.sign_in(&address, self.name);
        assert_eq!(page.status, 200, "{}", page.text);
        running.finish()
    }
}

impl Signing {
    fn start() -> Self {
        Self::with(ProviderOptions::default(), "")
    }

    fn with(options: ProviderOptions<'_>, more: &str) -> Self {
        let fixture = Fixture::start();
        let provider = PeopleProvider::start(&fixture.broker, &people(), options).unwrap();
        configure(&fixture.broker, &provider, RULES, more);
        Self { fixture, provider }
    }

    #[track_caller]
    fn signed_in(&self, name: &'static str) -> Person {
        let mut person = Person::new(name);
        person.login(self, &[]).assert_code(0);
        person
    }
}
