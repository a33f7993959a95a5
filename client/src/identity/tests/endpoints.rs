//! Requests for tokens over HTTP, against a real server.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};

use super::*;

/// One request as the server received it.
#[derive(Debug, Clone)]
struct TokenRequest {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: String,
}

type Answers = Arc<Mutex<(Vec<(StatusCode, String)>, Vec<TokenRequest>)>>;

/// A platform that returns these answers in turn, and then repeats the last one.
struct FakePlatform {
    address: String,
    state: Answers,
}

impl FakePlatform {
    async fn answering(answers: &[(u16, &str)]) -> Self {
        let answers = answers
            .iter()
            .map(|(status, body)| (StatusCode::from_u16(*status).unwrap(), (*body).to_owned()))
            .collect();
        let state: Answers = Arc::new(Mutex::new((answers, Vec::new())));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let app = Router::new().fallback(answer).with_state(Arc::clone(&state));
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { address, state }
    }

    fn requests(&self) -> Vec<TokenRequest> {
        self.state.lock().unwrap().1.clone()
    }

    fn github(&self) -> Identity {
        found(&[
            ("GITHUB_ACTIONS", "true"),
            ("ACTIONS_ID_TOKEN_REQUEST_URL", &format!("{}/token?api-version=2.0", self.address)),
            ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "hunter2"),
        ])
        .unwrap()
        .unwrap()
    }

    fn buildkite(&self) -> Identity {
        found(&[
            ("BUILDKITE", "true"),
            ("BUILDKITE_AGENT_ENDPOINT", &format!("{}/v3/", self.address)),
            ("BUILDKITE_AGENT_ACCESS_TOKEN", "hunter2"),
            ("BUILDKITE_JOB_ID", "job/1?x"),
        ])
        .unwrap()
        .unwrap()
    }

    fn azure(&self, extra: &[(&str, &str)]) -> Identity {
        let address = format!("{}/oidctoken", self.address);
        let mut pairs = vec![
            ("TF_BUILD", "True"),
            ("SYSTEM_OIDCREQUESTURI", &address),
            ("SYSTEM_ACCESSTOKEN", "hunter2"),
        ];
        pairs.extend_from_slice(extra);
        found(&pairs).unwrap().unwrap()
    }
}

async fn answer(
    State(state): State<Answers>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let mut state = state.lock().unwrap();
    let body = String::from_utf8(body.to_vec()).unwrap();
    state.1.push(TokenRequest { method, uri, headers, body });
    let (status, body) = if state.0.len() > 1 { state.0.remove(0) } else { state.0[0].clone() };
    (status, [("location", "/elsewhere")], body).into_response()
}

fn field(name: &str, audience: &str) -> String {
    serde_json::json!({ name: fake_token(audience).reveal() }).to_string()
}

/// The error for these answers, without pauses between attempts.
async fn refused(platform: &FakePlatform) -> IdentityError {
    let TokenSource::Endpoint(endpoint) = platform.github().source else { panic!("github has no endpoint") };
    endpoint.fetch_with(&http(), "cloudanix-jit", &[Duration::ZERO; 2]).await.unwrap_err()
}

#[tokio::test]
async fn the_request_to_github_has_the_encoded_audience_for_each_token() {
    let audience = "https://jit.example/?a=1&b=ü";
    let platform = FakePlatform::answering(&[(200, &field("value", audience))]).await;
    let identity = platform.github();
    for _ in 0..2 {
        let token = identity.token(&http(), audience, now()).await.unwrap();
        assert_eq!(token.reveal(), fake_token(audience).reveal());
    }
    let requests = platform.requests();
    assert_eq!(requests.len(), 2);
    assert_eq!(requests[0].method, Method::GET);
    assert_eq!(
        requests[0].uri.to_string(),
        "/token?api-version=2.0&audience=https%3A%2F%2Fjit.example%2F%3Fa%3D1%26b%3D%C3%BC"
    );
    assert_eq!(requests[0].headers["authorization"], "Bearer hunter2");
}

