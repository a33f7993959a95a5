//! `GET /v2/agentic/jit/{id}/timeline`

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use protocol::{GrantId, Problem, Timeline};

use crate::http::App;
use crate::http::error::ApiResult;
use crate::http::extract::{Bearer, Id};

/// Show the timeline of a grant. As text with `Accept: text/plain`.
#[utoipa::path(
    get, path = "/v2/agentic/jit/{id}/timeline", tag = "grants",
    params(("id" = String, Path, description = "`elev-…`")),
    responses(
        (status = 200, description = "The timeline", body = Timeline),
        (status = 401, description = "Authentication failed", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "Unknown, or another agent's", body = Problem, content_type = "application/problem+json"),
    ),
    security(("auth_token" = []), ("operator_token" = []), ("session_token" = []), ("break_glass_code" = [])),
)]
pub(crate) async fn timeline(
    State(app): State<App>,
    Bearer(bearer): Bearer,
    Id(id): Id<GrantId>,
    headers: HeaderMap,
) -> ApiResult<Response> {
    let caller = app.engine.caller(bearer.as_ref()).await?;
    let timeline = app.engine.timeline(&caller, &id).await?;
    let wants_text = headers
        .get(header::ACCEPT)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|accept| accept.starts_with("text/plain"));
    Ok(if wants_text { timeline.render().into_response() } else { Json(timeline).into_response() })
}
