//! `POST /v2/agents` and `PUT /v2/agents/{id}`

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use engine::On;
use engine::{Author, Refusal};
use protocol::agents::{Applied, Outcome};
use protocol::people::Right;
use protocol::{AgentId, ErrorCode, Problem};
use serde::Deserialize;
use store::ApplyMode;
use utoipa::IntoParams;

use crate::http::App;
use crate::http::error::ApiResult;
use crate::http::extract::{Bearer, Id, Query, Registration};

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ReplaceQuery {
    /// Replace an existing registration.
    #[serde(default)]
    replace: bool,
}

/// Register an agent from its file. The answer for a new agent contains its auth token, which is shown once.
#[utoipa::path(
    post, path = "/v2/agents", tag = "agents", params(ReplaceQuery),
    request_body(content = String, content_type = "application/toml", description = "The registration file"),
    responses(
        (status = 200, description = "Registration replaced, or unchanged", body = Applied),
        (status = 201, description = "Agent registered", body = Applied),
        (status = 401, description = "No operator token, and no session of a person", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "The rules of persons do not permit it", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "The agent is registered already", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "Registration refused; the reason is in `detail`", body = Problem, content_type = "application/problem+json"),
    ),
    security(("operator_token" = []), ("session_token" = [])),
)]
pub(crate) async fn create(
    State(app): State<App>,
    Bearer(bearer): Bearer,
    Query(options): Query<ReplaceQuery>,
    Registration(source): Registration,
) -> ApiResult<(StatusCode, Json<Applied>)> {
    let by = Author::Actor(app.engine.actor(bearer.as_ref(), Right::Register, On::Broker).await?);
    let mode = if options.replace { ApplyMode::Replace } else { ApplyMode::CreateOnly };
    Ok(response(app.engine.apply_agent(&source, mode, &by).await?))
}

/// Register an agent, or replace its registration. The id in the path and in the file must be the same.
#[utoipa::path(
    put, path = "/v2/agents/{id}", tag = "agents",
    params(("id" = String, Path, description = "The agent's id")),
    request_body(content = String, content_type = "application/toml", description = "The registration file"),
    responses(
        (status = 200, description = "Registration replaced, or unchanged", body = Applied),
        (status = 201, description = "Agent registered", body = Applied),
        (status = 401, description = "No operator token, and no session of a person", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "The rules of persons do not permit it", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "Registration refused; the reason is in `detail`", body = Problem, content_type = "application/problem+json"),
    ),
    security(("operator_token" = []), ("session_token" = [])),
)]
pub(crate) async fn replace(
    State(app): State<App>,
    Bearer(bearer): Bearer,
    Id(id): Id<AgentId>,
    Registration(source): Registration,
) -> ApiResult<(StatusCode, Json<Applied>)> {
    let by = Author::Actor(app.engine.actor(bearer.as_ref(), Right::Register, On::Broker).await?);
    let registration = domain::registration::parse(&source)
        .map_err(|error| Refusal::new(ErrorCode::InvalidRegistration, error.to_string()))?;
    if registration.id != id {
        let detail = format!("`id`: expected `{id}` as in the path, found `{}`", registration.id);
        return Err(Refusal::new(ErrorCode::InvalidRegistration, detail).into());
    }
    Ok(response(app.engine.apply_agent(&source, ApplyMode::Replace, &by).await?))
}

fn response(applied: Applied) -> (StatusCode, Json<Applied>) {
    let status = match applied.outcome {
        Outcome::Created => StatusCode::CREATED,
        Outcome::Updated | Outcome::Unchanged => StatusCode::OK,
    };
    (status, Json(applied))
}
