//! Requests to the broker as operator, agent and resource server.

use reqwest::Method;
use serde_json::Value;

use super::Broker;
use crate::http::{self, Answer};
use crate::waiting::eventually;

impl Broker {
    /// Sends a request as the operator.
    #[track_caller]
    pub fn operator(&self, method: Method, path: &str) -> Answer {
        http::send(self.request(method, path).bearer_auth(&self.operator.token))
    }

    /// Builds a request to a path of the broker.
    pub fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let url = format!("{}{path}", self.url);
        match &self.client {
            Some(client) => client.request(method, url),
            None => http::request(method, &url),
        }
    }

    /// Registers an agent and returns its auth token.
    #[track_caller]
    pub fn register(&self, registration: &str) -> String {
        let answer = http::send(
            self.request(Method::POST, "/v2/agents")
                .bearer_auth(&self.operator.token)
                .header("content-type", "application/toml")
                .body(registration.to_owned()),
        );
        answer.expect(201).text_at("/auth_token").to_owned()
    }

    /// All live grants, as the operator sees them.
    #[track_caller]
    pub fn live(&self) -> Vec<Value> {
        self.grants("live")
    }

    /// All grants except denied requests.
    #[track_caller]
    pub fn given(&self) -> Vec<Value> {
        let mut grants = self.grants("all");
        grants.retain(|grant| grant.get("status").and_then(Value::as_str) != Some("denied"));
        grants
    }

    /// All grants in this state (`live`, `ended`, `all`), over all pages.
    #[track_caller]
    pub fn grants(&self, state: &str) -> Vec<Value> {
        let mut grants = Vec::new();
        let mut after = String::new();
        loop {
            let page = self
                .operator(Method::GET, &format!("/v2/agentic/jit?state={state}&limit=200{after}"))
                .expect(200);
            grants.extend(page.json.pointer("/grants").and_then(Value::as_array).unwrap().clone());
            match page.text_at("/next") {
                "" => return grants,
                next => after = format!("&after={next}"),
            }
        }
    }

    /// Waits until no grant is live.
    #[track_caller]
    pub fn wait_until_nothing_is_live(&self) {
        eventually("the end of every grant", || self.live().is_empty().then_some(()));
    }

    /// A grant's timeline. Fails the test if its chain is broken.
    #[track_caller]
    pub fn timeline(&self, id: &str) -> Value {
        let timeline = self.operator(Method::GET, &format!("/v2/agentic/jit/{id}/timeline")).expect(200).json;
        assert_eq!(timeline.get("intact"), Some(&Value::Bool(true)), "{timeline}");
        timeline
    }

    /// The response to a resource server's introspection of a token.
    #[track_caller]
    pub fn introspect(&self, token: &str) -> Value {
        let answer = http::send(
            self.request(Method::POST, "/v2/introspect")
                .bearer_auth(&self.introspection.token)
                .header("content-type", "application/x-www-form-urlencoded")
                .body(format!("token={token}")),
        );
        answer.expect(200).json
    }
}
