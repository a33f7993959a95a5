//! A broker that answers the calls of a client in order with a script, and reports each call to the test.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse as _, Response};
use jit_client::Env;
use jit_client::protocol::auth_token::AuthToken;
use jit_client::protocol::routes::{GRANTS, IDEMPOTENCY_KEY};
use serde_json::{Value, json};
use tokio::sync::mpsc;

/// The answer to one call.
pub(crate) enum Reply {
    /// Status 200 and this document.
    Json(Value),
    /// A problem document.
    Problem {
        /// The HTTP status.
        status: u16,
        /// The error code.
        code: &'static str,
    },
    /// The connection breaks.
    Lost,
    /// No answer comes.
    Never,
}

/// One call that the broker received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Call {
    Elevate { key: String, heartbeat: bool },
    Heartbeat { key: String },
    RevokeById { cause: String },
    RevokeByKey { key: String },
    Other(String),
}

pub(crate) struct ScriptedBroker {
    url: String,
    calls: mpsc::UnboundedReceiver<Call>,
}

#[derive(Clone)]
struct Script {
    replies: Arc<Mutex<VecDeque<Reply>>>,
    calls: mpsc::UnboundedSender<Call>,
}

fn grant(status: &str, credentials: Value, heartbeat_seconds: Value) -> Reply {
    Reply::Json(json!({
        "id": "elev-0000000000000001",
        "status": status,
        "agent_id": "agent-deploy",
        "policies": ["orders-write"],
        "target": "token",
        "scope": "token",
        "ttl": "15m",
        "requested_at": "2026-06-08T10:00:00.000Z",
        "expires_at": "2026-06-08T10:15:00.000Z",
        "enforced_by": "broker",
        "heartbeat_seconds": heartbeat_seconds,
        "provenance": {},
        "credentials": credentials,
    }))
}

impl Reply {
    /// An active grant with a token and a heartbeat every second.
    pub(crate) fn active() -> Self {
        grant("active", json!({ "type": "token", "token": "the token of the grant" }), json!(1))
    }

    /// An active grant with a token and no heartbeats.
    pub(crate) fn active_until_deadline() -> Self {
        grant("active", json!({ "type": "token", "token": "the token of the grant" }), Value::Null)
    }

    /// A grant that failed to become active.
    pub(crate) fn rolling_back() -> Self {
        grant("rolling_back", Value::Null, Value::Null)
    }

    /// A grant that is gone.
    pub(crate) fn revoked() -> Self {
        grant("revoked", Value::Null, Value::Null)
    }
}

impl ScriptedBroker {
    /// Answers call after call with these, and never answers a call after them.
    pub(crate) async fn start(replies: impl IntoIterator<Item = Reply>) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (sender, calls) = mpsc::unbounded_channel();
        let script = Script { replies: Arc::new(Mutex::new(replies.into_iter().collect())), calls: sender };
        let app = Router::new().fallback(answer).with_state(script);
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { url, calls }
    }

    /// The environment of an agent of this broker, without a CI platform.
    pub(crate) fn env(&self) -> Env {
        let auth_token = AuthToken::from_random([1; 6], [2; 24]);
        Env::from_pairs([
            ("CLOUDANIX_URL", self.url.as_str()),
            ("CLOUDANIX_AUTH_TOKEN", auth_token.secret().reveal()),
            ("CLOUDANIX_AGENT_ID", "agent-deploy"),
            ("CLOUDANIX_PLATFORM", "none"),
        ])
    }

    /// Waits for the next call.
    pub(crate) async fn next(&mut self) -> Call {
        self.calls.recv().await.unwrap()
    }

    /// Fails the test if there was another call.
    pub(crate) async fn expect_no_call_until_now(&mut self) {
        // Lets every task of the runtime run.
        for _ in 0..1000 {
            tokio::task::yield_now().await;
        }
        if let Ok(call) = self.calls.try_recv() {
            panic!("unexpected: {call:?}");
        }
    }
}

async fn answer(
    State(script): State<Script>,
    method: Method,
    uri: Uri,
    Query(query): Query<Vec<(String, String)>>,
    headers: HeaderMap,
    body: String,
) -> Response {
    let query = |name: &str| query.iter().find(|(found, _)| found == name).map(|(_, value)| value.clone());
    let key = headers.get(IDEMPOTENCY_KEY).map(|key| key.to_str().unwrap().to_owned()).unwrap_or_default();
    let call = match (method.as_str(), uri.path()) {
        ("POST", GRANTS) => {
            let body: Value = serde_json::from_str(&body).unwrap();
            Call::Elevate { key, heartbeat: body.get("heartbeat") == Some(&json!(true)) }
        }
        ("POST", path) if path.ends_with("/heartbeat") => Call::Heartbeat { key },
        ("DELETE", GRANTS) => Call::RevokeByKey { key: query("idempotency_key").unwrap() },
        ("DELETE", _) => Call::RevokeById { cause: query("cause").unwrap() },
        (method, path) => Call::Other(format!("{method} {path}")),
    };
    let reply = script.replies.lock().unwrap().pop_front().unwrap_or(Reply::Never);
    script.calls.send(call).unwrap();
    match reply {
        Reply::Json(document) => axum::Json(document).into_response(),
        Reply::Problem { status, code } => {
            let problem = json!({
                "type": "about:blank", "title": "refused", "status": status, "code": code,
                "detail": "the detail of the test", "hint": "the hint of the test",
            });
            let status = StatusCode::from_u16(status).unwrap();
            let media_type = [(header::CONTENT_TYPE, "application/problem+json")];
            (status, media_type, problem.to_string()).into_response()
        }
        // A panic in the handler closes the connection without an answer.
        Reply::Lost => panic!("the script breaks the connection"),
        Reply::Never => std::future::pending().await,
    }
}
