//! `POST /v2/rules/promote`, `/rollout` and `/rollback`, and `DELETE /v2/rules/candidate`

use axum::extract::State;
use engine::On;
use protocol::Problem;
use protocol::people::Right;
use protocol::rules::{RolloutRequest, RulesState};

use crate::http::App;
use crate::http::error::ApiResult;
use crate::http::extract::{Bearer, Json};

/// Make the candidate the active set.
#[utoipa::path(
    post, path = "/v2/rules/promote", tag = "rules",
    responses(
        (status = 200, description = "The rules now", body = RulesState),
        (status = 401, description = "No operator token, and no session of a person", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "The rules of persons do not permit it", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "There is no candidate", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "Another change came first", body = Problem, content_type = "application/problem+json"),
    ),
    security(("operator_token" = []), ("session_token" = [])),
)]
pub(crate) async fn promote(
    State(app): State<App>,
    Bearer(bearer): Bearer,
) -> ApiResult<axum::Json<RulesState>> {
    let by = app.engine.actor(bearer.as_ref(), Right::Register, On::Broker).await?;
    Ok(axum::Json(app.engine.promote_rules(&by).await?))
}

/// Let the candidate decide for some agents.
#[utoipa::path(
    post, path = "/v2/rules/rollout", tag = "rules",
    request_body = RolloutRequest,
    responses(
        (status = 200, description = "The rules now", body = RulesState),
        (status = 401, description = "No operator token, and no session of a person", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "The rules of persons do not permit it", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "There is no candidate", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "Another change came first", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "No glob, too many, or one that cannot be read", body = Problem, content_type = "application/problem+json"),
    ),
    security(("operator_token" = []), ("session_token" = [])),
)]
pub(crate) async fn roll_out(
    State(app): State<App>,
    Bearer(bearer): Bearer,
    Json(request): Json<RolloutRequest>,
) -> ApiResult<axum::Json<RulesState>> {
    let by = app.engine.actor(bearer.as_ref(), Right::Register, On::Broker).await?;
    Ok(axum::Json(app.engine.roll_out_rules(&request.agents, &by).await?))
}

/// End the rollout; without one, make the set that was active before active again.
#[utoipa::path(
    post, path = "/v2/rules/rollback", tag = "rules",
    responses(
        (status = 200, description = "The rules now", body = RulesState),
        (status = 401, description = "No operator token, and no session of a person", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "The rules of persons do not permit it", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No set was ever active", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "Another change came first", body = Problem, content_type = "application/problem+json"),
    ),
    security(("operator_token" = []), ("session_token" = [])),
)]
pub(crate) async fn roll_back(
    State(app): State<App>,
    Bearer(bearer): Bearer,
) -> ApiResult<axum::Json<RulesState>> {
    let by = app.engine.actor(bearer.as_ref(), Right::Register, On::Broker).await?;
    Ok(axum::Json(app.engine.roll_back_rules(&by).await?))
}

/// Remove the candidate, which ends its rollout.
#[utoipa::path(
    delete, path = "/v2/rules/candidate", tag = "rules",
    responses(
        (status = 200, description = "The rules now", body = RulesState),
        (status = 401, description = "No operator token, and no session of a person", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "The rules of persons do not permit it", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "There is no candidate", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "Another change came first", body = Problem, content_type = "application/problem+json"),
    ),
    security(("operator_token" = []), ("session_token" = [])),
)]
pub(crate) async fn clear_candidate(
    State(app): State<App>,
    Bearer(bearer): Bearer,
) -> ApiResult<axum::Json<RulesState>> {
    let by = app.engine.actor(bearer.as_ref(), Right::Register, On::Broker).await?;
    Ok(axum::Json(app.engine.clear_candidate(&by).await?))
}
