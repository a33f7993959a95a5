//! `GET /v2/agents`

use axum::Json;
use axum::extract::State;
use engine::On;
use engine::Page;
use protocol::agents::AgentList;
use protocol::people::Right;
use protocol::{AgentId, Problem};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::http::App;
use crate::http::error::ApiResult;
use crate::http::extract::{Bearer, Query};

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct PageQuery {
    /// `next` of the previous page.
    after: Option<AgentId>,
    /// Agents per page: 1 to 200, 50 by default.
    limit: Option<u32>,
}

/// List agents by id.
#[utoipa::path(
    get, path = "/v2/agents", tag = "agents", params(PageQuery),
    responses(
        (status = 200, description = "A page of agents", body = AgentList),
        (status = 401, description = "No operator token, and no session of a person", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "The rules of persons do not permit it", body = Problem, content_type = "application/problem+json"),
    ),
    security(("operator_token" = []), ("session_token" = [])),
)]
pub(crate) async fn list(
    State(app): State<App>,
    Bearer(bearer): Bearer,
    Query(page): Query<PageQuery>,
) -> ApiResult<Json<AgentList>> {
    app.engine.actor(bearer.as_ref(), Right::View, On::Broker).await?;
    Ok(Json(app.engine.agents(page.after.as_ref(), Page::of(page.limit)).await?))
}
