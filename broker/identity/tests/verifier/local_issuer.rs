//! A configurable issuer on the loopback address, which counts requests.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::Response;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use crate::signed::Key;

pub(crate) const DISCOVERY: &str = "/.well-known/openid-configuration";
pub(crate) const KEYS: &str = "/keys";

#[derive(Clone)]
struct Answer {
    status: u16,
    header: Option<(&'static str, String)>,
    body: String,
}

#[derive(Default)]
struct Says {
    answers: HashMap<&'static str, Answer>,
    asked: HashMap<String, usize>,
}

struct Inner {
    says: Mutex<Says>,
    gate: Semaphore,
}

/// An issuer that stops with the test's runtime.
pub(crate) struct LocalIssuer {
    pub(crate) url: String,
    inner: Arc<Inner>,
}

impl LocalIssuer {
    /// Publishes these keys.
    pub(crate) async fn start(keys: &[Key]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let inner = Arc::new(Inner { says: Mutex::default(), gate: Semaphore::new(Semaphore::MAX_PERMITS) });
        let router = Router::new().fallback(answer).with_state(Arc::clone(&inner));
        tokio::spawn(async move { axum::serve(listener, router).await });
        let issuer = Self { url, inner };
        issuer.describes(&issuer.url, &format!("{}{KEYS}", issuer.url));
        issuer.publishes(keys);
        issuer
    }

    /// The discovery document, without an authorization endpoint, like GitHub's.
    pub(crate) fn describes(&self, issuer: &str, jwks_uri: &str) {
        let document = json!({ "issuer": issuer, "jwks_uri": jwks_uri });
        self.says(DISCOVERY, 200, None, &document.to_string());
    }

    pub(crate) fn publishes(&self, keys: &[Key]) {
        self.says(KEYS, 200, None, &key_set(keys));
    }

    pub(crate) fn publishes_for(&self, keys: &[Key], cache_control: &str) {
        self.says(KEYS, 200, Some(("cache-control", cache_control.to_owned())), &key_set(keys));
    }

    /// Sets the response to every request.
    pub(crate) fn is_down(&self) {
        self.says(DISCOVERY, 500, None, "{}");
    }

    pub(crate) fn says(
        &self,
        path: &'static str,
        status: u16,
        header: Option<(&'static str, String)>,
        body: &str,
    ) {
        let answer = Answer { status, header, body: body.to_owned() };
        self.inner.says.lock().unwrap().answers.insert(path, answer);
    }

    /// The number of requests for this path.
    pub(crate) fn asked(&self, path: &str) -> usize {
        self.inner.says.lock().unwrap().asked.get(path).copied().unwrap_or_default()
    }

    pub(crate) fn asked_for_anything(&self) -> usize {
        self.inner.says.lock().unwrap().asked.values().sum()
    }

    /// Stops answering until [`Self::opens`].
    pub(crate) fn closes(&self) {
        while self.inner.gate.forget_permits(usize::MAX) > 0 {}
    }

    pub(crate) fn opens(&self) {
        self.inner.gate.add_permits(1000);
    }
}

fn key_set(keys: &[Key]) -> String {
    json!({ "keys": keys.iter().map(Key::public).collect::<Vec<Value>>() }).to_string()
}

async fn answer(State(inner): State<Arc<Inner>>, request: Request) -> Response<Body> {
    let answer = {
        let mut says = inner.says.lock().unwrap();
        let path = request.uri().path().to_owned();
        let answer = says.answers.get(path.as_str()).cloned();
        *says.asked.entry(path).or_default() += 1;
        answer
    };
    let _open = inner.gate.acquire().await.unwrap();
    let answer = answer.unwrap_or(Answer { status: 404, header: None, body: String::new() });
    let mut response = Response::builder().status(answer.status);
    if let Some((name, value)) = answer.header {
        response = response.header(name, value);
    }
    response.body(Body::from(answer.body)).unwrap()
}
