//! `GET /v2/agents/{id}`

use axum::Json;
use axum::extract::State;
use protocol::agents::Agent;
use protocol::{AgentId, Problem};

use crate::http::App;
use crate::http::answer::Answer;
use crate::http::ask::{Bearer, Id};

/// One agent, without its auth tokens.
#[utoipa::path(
    get, path = "/v2/agents/{id}", tag = "agents",
    params(("id" = String, Path, description = "The agent's id")),
    responses(
        (status = 200, description = "The agent", body = Agent),
        (status = 401, description = "No operator token", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "Not registered", body = Problem, content_type = "application/problem+json"),
    ),
    security(("operator_token" = [])),
)]
pub(crate) async fn show(
    State(app): State<App>,
    Bearer(bearer): Bearer,
    Id(id): Id<AgentId>,
) -> Answer<Json<Agent>> {
    app.engine.operator(bearer.as_ref())?;
    Ok(Json(app.engine.agent(&id).await?))
}
