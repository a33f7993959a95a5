//! `GET /v2/agentic/jit`

use axum::Json;
use axum::extract::State;
use engine::Page;
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

/// List grants of the agents that you may see, newest first. A page can be short or empty and have a `next`.
#[utoipa::path(
    get, path = "/v2/agentic/jit", tag = "grants", params(Filter),
    responses(
        (status = 200, description = "A page of grants", body = GrantList),
        (status = 401, description = "No operator token, and no session of a person", body = Problem, content_type = "application/problem+json"),
    ),
    security(("operator_token" = []), ("session_token" = [])),
)]
pub(crate) async fn list(
    State(app): State<App>,
    Bearer(bearer): Bearer,
    Query(filter): Query<Filter>,
) -> ApiResult<Json<GrantList>> {
    let live = match filter.state {
        Some(StateFilter::Live) => Some(true),
        Some(StateFilter::Ended) => Some(false),
        Some(StateFilter::All) | None => None,
    };
    let listing = Listing { live, agent: filter.agent, after: filter.after, ..Listing::default() };
    Ok(Json(app.engine.grants(bearer.as_ref(), listing, Page::of(filter.limit)).await?))
}
