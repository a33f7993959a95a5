//! A person who approves what waits at a broker.

use reqwest::Method;
use serde_json::{Value, json};

use crate::broker::Broker;
use crate::http;
use crate::people::{self, PeopleProvider, ProviderOptions};
use crate::waiting::eventually;

const PERSONS: &str = r#"@id("all") permit (principal, action, resource);"#;
const ASKING: &str = r#"
@id("all") permit (principal, action, resource);
@id("a-person") @hint("ask in #platform") forbid (principal, action == Action::"elevate_unattended", resource);
"#;

/// A signed-in person at a broker whose rules ask for one.
pub struct Approver<'a> {
    broker: &'a Broker,
    session: String,
    _provider: PeopleProvider,
}

impl<'a> Approver<'a> {
    /// From now on the broker's rules ask for an approval.
    #[track_caller]
    pub fn at(broker: &'a Broker) -> Self {
        let alice = json!({"alice": {"name": "Alice Example", "preferred_username": "alice"}});
        let provider = PeopleProvider::start(broker, &alice, ProviderOptions::default()).expect("a provider");
        let claims = ["github", "gitlab", "bitbucket"].map(|at| format!("{at} = \"preferred_username\""));
        let accounts = format!("accounts = {{ {} }}", claims.join(", "));
        people::configure(broker, &provider, PERSONS, &accounts);
        let rules = json!({"files": {"asking.cedar": ASKING}, "role": "active"});
        let apply = broker.request(Method::POST, "/v2/rules").bearer_auth(broker.operator_token());
        http::send(apply.json(&rules)).expect(200);
        Self { broker, session: people::session(broker, "alice"), _provider: provider }
    }

    /// Waits for a request and approves it. Returns the id of its grant.
    #[track_caller]
    pub fn approve_next(&self) -> String {
        let grant = eventually("a request that waits", || {
            let listing = self.broker.request(Method::GET, "/v2/requests").bearer_auth(&self.session);
            let listed = http::send(listing).expect(200).json;
            listed.pointer("/requests/0/grant").cloned()
        });
        let text = |at: &str| grant.pointer(at).and_then(Value::as_str).expect("a text").to_owned();
        let id = text("/id");
        let vote = json!({"digest": text("/approval/digest"), "choice": "approve"});
        let voting = self.broker.request(Method::POST, &format!("/v2/requests/{id}/votes"));
        http::send(voting.bearer_auth(&self.session).json(&vote)).expect(200);
        id
    }
}
