//! `POST /v2/agentic/jit/{id}/actions`

use axum::extract::State;
use axum::http::StatusCode;
use protocol::actions::ActionsReport;
use protocol::{GrantId, Problem};

use crate::http::App;
use crate::http::error::ApiResult;
use crate::http::extract::{Bearer, Id, Json, Key};

/// Record actions that the client saw the step take. They are marked as unverified on the timeline.
#[utoipa::path(
    post, path = "/v2/agentic/jit/{id}/actions", tag = "grants",
    params(
        ("id" = String, Path, description = "`elev-…`"),
        ("Idempotency-Key" = String, Header, description = "The idempotency key of the grant"),
    ),
    request_body = ActionsReport,
    responses(
        (status = 204, description = "Recorded on the timeline"),
        (status = 401, description = "Authentication failed", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "Unknown, another agent's, or of another idempotency key", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "Unprocessable request, or too many actions", body = Problem, content_type = "application/problem+json"),
    ),
    security(("auth_token" = []), ("session_token" = []), ("break_glass_code" = [])),
)]
pub(crate) async fn report(
    State(app): State<App>,
    Bearer(bearer): Bearer,
    Id(id): Id<GrantId>,
    Key(key): Key,
    Json(report): Json<ActionsReport>,
) -> ApiResult<StatusCode> {
    app.engine.report_actions(bearer.as_ref(), &id, &key, &report).await?;
    Ok(StatusCode::NO_CONTENT)
}
