//! `POST /v2/agents/{id}/tokens` and `DELETE /v2/agents/{id}/tokens/{token_id}`

use axum::extract::{Path, State};
use axum::http::StatusCode;
use engine::On;
use engine::Refusal;
use protocol::agents::{RotateRequest, Rotated};
use protocol::people::Right;
use protocol::{AgentId, ErrorCode, InvalidId, Problem};

use crate::http::App;
use crate::http::error::ApiResult;
use crate::http::extract::{Bearer, Id, Json};

/// Rotate the auth token. The new one is shown once; old ones stay valid for `overlap`.
#[utoipa::path(
    post, path = "/v2/agents/{id}/tokens", tag = "agents",
    params(("id" = String, Path, description = "The agent's id")),
    request_body = RotateRequest,
    responses(
        (status = 201, description = "The new auth token", body = Rotated),
        (status = 401, description = "No operator token, and no session of a person", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "The rules of persons do not permit it", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "The agent is not registered", body = Problem, content_type = "application/problem+json"),
    ),
    security(("operator_token" = []), ("session_token" = [])),
)]
pub(crate) async fn rotate(
    State(app): State<App>,
    Bearer(bearer): Bearer,
    Id(id): Id<AgentId>,
    Json(request): Json<RotateRequest>,
) -> ApiResult<(StatusCode, axum::Json<Rotated>)> {
    let by = app.engine.actor(bearer.as_ref(), Right::Register, On::Agent(&id)).await?;
    Ok((StatusCode::CREATED, axum::Json(app.engine.rotate_token(&id, request.overlap, &by).await?)))
}

/// Revoke an auth token.
#[utoipa::path(
    delete, path = "/v2/agents/{id}/tokens/{token_id}", tag = "agents",
    params(
        ("id" = String, Path, description = "The agent's id"),
        ("token_id" = String, Path, description = "The 12 digits after `cjat_`"),
    ),
    responses(
        (status = 204, description = "Auth token revoked"),
        (status = 401, description = "No operator token, and no session of a person", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "The rules of persons do not permit it", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such agent or token", body = Problem, content_type = "application/problem+json"),
    ),
    security(("operator_token" = []), ("session_token" = [])),
)]
pub(crate) async fn revoke(
    State(app): State<App>,
    Bearer(bearer): Bearer,
    Path((id, token_id)): Path<(String, String)>,
) -> ApiResult<StatusCode> {
    let id: AgentId =
        id.parse().map_err(|error: InvalidId| Refusal::new(ErrorCode::InvalidRequest, error.to_string()))?;
    let by = app.engine.actor(bearer.as_ref(), Right::Register, On::Agent(&id)).await?;
    app.engine.revoke_token(&id, &token_id, &by).await?;
    Ok(StatusCode::NO_CONTENT)
}
