//! `POST /v2/agentic/jit/{id}/actions`

use axum::extract::State;
use axum::http::StatusCode;
use protocol::actions::ActionsReport;
use protocol::{GrantId, Problem};

use crate::http::App;
use crate::http::answer::Answer;
use crate::http::ask::{Bearer, Id, Json, Key};

/// What the client saw the step do. Recorded as said, not as proven.
#[utoipa::path(
    post, path = "/v2/agentic/jit/{id}/actions", tag = "grants",
    params(
        ("id" = String, Path, description = "`elev-…`"),
        ("Idempotency-Key" = String, Header, description = "The key that the grant was asked with"),
    ),
    request_body = ActionsReport,
    responses(
        (status = 204, description = "On the timeline"),
        (status = 401, description = "Not accepted", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "Unknown, another agent's, or another key's", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "Not understood, or too many", body = Problem, content_type = "application/problem+json"),
    ),
    security(("auth_token" = [])),
)]
pub(crate) async fn report(
    State(app): State<App>,
    Bearer(bearer): Bearer,
    Id(id): Id<GrantId>,
    Key(key): Key,
    Json(report): Json<ActionsReport>,
) -> Answer<StatusCode> {
    app.engine.report_actions(bearer.as_ref(), &id, &key, &report).await?;
    Ok(StatusCode::NO_CONTENT)
}
