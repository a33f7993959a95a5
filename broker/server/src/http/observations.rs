//! `POST /v2/observations`, `POST /v2/observations/{id}/actions` and `GET /v2/observations/report`

use axum::extract::{Path, State};
use axum::http::StatusCode;
use engine::On;
use protocol::actions::ActionsReport;
use protocol::observations::{Observation, ObservationReport};
use protocol::people::Right;
use protocol::{AgentId, ElevateRequest, Problem, Timestamp};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::http::App;
use crate::http::error::ApiResult;
use crate::http::extract::{Bearer, Json, Query};
use crate::http::observer::Observed;

/// Record what would be decided about a step that runs without a grant. Grants nothing.
#[utoipa::path(
    post, path = "/v2/observations", tag = "observations",
    request_body = ElevateRequest,
    responses(
        (status = 201, description = "What would have been decided", body = Observation),
        (status = 401, description = "The auth token is not accepted, or is another agent's", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "Unprocessable request", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "Rate limited", body = Problem, content_type = "application/problem+json"),
    ),
    security(("auth_token" = [])),
)]
pub(crate) async fn observe(
    State(app): State<App>,
    Bearer(bearer): Bearer,
    Observed(observed): Observed,
    Json(request): Json<ElevateRequest>,
) -> ApiResult<(StatusCode, axum::Json<Observation>)> {
    let observation = app.engine.observe(bearer.as_ref(), &request, observed).await?;
    Ok((StatusCode::CREATED, axum::Json(observation)))
}

/// Add what an observed step called.
#[utoipa::path(
    post, path = "/v2/observations/{id}/actions", tag = "observations",
    params(("id" = String, Path, description = "`obs-…`")),
    request_body = ActionsReport,
    responses(
        (status = 204, description = "Added"),
        (status = 401, description = "Authentication failed", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "Unknown, or another agent's", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "Unprocessable request, or too many different actions", body = Problem, content_type = "application/problem+json"),
    ),
    security(("auth_token" = [])),
)]
pub(crate) async fn report_actions(
    State(app): State<App>,
    Bearer(bearer): Bearer,
    Path(id): Path<String>,
    Json(report): Json<ActionsReport>,
) -> ApiResult<StatusCode> {
    app.engine.report_observed(bearer.as_ref(), &id, &report).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Period {
    /// Only observations since then, like `2026-11-01T00:00:00Z`.
    #[param(value_type = String)]
    since: Timestamp,
    /// Only observations of this agent.
    agent: Option<AgentId>,
}

/// Show, agent by agent, which steps could run with grants today, and what they called.
#[utoipa::path(
    get, path = "/v2/observations/report", tag = "observations", params(Period),
    responses(
        (status = 200, description = "The report", body = ObservationReport),
        (status = 401, description = "No operator token, and no session of a person", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "The rules of persons do not permit it", body = Problem, content_type = "application/problem+json"),
    ),
    security(("operator_token" = []), ("session_token" = [])),
)]
pub(crate) async fn report(
    State(app): State<App>,
    Bearer(bearer): Bearer,
    Query(period): Query<Period>,
) -> ApiResult<axum::Json<ObservationReport>> {
    app.engine.actor(bearer.as_ref(), Right::View, On::Broker).await?;
    Ok(axum::Json(app.engine.observation_report(period.since, period.agent.as_ref()).await?))
}
