//! `GET /v2/rules`, `GET /v2/rules/history` and `GET /v2/rules/sets/{digest}`

use axum::Json;
use axum::extract::{Path, State};
use engine::On;
use engine::Page;
use protocol::Problem;
use protocol::people::Right;
use protocol::rules::{RuleSetFiles, RulesHistory, RulesState};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::http::App;
use crate::http::error::ApiResult;
use crate::http::extract::{Bearer, Query};

/// Show which rule sets decide now.
#[utoipa::path(
    get, path = "/v2/rules", tag = "rules",
    responses(
        (status = 200, description = "The rules now", body = RulesState),
        (status = 401, description = "No operator token, and no session of a person", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "The rules of persons do not permit it", body = Problem, content_type = "application/problem+json"),
    ),
    security(("operator_token" = []), ("session_token" = [])),
)]
pub(crate) async fn state(State(app): State<App>, Bearer(bearer): Bearer) -> ApiResult<Json<RulesState>> {
    app.engine.actor(bearer.as_ref(), Right::View, On::Broker).await?;
    Ok(Json(app.engine.rules_state().await?))
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Changes {
    /// `next` of the previous page.
    before: Option<i64>,
    /// Changes per page: 1 to 200, 50 by default.
    limit: Option<u32>,
}

/// List the changes of the rules, newest first.
#[utoipa::path(
    get, path = "/v2/rules/history", tag = "rules", params(Changes),
    responses(
        (status = 200, description = "A page of changes", body = RulesHistory),
        (status = 401, description = "No operator token, and no session of a person", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "The rules of persons do not permit it", body = Problem, content_type = "application/problem+json"),
    ),
    security(("operator_token" = []), ("session_token" = [])),
)]
pub(crate) async fn history(
    State(app): State<App>,
    Bearer(bearer): Bearer,
    Query(changes): Query<Changes>,
) -> ApiResult<Json<RulesHistory>> {
    app.engine.actor(bearer.as_ref(), Right::View, On::Broker).await?;
    Ok(Json(app.engine.rules_history(changes.before, Page::of(changes.limit)).await?))
}

/// Show the files of a rule set.
#[utoipa::path(
    get, path = "/v2/rules/sets/{digest}", tag = "rules",
    params(("digest" = String, Path, description = "64 hexadecimal digits")),
    responses(
        (status = 200, description = "The files", body = RuleSetFiles),
        (status = 401, description = "No operator token, and no session of a person", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "The rules of persons do not permit it", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such set", body = Problem, content_type = "application/problem+json"),
    ),
    security(("operator_token" = []), ("session_token" = [])),
)]
pub(crate) async fn set(
    State(app): State<App>,
    Bearer(bearer): Bearer,
    Path(digest): Path<String>,
) -> ApiResult<Json<RuleSetFiles>> {
    app.engine.actor(bearer.as_ref(), Right::View, On::Broker).await?;
    Ok(Json(app.engine.rule_set_files(&digest).await?))
}
