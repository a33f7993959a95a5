//! `GET /v2/agentic/jit/{id}`

use axum::Json;
use axum::extract::State;
use protocol::{Grant, GrantId, Problem};

use crate::http::App;
use crate::http::error::ApiResult;
use crate::http::extract::{Bearer, Id};

/// Show a grant. Grants of other agents are not found.
#[utoipa::path(
    get, path = "/v2/agentic/jit/{id}", tag = "grants",
    params(("id" = String, Path, description = "`elev-…`")),
    responses(
        (status = 200, description = "The grant, without credentials", body = Grant),
        (status = 401, description = "Authentication failed", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "Unknown, or another agent's", body = Problem, content_type = "application/problem+json"),
    ),
    security(("auth_token" = []), ("operator_token" = []), ("session_token" = []), ("break_glass_code" = [])),
)]
pub(crate) async fn state(
    State(app): State<App>,
    Bearer(bearer): Bearer,
    Id(id): Id<GrantId>,
) -> ApiResult<Json<Grant>> {
    let caller = app.engine.caller(bearer.as_ref()).await?;
    Ok(Json(app.engine.state(&caller, &id).await?))
}
