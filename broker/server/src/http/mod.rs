//! The HTTP API: its routes, and the middleware around every request.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{DefaultBodyLimit, Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::{Router, http::HeaderValue};
use engine::{Engine, Refusal};
use protocol::elevate::MAX_BODY;
use protocol::{ErrorCode, routes};
use tracing::Instrument;

use self::error::ProblemResponse;
use self::observer::Observer;
use self::rate_limit::PerIpLimiter;
use crate::listen::{Admission, Draining};
use crate::metrics::HttpMetrics;
use crate::reload::Failures;
use crate::rules_folder::FolderRefused;
use crate::tls::Certificate;
use crate::traces;

mod agents;
mod break_glass;
mod console;
mod error;
mod extract;
mod grants;
mod health;
mod introspect;
mod notifications;
mod observations;
pub mod observer;
pub mod openapi;
mod posture;
pub mod rate_limit;
mod reconcile;
mod requests;
mod rules;
mod security_events;
mod sessions;
mod sign_in;
mod standing_approvals;
mod well_known;

/// The parts of the broker that the endpoints use.
#[derive(Clone)]
pub struct ServerState {
    pub engine: Arc<Engine>,
    pub draining: Draining,
    /// Limits requests by source address; `None` means no limit.
    pub per_ip_limiter: Option<Arc<PerIpLimiter>>,
    /// The TLS certificate, if the broker has one.
    pub certificate: Option<Certificate>,
    pub reload_failures: Failures,
    pub rules_folder_refused: FolderRefused,
    pub observer: Arc<Observer>,
    pub admission: Arc<Admission>,
    /// Where clients reach the broker, directly or through a proxy, if that is configured.
    pub url: Option<String>,
}

impl ServerState {
    /// Without TLS and without a limit by source address.
    pub fn plain(engine: Arc<Engine>, draining: Draining, admission: Arc<Admission>) -> Self {
        let reload_failures = Failures::default();
        Self {
            engine,
            draining,
            per_ip_limiter: None,
            certificate: None,
            reload_failures,
            rules_folder_refused: FolderRefused::default(),
            observer: Arc::default(),
            admission,
            url: None,
        }
    }

    /// Whether clients reach the broker by https.
    fn is_https(&self) -> bool {
        self.url.as_ref().is_some_and(|url| url.starts_with("https://"))
    }
}

/// The state of every handler.
#[derive(Clone)]
pub(crate) struct App {
    pub(crate) engine: Arc<Engine>,
    pub(crate) metrics: Arc<HttpMetrics>,
    pub(crate) server: ServerState,
}

/// How long a request may take.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Routes every endpoint.
pub fn router(server: ServerState) -> Router {
    let app = App { engine: Arc::clone(&server.engine), metrics: Arc::new(HttpMetrics::new()), server };
    let (documented, _) = openapi::routes().split_for_parts();
    documented
        .route("/openapi.json", axum::routing::get(openapi::serve))
        .route(routes::SIGN_IN, axum::routing::get(sign_in::start))
        .route(routes::SIGN_IN_CALLBACK, axum::routing::get(sign_in::callback))
        .merge(console::routes())
        .fallback(no_such_path)
        .method_not_allowed_fallback(no_such_method)
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(middleware::from_fn_with_state(app.clone(), rate_limit::enforce))
        .layer(middleware::from_fn_with_state(app.clone(), request_middleware))
        .with_state(app)
}

async fn no_such_path(request: Request) -> ProblemResponse {
    Refusal::new(ErrorCode::RouteNotFound, format!("no such path: `{}`", shortened(request.uri().path())))
        .into()
}

async fn no_such_method(request: Request) -> ProblemResponse {
    let detail = format!("`{}` is not for the path `{}`", request.method(), shortened(request.uri().path()));
    Refusal::new(ErrorCode::MethodNotAllowed, detail).into()
}

fn shortened(path: &str) -> String {
    path.chars().take(200).collect()
}

/// Traces the request, limits its time, counts it and logs it by route. The path and query are never logged: they may
/// contain an idempotency key.
async fn request_middleware(State(app): State<App>, request: Request, next: Next) -> Response {
    let route = request
        .extensions()
        .get::<axum::extract::MatchedPath>()
        .map_or_else(|| "other".to_owned(), |path| path.as_str().to_owned());
    let method = request.method().clone();
    let started = std::time::Instant::now();
    let span = traces::request(&method, &route, request.headers());
    let handling = next.run(request).instrument(span.clone());
    let mut response = within(TIMEOUT, handling).await;
    let took = started.elapsed();
    let status = response.status().as_u16();
    traces::record_status(&span, status);
    app.metrics.count(&method, &route, status, took);
    tracing::debug!(%method, route, status, ms = took.as_millis(), "request");
    let headers = response.headers_mut();
    headers.insert("cache-control", HeaderValue::from_static("no-store"));
    headers.insert("x-content-type-options", HeaderValue::from_static("nosniff"));
    response
}

/// Waits for the response at most for `limit`.
async fn within(limit: Duration, handling: impl Future<Output = Response>) -> Response {
    match tokio::time::timeout(limit, handling).await {
        Ok(response) => response,
        Err(_) => ProblemResponse::from(
            Refusal::new(
                ErrorCode::ProcessingTimeout,
                format!("expected an answer within {} s, found none", limit.as_secs()),
            )
            .hint("send it again, with the same idempotency key: the broker may still be working on it"),
        )
        .into_response(),
    }
}

#[cfg(test)]
mod tests {
    use axum::http::header;

    use super::*;

    #[tokio::test]
    async fn a_slow_request_is_answered_with_processing_timeout() {
        let response = within(Duration::ZERO, std::future::pending()).await;
        assert_eq!(response.status(), 503);
        assert_eq!(response.headers().get(header::RETRY_AFTER).unwrap(), "1");
        let body = axum::body::to_bytes(response.into_body(), MAX_BODY).await.unwrap();
        let problem: protocol::Problem = serde_json::from_slice(&body).unwrap();
        assert_eq!(problem.known_code(), Some(ErrorCode::ProcessingTimeout));
    }
}
