//! `/v2/sessions` and `/v2/sessions/current`

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use engine::On;
use protocol::Problem;
use protocol::people::{ExchangeCode, NewSession, Right, SessionList, SessionState, SessionsEnded};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::http::App;
use crate::http::error::ApiResult;
use crate::http::extract::{Bearer, Json as Body, Query};

/// Exchange the code of a sign-in for its session. A code is accepted once, and for two minutes.
#[utoipa::path(
    post, path = "/v2/sessions", tag = "people", request_body = ExchangeCode,
    responses(
        (status = 201, description = "The session, with its token", body = NewSession),
        (status = 403, description = "The code or the verifier is not accepted", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "No provider is configured", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn exchange(
    State(app): State<App>,
    Body(request): Body<ExchangeCode>,
) -> ApiResult<(StatusCode, Json<NewSession>)> {
    let session = app.engine.exchange_code(&request.code, &request.verifier).await?;
    Ok((StatusCode::CREATED, Json(session)))
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct OfPerson {
    /// The person's `sub` at the provider.
    subject: String,
}

/// List open sessions, the last used first.
#[utoipa::path(
    get, path = "/v2/sessions", tag = "people",
    responses(
        (status = 200, description = "The sessions, without tokens", body = SessionList),
        (status = 401, description = "No operator token, and no session of a person", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "The rules of persons do not permit it", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "No provider is configured", body = Problem, content_type = "application/problem+json"),
    ),
    security(("operator_token" = []), ("session_token" = [])),
)]
pub(crate) async fn list(State(app): State<App>, Bearer(bearer): Bearer) -> ApiResult<Json<SessionList>> {
    app.engine.actor(bearer.as_ref(), Right::Audit, On::Broker).await?;
    Ok(Json(app.engine.sessions().await?))
}

/// End every session of a person.
#[utoipa::path(
    delete, path = "/v2/sessions", tag = "people", params(OfPerson),
    responses(
        (status = 200, description = "How many sessions there were", body = SessionsEnded),
        (status = 401, description = "No operator token, and no session of a person", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "The rules of persons do not permit it", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "No provider is configured", body = Problem, content_type = "application/problem+json"),
    ),
    security(("operator_token" = []), ("session_token" = [])),
)]
pub(crate) async fn end_all(
    State(app): State<App>,
    Bearer(bearer): Bearer,
    Query(of): Query<OfPerson>,
) -> ApiResult<Json<SessionsEnded>> {
    let by = app.engine.actor(bearer.as_ref(), Right::Operate, On::Broker).await?;
    Ok(Json(app.engine.end_sessions_of(&of.subject, &by).await?))
}

/// Show the session of the token.
#[utoipa::path(
    get, path = "/v2/sessions/current", tag = "people",
    responses(
        (status = 200, description = "The session", body = SessionState),
        (status = 401, description = "The session has ended", body = Problem, content_type = "application/problem+json"),
    ),
    security(("session_token" = [])),
)]
pub(crate) async fn show(State(app): State<App>, Bearer(bearer): Bearer) -> ApiResult<Json<SessionState>> {
    Ok(Json(app.engine.session(bearer.as_ref()).await?))
}

/// End the session of the token.
#[utoipa::path(
    delete, path = "/v2/sessions/current", tag = "people",
    responses(
        (status = 204, description = "The session has ended"),
        (status = 401, description = "The session had ended before", body = Problem, content_type = "application/problem+json"),
    ),
    security(("session_token" = [])),
)]
pub(crate) async fn end(State(app): State<App>, Bearer(bearer): Bearer) -> ApiResult<StatusCode> {
    app.engine.end_session(bearer.as_ref()).await?;
    Ok(StatusCode::NO_CONTENT)
}
