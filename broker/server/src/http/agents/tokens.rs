//! `POST /v2/agents/{id}/tokens` and `DELETE /v2/agents/{id}/tokens/{token_id}`

use axum::extract::{Path, State};
use axum::http::StatusCode;
use engine::Refusal;
use protocol::agents::{RotateRequest, Rotated};
use protocol::{AgentId, ErrorCode, InvalidId, Problem};

use crate::http::App;
use crate::http::answer::Answer;
use crate::http::ask::{Bearer, Id, Json};

/// A new auth token, shown this once; the old ones are accepted for `overlap` more.
#[utoipa::path(
    post, path = "/v2/agents/{id}/tokens", tag = "agents",
    params(("id" = String, Path, description = "The agent's id")),
    request_body = RotateRequest,
    responses(
        (status = 201, description = "The new token", body = Rotated),
        (status = 401, description = "No operator token", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "Not registered", body = Problem, content_type = "application/problem+json"),
    ),
    security(("operator_token" = [])),
)]
pub(crate) async fn rotate(
    State(app): State<App>,
    Bearer(bearer): Bearer,
    Id(id): Id<AgentId>,
    Json(request): Json<RotateRequest>,
) -> Answer<(StatusCode, axum::Json<Rotated>)> {
    let by = app.engine.operator(bearer.as_ref())?;
    Ok((StatusCode::CREATED, axum::Json(app.engine.rotate_token(&id, request.overlap, &by).await?)))
}

/// End one auth token now.
#[utoipa::path(
    delete, path = "/v2/agents/{id}/tokens/{token_id}", tag = "agents",
    params(
        ("id" = String, Path, description = "The agent's id"),
        ("token_id" = String, Path, description = "The 12 digits after `cjat_`"),
    ),
    responses(
        (status = 204, description = "Not accepted any more"),
        (status = 401, description = "No operator token", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such agent or token", body = Problem, content_type = "application/problem+json"),
    ),
    security(("operator_token" = [])),
)]
pub(crate) async fn revoke(
    State(app): State<App>,
    Bearer(bearer): Bearer,
    Path((id, token_id)): Path<(String, String)>,
) -> Answer<StatusCode> {
    let by = app.engine.operator(bearer.as_ref())?;
    let id: AgentId =
        id.parse().map_err(|error: InvalidId| Refusal::new(ErrorCode::InvalidRequest, error.to_string()))?;
    app.engine.revoke_token(&id, &token_id, &by).await?;
    Ok(StatusCode::NO_CONTENT)
}
