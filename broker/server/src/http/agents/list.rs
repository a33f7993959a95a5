//! `GET /v2/agents`

use axum::Json;
use axum::extract::State;
use engine::Page;
use protocol::agents::AgentList;
use protocol::{AgentId, Problem};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::http::App;
use crate::http::answer::Answer;
use crate::http::ask::{Bearer, Query};

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Which {
    /// `next` of the page before.
    after: Option<AgentId>,
    /// Rows on the page: 1 to 200, 50 when it is not said.
    limit: Option<u32>,
}

/// Agents, by id.
#[utoipa::path(
    get, path = "/v2/agents", tag = "agents", params(Which),
    responses(
        (status = 200, description = "A page", body = AgentList),
        (status = 401, description = "No operator token", body = Problem, content_type = "application/problem+json"),
    ),
    security(("operator_token" = [])),
)]
pub(crate) async fn list(
    State(app): State<App>,
    Bearer(bearer): Bearer,
    Query(which): Query<Which>,
) -> Answer<Json<AgentList>> {
    app.engine.operator(bearer.as_ref())?;
    Ok(Json(app.engine.agents(which.after.as_ref(), Page::of(which.limit)).await?))
}
