//! `POST /v2/agentic/jit/{id}/credentials`

use axum::Json;
use axum::extract::State;
use protocol::{Grant, GrantId, Problem};

use crate::http::App;
use crate::http::error::ApiResult;
use crate::http::extract::{Bearer, Id, Key};

/// Request fresh credentials of an active grant. A session at the target may end before the grant does.
#[utoipa::path(
    post, path = "/v2/agentic/jit/{id}/credentials", tag = "grants",
    params(
        ("id" = String, Path, description = "`elev-…`"),
        ("Idempotency-Key" = String, Header, description = "The idempotency key of the grant"),
    ),
    responses(
        (status = 200, description = "The grant, with credentials", body = Grant),
        (status = 401, description = "Authentication failed", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "The boundary or a rule refuses the grant now, which ends it", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "Unknown, another agent's, or of another idempotency key", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "The grant has ended", body = Problem, content_type = "application/problem+json"),
        (status = 502, description = "The target failed", body = Problem, content_type = "application/problem+json"),
    ),
    security(("auth_token" = []), ("session_token" = []), ("break_glass_code" = [])),
)]
pub(crate) async fn credentials(
    State(app): State<App>,
    Bearer(bearer): Bearer,
    Id(id): Id<GrantId>,
    Key(key): Key,
) -> ApiResult<Json<Grant>> {
    Ok(Json(app.engine.credentials(bearer.as_ref(), &id, &key).await?))
}
