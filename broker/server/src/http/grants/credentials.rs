//! `POST /v2/agentic/jit/{id}/credentials`

use axum::Json;
use axum::extract::State;
use protocol::{Grant, GrantId, Problem};

use crate::http::App;
use crate::http::answer::Answer;
use crate::http::ask::{Bearer, Id, Key};

/// The grant's credentials once more, fresh, while it is active: a session of the target may end before its grant.
#[utoipa::path(
    post, path = "/v2/agentic/jit/{id}/credentials", tag = "grants",
    params(
        ("id" = String, Path, description = "`elev-…`"),
        ("Idempotency-Key" = String, Header, description = "The key that the grant was asked with"),
    ),
    responses(
        (status = 200, description = "The grant, with credentials", body = Grant),
        (status = 401, description = "Not accepted", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "The boundary does not permit it any more", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "Unknown, another agent's, or another key's", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "It has ended", body = Problem, content_type = "application/problem+json"),
        (status = 502, description = "The target failed", body = Problem, content_type = "application/problem+json"),
    ),
    security(("auth_token" = [])),
)]
pub(crate) async fn credentials(
    State(app): State<App>,
    Bearer(bearer): Bearer,
    Id(id): Id<GrantId>,
    Key(key): Key,
) -> Answer<Json<Grant>> {
    Ok(Json(app.engine.credentials(bearer.as_ref(), &id, &key).await?))
}
