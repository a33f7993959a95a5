//! `GET /v2/agentic/jit`

use axum::Json;
use axum::extract::State;
use protocol::{GrantList, GrantQuery, Problem};

use crate::http::App;
use crate::http::error::ApiResult;
use crate::http::extract::{Bearer, Query};

/// List grants of the agents that you may see, newest first. A page can be short or empty and have a `next`.
#[utoipa::path(
    get, path = "/v2/agentic/jit", tag = "grants", params(GrantQuery),
    responses(
        (status = 200, description = "A page of grants", body = GrantList),
        (status = 401, description = "No operator token, and no session of a person", body = Problem, content_type = "application/problem+json"),
    ),
    security(("operator_token" = []), ("session_token" = [])),
)]
pub(crate) async fn list(
    State(app): State<App>,
    Bearer(bearer): Bearer,
    Query(query): Query<GrantQuery>,
) -> ApiResult<Json<GrantList>> {
    Ok(Json(app.engine.grants(bearer.as_ref(), &query).await?))
}
