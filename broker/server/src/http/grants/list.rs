//! `GET /v2/agentic/jit`

use axum::Json;
use axum::extract::State;
use engine::Page;
use protocol::{AgentId, GrantId, GrantList, Problem};
use serde::Deserialize;
use store::Listing;
use utoipa::IntoParams;

use crate::http::App;
use crate::http::answer::Answer;
use crate::http::ask::{Bearer, Query};

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Which {
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
    state: Option<Which>,
    /// Only this agent's.
    agent: Option<AgentId>,
    /// `next` of the page before.
    after: Option<GrantId>,
    /// Rows on the page: 1 to 200, 50 when it is not said.
    limit: Option<u32>,
}

/// Grants, newest first.
#[utoipa::path(
    get, path = "/v2/agentic/jit", tag = "grants", params(Filter),
    responses(
        (status = 200, description = "A page", body = GrantList),
        (status = 401, description = "No operator token", body = Problem, content_type = "application/problem+json"),
    ),
    security(("operator_token" = [])),
)]
pub(crate) async fn list(
    State(app): State<App>,
    Bearer(bearer): Bearer,
    Query(filter): Query<Filter>,
) -> Answer<Json<GrantList>> {
    app.engine.operator(bearer.as_ref())?;
    let live = match filter.state {
        Some(Which::Live) => Some(true),
        Some(Which::Ended) => Some(false),
        Some(Which::All) | None => None,
    };
    let page = Page::of(filter.limit);
    let listing = Listing { live, agent: filter.agent, after: filter.after, limit: page.rows() };
    Ok(Json(app.engine.list(listing, page).await?))
}
