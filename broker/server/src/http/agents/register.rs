//! `POST /v2/agents` and `PUT /v2/agents/{id}`

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use engine::{Author, Refusal};
use protocol::agents::{Applied, Outcome};
use protocol::{AgentId, ErrorCode, Problem};
use serde::Deserialize;
use store::ApplyMode;
use utoipa::IntoParams;

use crate::http::App;
use crate::http::answer::Answer;
use crate::http::ask::{Bearer, Id, Query, Registration};

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Options {
    /// Replace a registration that is there.
    #[serde(default)]
    replace: bool,
}

/// Register an agent from its file. A new agent's auth token is in the answer, this once.
#[utoipa::path(
    post, path = "/v2/agents", tag = "agents", params(Options),
    request_body(content = String, content_type = "application/toml", description = "The registration file"),
    responses(
        (status = 200, description = "Replaced, or as it was", body = Applied),
        (status = 201, description = "Registered", body = Applied),
        (status = 401, description = "No operator token", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "Registered already", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "Refused; the reason is in `detail`", body = Problem, content_type = "application/problem+json"),
    ),
    security(("operator_token" = [])),
)]
pub(crate) async fn create(
    State(app): State<App>,
    Bearer(bearer): Bearer,
    Query(options): Query<Options>,
    Registration(source): Registration,
) -> Answer<(StatusCode, Json<Applied>)> {
    let by = Author::Operator(app.engine.operator(bearer.as_ref())?);
    let mode = if options.replace { ApplyMode::Replace } else { ApplyMode::CreateOnly };
    Ok(answer(app.engine.apply_agent(&source, mode, &by).await?))
}

/// Register an agent, or replace its registration. The id in the path and in the file have to be the same.
#[utoipa::path(
    put, path = "/v2/agents/{id}", tag = "agents",
    params(("id" = String, Path, description = "The agent's id")),
    request_body(content = String, content_type = "application/toml", description = "The registration file"),
    responses(
        (status = 200, description = "Replaced, or as it was", body = Applied),
        (status = 201, description = "Registered", body = Applied),
        (status = 401, description = "No operator token", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "Refused; the reason is in `detail`", body = Problem, content_type = "application/problem+json"),
    ),
    security(("operator_token" = [])),
)]
pub(crate) async fn replace(
    State(app): State<App>,
    Bearer(bearer): Bearer,
    Id(id): Id<AgentId>,
    Registration(source): Registration,
) -> Answer<(StatusCode, Json<Applied>)> {
    let by = Author::Operator(app.engine.operator(bearer.as_ref())?);
    let registration = domain::registration::parse(&source)
        .map_err(|error| Refusal::new(ErrorCode::InvalidRegistration, error.to_string()))?;
    if registration.id != id {
        let detail = format!("`id`: expected `{id}` as in the path, found `{}`", registration.id);
        return Err(Refusal::new(ErrorCode::InvalidRegistration, detail).into());
    }
    Ok(answer(app.engine.apply_agent(&source, ApplyMode::Replace, &by).await?))
}

fn answer(applied: Applied) -> (StatusCode, Json<Applied>) {
    let status = match applied.outcome {
        Outcome::Created => StatusCode::CREATED,
        Outcome::Updated | Outcome::Unchanged => StatusCode::OK,
    };
    (status, Json(applied))
}