#[tokio::test]
async fn the_request_to_buildkite_names_the_job() {
    let platform = FakePlatform::answering(&[(200, &field("token", "cloudanix-jit"))]).await;
    platform.buildkite().token(&http(), "cloudanix-jit", now()).await.unwrap();
    let requests = &platform.requests()[0];
    assert_eq!((requests.method.as_str(), requests.uri.path()), ("POST", "/v3/jobs/job%2F1%3Fx/oidc/tokens"));
    assert_eq!(requests.headers["authorization"], "Token hunter2");
    assert_eq!(requests.headers["content-type"], "application/json");
    assert_eq!(requests.body, r#"{"audience":"cloudanix-jit"}"#);
}

#[tokio::test]
async fn azure_devops_has_a_fixed_audience_unless_the_user_names_another() {
    let own = "api://AzureADTokenExchange";
    let platform = FakePlatform::answering(&[(200, &field("oidcToken", own))]).await;
    let identity = platform.azure(&[]);
    assert_eq!(identity.expected_audience(DEFAULT_AUDIENCE), own);
    identity.token(&http(), DEFAULT_AUDIENCE, now()).await.unwrap();
    let error = identity.token(&http(), "api://AzureADTokenExchangeUSGov", now()).await.unwrap_err();
    assert!(
        error
            .to_string()
            .contains("expected the audience `api://AzureADTokenExchangeUSGov`, found `api://AzureAD")
    );
    let requests = &platform.requests()[0];
    assert_eq!(
        (requests.method.as_str(), requests.uri.to_string().as_str()),
        ("POST", "/oidctoken?api-version=7.1")
    );
    assert_eq!(requests.headers["authorization"], "Bearer hunter2");
    assert_eq!(requests.headers["x-tfs-fedauthredirect"], "Suppress");
    assert_eq!(requests.headers["content-length"], "0");
}

#[tokio::test]
async fn azure_devops_mints_for_a_service_connection_if_one_is_named() {
    let platform = FakePlatform::answering(&[(200, &field("oidcToken", "api://AzureADTokenExchange"))]).await;
    let identity = platform.azure(&[("CLOUDANIX_AZURE_SERVICE_CONNECTION_ID", "c-1&x=y")]);
    identity.token(&http(), DEFAULT_AUDIENCE, now()).await.unwrap();
    let uri = platform.requests()[0].uri.to_string();
    assert_eq!(uri, "/oidctoken?api-version=7.1&serviceConnectionId=c-1%26x%3Dy");
}

#[tokio::test]
async fn transient_failures_of_the_platform_are_retried() {
    let good = field("value", "cloudanix-jit");
    let platform = FakePlatform::answering(&[(503, ""), (429, ""), (200, &good)]).await;
    let TokenSource::Endpoint(endpoint) = platform.github().source else { panic!("github has no endpoint") };
    endpoint.fetch_with(&http(), "cloudanix-jit", &[Duration::ZERO; 2]).await.unwrap();
    assert_eq!(platform.requests().len(), 3);

    let platform = FakePlatform::answering(&[(500, "")]).await;
    let error = refused(&platform).await;
    assert_eq!(
        error.to_string(),
        "no token from GET $ACTIONS_ID_TOKEN_REQUEST_URL: expected status 200, found 500"
    );
    assert_eq!(platform.requests().len(), 3);
}

#[tokio::test]
async fn a_refusal_is_final_and_its_body_is_not_quoted() {
    let long = format!(r#"{{"value": "{}"}}"#, "hunter2".repeat(20_000));
    for (status, body, words) in [
        (403, "hunter2", "expected status 200, found 403"),
        (401, "hunter2", "expected status 200, found 401"),
        (302, "hunter2", "redirection"),
        (200, "<html>hunter2</html>", "expected JSON"),
        (200, r#"{"token": "hunter2"}"#, "expected a token in `value`, found none"),
        (200, r#"{"value": ""}"#, "expected a token in `value`, found none"),
        (200, &long, "expected at most 65536 bytes, found more"),
    ] {
        let platform = FakePlatform::answering(&[(status, body)]).await;
        let error = refused(&platform).await;
        assert!(error.to_string().contains(words), "{status}: {error}");
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
        assert_eq!(platform.requests().len(), 1, "{status} was tried again");
        assert_eq!(error.fault(), IdentityFault::Unauthenticated);
    }
}

#[tokio::test]
async fn an_unreachable_platform_is_named_without_its_address() {
    let platform = FakePlatform::answering(&[(200, "")]).await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let closed = FakePlatform {
        address: format!("http://{}", listener.local_addr().unwrap()),
        state: Arc::clone(&platform.state),
    };
    drop(listener);
    let error = refused(&closed).await;
    assert!(error.to_string().starts_with("no token from GET $ACTIONS_ID_TOKEN_REQUEST_URL: "), "{error}");
    assert!(error.to_string().to_lowercase().contains("refused"), "{error}");
    assert!(!error.to_string().contains("api-version"), "{error}");
    assert!(error.hint().unwrap().contains("HTTPS_PROXY"));
}
