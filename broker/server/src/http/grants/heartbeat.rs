//! `POST /v2/agentic/jit/{id}/heartbeat`

use axum::Json;
use axum::extract::State;
use protocol::{Grant, GrantId, Problem};

use crate::http::App;
use crate::http::answer::Answer;
use crate::http::ask::{Bearer, Id, Key};

/// The holder is still there. Needs the key, which only this run holds; never lengthens the grant.
#[utoipa::path(
    post, path = "/v2/agentic/jit/{id}/heartbeat", tag = "grants",
    params(
        ("id" = String, Path, description = "`elev-…`"),
        ("Idempotency-Key" = String, Header, description = "The key that the grant was asked with"),
    ),
    responses(
        (status = 200, description = "Heard", body = Grant),
        (status = 401, description = "Not accepted", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "Unknown, another agent's, or another key's", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "It has ended", body = Problem, content_type = "application/problem+json"),
    ),
    security(("auth_token" = [])),
)]
pub(crate) async fn heartbeat(
    State(app): State<App>,
    Bearer(bearer): Bearer,
    Id(id): Id<GrantId>,
    Key(key): Key,
) -> Answer<Json<Grant>> {
    Ok(Json(app.engine.heartbeat(bearer.as_ref(), &id, &key).await?))
}
