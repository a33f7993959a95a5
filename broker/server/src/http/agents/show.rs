//! `GET /v2/agents/{id}`

use axum::Json;
use axum::extract::State;
use engine::On;
use protocol::agents::Agent;
use protocol::people::Right;
use protocol::{AgentId, Problem};

use crate::http::App;
use crate::http::error::ApiResult;
use crate::http::extract::{Bearer, Id};

/// Show an agent, without the text of its auth tokens.
#[utoipa::path(
    get, path = "/v2/agents/{id}", tag = "agents",
    params(("id" = String, Path, description = "The agent's id")),
    responses(
        (status = 200, description = "The agent", body = Agent),
        (status = 401, description = "No operator token, and no session of a person", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "The rules of persons do not permit it", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "The agent is not registered", body = Problem, content_type = "application/problem+json"),
    ),
    security(("operator_token" = []), ("session_token" = [])),
)]
pub(crate) async fn show(
    State(app): State<App>,
    Bearer(bearer): Bearer,
    Id(id): Id<AgentId>,
) -> ApiResult<Json<Agent>> {
    app.engine.actor(bearer.as_ref(), Right::View, On::Agent(&id)).await?;
    Ok(Json(app.engine.agent(&id).await?))
}
