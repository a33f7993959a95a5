//! `POST /v2/agentic/jit/{id}/heartbeat`

use axum::Json;
use axum::extract::State;
use protocol::{Grant, GrantId, Problem};

use crate::http::App;
use crate::http::error::ApiResult;
use crate::http::extract::{Bearer, Id, Key};

/// Send a heartbeat. Requires the idempotency key, which only this run knows; never extends the deadline.
#[utoipa::path(
    post, path = "/v2/agentic/jit/{id}/heartbeat", tag = "grants",
    params(
        ("id" = String, Path, description = "`elev-…`"),
        ("Idempotency-Key" = String, Header, description = "The idempotency key of the grant"),
    ),
    responses(
        (status = 200, description = "Heartbeat recorded", body = Grant),
        (status = 401, description = "Authentication failed", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "Unknown, another agent's, or of another idempotency key", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "The grant has ended", body = Problem, content_type = "application/problem+json"),
    ),
    security(("auth_token" = []), ("session_token" = []), ("break_glass_code" = [])),
)]
pub(crate) async fn heartbeat(
    State(app): State<App>,
    Bearer(bearer): Bearer,
    Id(id): Id<GrantId>,
    Key(key): Key,
) -> ApiResult<Json<Grant>> {
    Ok(Json(app.engine.heartbeat(bearer.as_ref(), &id, &key).await?))
}
