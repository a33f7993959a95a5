//! `GET /v2/agentic/jit`

use axum::Json;
use axum::extract::State;
use engine::On;
use engine::Page;
use protocol::people::Right;
use protocol::{AgentId, GrantId, GrantList, Problem};
use serde::Deserialize;
use store::Listing;
use utoipa::IntoParams;

use crate::http::App;
use crate::http::error::ApiResult;
use crate::http::extract::{Bearer, Query};

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum StateFilter {
    Live,
    Ended,
    All,
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Filter {
    /// `live`, `ended` or `all` (the default).
    #[param(value_type = Option<String>)]
    state: Option<StateFilter>,
    /// Only grants of this agent.
    agent: Option<AgentId>,
    /// `next` of the previous page.
    after: Option<GrantId>,
    /// Grants per page: 1 to 200, 50 by default.
    limit: Option<u32>,
}

/// List grants, newest first.
#[utoipa::path(
    get, path = "/v2/agentic/jit", tag = "grants", params(Filter),
    responses(
        (status = 200, description = "A page of grants", body = GrantList),
        (status = 401, description = "No operator token, and no session of a person", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "The rules of persons do not permit it", body = Problem, content_type = "application/problem+json"),
    ),
    security(("operator_token" = []), ("session_token" = [])),
)]
pub(crate) async fn list(
    State(app): State<App>,
    Bearer(bearer): Bearer,
    Query(filter): Query<Filter>,
) -> ApiResult<Json<GrantList>> {
    let on = filter.agent.as_ref().map_or(On::Broker, On::Agent);
    app.engine.actor(bearer.as_ref(), Right::View, on).await?;
    let live = match filter.state {
        Some(StateFilter::Live) => Some(true),
        Some(StateFilter::Ended) => Some(false),
        Some(StateFilter::All) | None => None,
    };
    let page = Page::of(filter.limit);
    let listing = Listing { live, only: None, agent: filter.agent, after: filter.after, limit: page.rows() };
    Ok(Json(app.engine.list(listing, page).await?))
}
