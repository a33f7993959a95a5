//! Which endpoints are there, and what stands in front of all of them?

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{DefaultBodyLimit, Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::{Router, http::HeaderValue};
use engine::{Engine, Refusal};
use protocol::ErrorCode;
use protocol::elevate::MAX_BODY;
use tracing::Instrument;

use self::address::Addresses;
use crate::listen::{Admission, Draining};
use crate::metrics::HttpMetrics;
use crate::reload::Failures;
use crate::tls::Certificate;
use crate::traces;

pub mod address;
mod agents;
mod answer;
mod ask;
mod grants;
mod health;
mod introspect;
pub mod openapi;
mod reconcile;
mod well_known;

/// What stands behind the endpoints.
#[derive(Clone)]
pub struct Front {
    /// The use cases.
    pub engine: Arc<Engine>,
    /// Whether the broker is about to stop.
    pub draining: Draining,
    /// How often one address may ask; where there is none, as often as it likes.
    pub addresses: Option<Arc<Addresses>>,
    /// The broker's certificate, if it has one.
    pub certificate: Option<Certificate>,
    /// What could not be read again.
    pub reload_failures: Failures,
    /// Which connections are taken.
    pub admission: Arc<Admission>,
}

impl Front {
    /// Without TLS, and as often as anybody likes.
    pub fn plain(engine: Arc<Engine>, draining: Draining, admission: Arc<Admission>) -> Self {
        let reload_failures = Failures::default();
        Self { engine, draining, addresses: None, certificate: None, reload_failures, admission }
    }
}

/// What every handler can reach.
#[derive(Clone)]
pub(crate) struct App {
    pub(crate) engine: Arc<Engine>,
    pub(crate) metrics: Arc<HttpMetrics>,
    pub(crate) front: Front,
}

/// How long a request may take.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Every endpoint.
pub fn router(front: Front) -> Router {
    let app = App { engine: Arc::clone(&front.engine), metrics: Arc::new(HttpMetrics::new()), front };
    let (documented, _) = openapi::routes().split_for_parts();
    documented
        .route("/openapi.json", axum::routing::get(openapi::serve))
        .fallback(no_such_path)
        .method_not_allowed_fallback(no_such_method)
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(middleware::from_fn_with_state(app.clone(), address::not_too_often))
        .layer(middleware::from_fn_with_state(app.clone(), around_every_request))
        .with_state(app)
}

async fn no_such_path(request: Request) -> answer::Problem {
    Refusal::new(ErrorCode::RouteNotFound, format!("no such path: `{}`", shown(request.uri().path()))).into()
}

async fn no_such_method(request: Request) -> answer::Problem {
    let detail = format!("`{}` is not for the path `{}`", request.method(), shown(request.uri().path()));
    Refusal::new(ErrorCode::MethodNotAllowed, detail).into()
}

fn shown(path: &str) -> String {
    path.chars().take(200).collect()
}

/// Names the request, bounds its time, counts it, and logs it by route: never by path or query, in which an
/// idempotency key may stand.
async fn around_every_request(State(app): State<App>, request: Request, next: Next) -> Response {
    let route = request
        .extensions()
        .get::<axum::extract::MatchedPath>()
        .map_or_else(|| "other".to_owned(), |path| path.as_str().to_owned());
    let method = request.method().clone();
    let started = std::time::Instant::now();
    let span = traces::request(&method, &route, request.headers());
    let answering = next.run(request).instrument(span.clone());
    let mut response = match tokio::time::timeout(TIMEOUT, answering).await {
        Ok(response) => response,
        Err(_) => answer::Problem::from(Refusal::new(
            ErrorCode::Internal,
            format!("the request took longer than {} s", TIMEOUT.as_secs()),
        ))
        .into_response(),
    };
    let took = started.elapsed();
    let status = response.status().as_u16();
    traces::answered(&span, status);
    app.metrics.count(&method, &route, status, took);
    tracing::debug!(%method, route, status, ms = took.as_millis(), "request");
    let headers = response.headers_mut();
    headers.insert("cache-control", HeaderValue::from_static("no-store"));
    headers.insert("x-content-type-options", HeaderValue::from_static("nosniff"));
    response
}
