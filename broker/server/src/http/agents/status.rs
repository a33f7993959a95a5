//! `POST /v2/agents/{id}/disable` and `…/enable`

use axum::Json;
use axum::extract::State;
use engine::On;
use protocol::agents::{Agent, Disabled};
use protocol::people::Right;
use protocol::{AgentId, Problem};

use crate::http::App;
use crate::http::error::ApiResult;
use crate::http::extract::{Bearer, Id};

/// Disable an agent: new grants are refused, and live ones are revoked.
#[utoipa::path(
    post, path = "/v2/agents/{id}/disable", tag = "agents",
    params(("id" = String, Path, description = "The agent's id")),
    responses(
        (status = 200, description = "Agent disabled", body = Disabled),
        (status = 401, description = "No operator token, and no session of a person", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "The rules of persons do not permit it", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "The agent is not registered", body = Problem, content_type = "application/problem+json"),
    ),
    security(("operator_token" = []), ("session_token" = [])),
)]
pub(crate) async fn disable(
    State(app): State<App>,
    Bearer(bearer): Bearer,
    Id(id): Id<AgentId>,
) -> ApiResult<Json<Disabled>> {
    let by = app.engine.actor(bearer.as_ref(), Right::Operate, On::Agent(&id)).await?;
    Ok(Json(app.engine.disable_agent(&id, &by).await?))
}

/// Enable an agent.
#[utoipa::path(
    post, path = "/v2/agents/{id}/enable", tag = "agents",
    params(("id" = String, Path, description = "The agent's id")),
    responses(
        (status = 200, description = "Agent enabled", body = Agent),
        (status = 401, description = "No operator token, and no session of a person", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "The rules of persons do not permit it", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "The agent is not registered", body = Problem, content_type = "application/problem+json"),
    ),
    security(("operator_token" = []), ("session_token" = [])),
)]
pub(crate) async fn enable(
    State(app): State<App>,
    Bearer(bearer): Bearer,
    Id(id): Id<AgentId>,
) -> ApiResult<Json<Agent>> {
    let by = app.engine.actor(bearer.as_ref(), Right::Operate, On::Agent(&id)).await?;
    Ok(Json(app.engine.enable_agent(&id, &by).await?))
}
