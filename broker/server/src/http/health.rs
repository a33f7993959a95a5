//! Health, readiness and metrics.

use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use engine::Refusal;
use protocol::health::Health;
use protocol::{ErrorCode, Secret};

use super::App;
use super::error::ApiResult;
use super::extract::Bearer;

/// Liveness: the process answers.
#[utoipa::path(get, path = "/healthz", tag = "operations", responses((status = 200, description = "The process answers")))]
pub(crate) async fn live() -> &'static str {
    "ok\n"
}

/// Readiness: the store can be read and written, the worker runs, and the broker is not stopping.
#[utoipa::path(get, path = "/readyz", tag = "operations", responses(
    (status = 200, description = "Ready for requests"),
    (status = 503, description = "The store cannot be reached, the worker does not run, or the broker is stopping", body = protocol::Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn ready(State(app): State<App>) -> ApiResult<&'static str> {
    if app.server.draining.is_on() {
        return Err(Refusal::new(ErrorCode::StoreUnavailable, "the broker is stopping").into());
    }
    app.engine.ready().await?;
    // The rules that were active before decide, so the broker stays ready.
    let refused = app.server.rules_folder_refused.get();
    Ok(if refused { "ok, but the folder of rules is refused: see the log\n" } else { "ok\n" })
}

/// Show what an operator should look at: grants that are stuck, orphans and drift, notifications that were not sent.
#[utoipa::path(
    get, path = "/v2/health", tag = "operations",
    responses(
        (status = 200, description = "What there is", body = Health),
        (status = 401, description = "No operator token, and no session of a person", body = protocol::Problem, content_type = "application/problem+json"),
        (status = 403, description = "The rules of persons do not permit it", body = protocol::Problem, content_type = "application/problem+json"),
    ),
    security(("operator_token" = []), ("session_token" = [])),
)]
pub(crate) async fn show(State(app): State<App>, Bearer(bearer): Bearer) -> ApiResult<axum::Json<Health>> {
    Ok(axum::Json(app.health(bearer.as_ref()).await?))
}

impl App {
    pub(super) async fn health(&self, bearer: Option<&Secret>) -> Result<Health, Refusal> {
        let refused = self.server.rules_folder_refused.get();
        self.engine.health(bearer, refused, self.server.reload_failures.count()).await
    }
}

/// Metrics in the text format of OpenMetrics.
#[utoipa::path(get, path = "/metrics", tag = "operations", responses((status = 200, description = "OpenMetrics text", content_type = "application/openmetrics-text")))]
pub(crate) async fn metrics(State(app): State<App>) -> ApiResult<Response> {
    let grants = app.engine.grants_by_status().await?;
    let text = app.metrics.render(&app.server, &grants);
    let content_type = HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
    Ok((StatusCode::OK, [(header::CONTENT_TYPE, content_type)], text).into_response())
}
