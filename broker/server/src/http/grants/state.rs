//! `GET /v2/agentic/jit/{id}`

use axum::Json;
use axum::extract::State;
use protocol::{Grant, GrantId, Problem};

use crate::http::App;
use crate::http::answer::Answer;
use crate::http::ask::{Bearer, Id};

/// Where a grant stands. Another agent's grant is not there.
#[utoipa::path(
    get, path = "/v2/agentic/jit/{id}", tag = "grants",
    params(("id" = String, Path, description = "`elev-…`")),
    responses(
        (status = 200, description = "The grant, without credentials", body = Grant),
        (status = 401, description = "Not accepted", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "Unknown, or another agent's", body = Problem, content_type = "application/problem+json"),
    ),
    security(("auth_token" = []), ("operator_token" = [])),
)]
pub(crate) async fn state(
    State(app): State<App>,
    Bearer(bearer): Bearer,
    Id(id): Id<GrantId>,
) -> Answer<Json<Grant>> {
    let caller = app.engine.caller(bearer.as_ref()).await?;
    Ok(Json(app.engine.state(&caller, &id).await?))
}
