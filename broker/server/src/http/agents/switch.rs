//! `POST /v2/agents/{id}/disable` and `…/enable`

use axum::Json;
use axum::extract::State;
use protocol::agents::{Agent, Disabled};
use protocol::{AgentId, Problem};

use crate::http::App;
use crate::http::answer::Answer;
use crate::http::ask::{Bearer, Id};

/// Switch an agent off: it gets nothing more, and what it has is taken back.
#[utoipa::path(
    post, path = "/v2/agents/{id}/disable", tag = "agents",
    params(("id" = String, Path, description = "The agent's id")),
    responses(
        (status = 200, description = "Off", body = Disabled),
        (status = 401, description = "No operator token", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "Not registered", body = Problem, content_type = "application/problem+json"),
    ),
    security(("operator_token" = [])),
)]
pub(crate) async fn disable(
    State(app): State<App>,
    Bearer(bearer): Bearer,
    Id(id): Id<AgentId>,
) -> Answer<Json<Disabled>> {
    let by = app.engine.operator(bearer.as_ref())?;
    Ok(Json(app.engine.disable_agent(&id, &by).await?))
}

/// Switch an agent on again.
#[utoipa::path(
    post, path = "/v2/agents/{id}/enable", tag = "agents",
    params(("id" = String, Path, description = "The agent's id")),
    responses(
        (status = 200, description = "On", body = Agent),
        (status = 401, description = "No operator token", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "Not registered", body = Problem, content_type = "application/problem+json"),
    ),
    security(("operator_token" = [])),
)]
pub(crate) async fn enable(
    State(app): State<App>,
    Bearer(bearer): Bearer,
    Id(id): Id<AgentId>,
) -> Answer<Json<Agent>> {
    let by = app.engine.operator(bearer.as_ref())?;
    Ok(Json(app.engine.enable_agent(&id, &by).await?))
}
