//! `POST /v2/rules/replay`, `GET /v2/rules/diff-report` and `GET /v2/agentic/jit/{id}/decisions`

use axum::Json;
use axum::extract::State;
use engine::On;
use protocol::people::Right;
use protocol::rules::{Comparison, Explanation, ReplayRequest};
use protocol::{AgentId, GrantId, Problem, Timestamp};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::http::App;
use crate::http::error::ApiResult;
use crate::http::extract::{Bearer, Id, Query, RulesJson};

/// Decide recorded requests again by another rule set, a page at a time. Nothing is granted or changed.
#[utoipa::path(
    post, path = "/v2/rules/replay", tag = "rules",
    request_body = ReplayRequest,
    responses(
        (status = 200, description = "A page of the comparison", body = Comparison),
        (status = 401, description = "No operator token, and no session of a person", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "The rules of persons do not permit it", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "More than 2 MiB", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "The set is refused", body = Problem, content_type = "application/problem+json"),
    ),
    security(("operator_token" = []), ("session_token" = [])),
)]
pub(crate) async fn replay(
    State(app): State<App>,
    Bearer(bearer): Bearer,
    RulesJson(request): RulesJson<ReplayRequest>,
) -> ApiResult<Json<Comparison>> {
    app.engine.actor(bearer.as_ref(), Right::Audit, On::Broker).await?;
    Ok(Json(app.engine.replay(request).await?))
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Period {
    /// Only decisions since then, like `2026-11-01T00:00:00Z`.
    #[param(value_type = String)]
    since: Timestamp,
    /// Only decisions about this agent.
    agent: Option<AgentId>,
    /// `next` of the previous page.
    after: Option<i64>,
}

/// Compare recorded decisions with what the candidate answered beside the active set, a page at a time.
#[utoipa::path(
    get, path = "/v2/rules/diff-report", tag = "rules", params(Period),
    responses(
        (status = 200, description = "A page of the comparison", body = Comparison),
        (status = 401, description = "No operator token, and no session of a person", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "The rules of persons do not permit it", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "There is no candidate", body = Problem, content_type = "application/problem+json"),
    ),
    security(("operator_token" = []), ("session_token" = [])),
)]
pub(crate) async fn diff_report(
    State(app): State<App>,
    Bearer(bearer): Bearer,
    Query(period): Query<Period>,
) -> ApiResult<Json<Comparison>> {
    app.engine.actor(bearer.as_ref(), Right::Audit, On::Broker).await?;
    Ok(Json(app.engine.shadow_report(period.since, period.agent.as_ref(), period.after).await?))
}

/// Show the decisions about a grant: which rules decided, from which facts.
#[utoipa::path(
    get, path = "/v2/agentic/jit/{id}/decisions", tag = "rules",
    params(("id" = String, Path, description = "`elev-…`")),
    responses(
        (status = 200, description = "The decisions", body = Explanation),
        (status = 401, description = "Authentication failed", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "Unknown, or another agent's", body = Problem, content_type = "application/problem+json"),
    ),
    security(("auth_token" = []), ("operator_token" = []), ("session_token" = [])),
)]
pub(crate) async fn explain(
    State(app): State<App>,
    Bearer(bearer): Bearer,
    Id(id): Id<GrantId>,
) -> ApiResult<Json<Explanation>> {
    let caller = app.engine.caller(bearer.as_ref()).await?;
    Ok(Json(app.engine.explain(&caller, &id).await?))
}
