//! `POST /v2/rules/test`

use axum::Json;
use axum::extract::State;
use protocol::Problem;
use protocol::rules::{RulesTested, TestRules};

use crate::http::App;
use crate::http::error::ApiResult;
use crate::http::extract::{Bearer, RulesJson};

/// Ask the active set and the candidate about requests, or about the recorded request for a grant. Nothing is granted or
/// recorded.
#[utoipa::path(
    post, path = "/v2/rules/test", tag = "rules",
    request_body = TestRules,
    responses(
        (status = 200, description = "What each set answers", body = RulesTested),
        (status = 401, description = "No operator token, and no session of a person", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "The rules of persons do not permit it", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such grant", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "The cases cannot be read", body = Problem, content_type = "application/problem+json"),
    ),
    security(("operator_token" = []), ("session_token" = [])),
)]
pub(crate) async fn test(
    State(app): State<App>,
    Bearer(bearer): Bearer,
    RulesJson(request): RulesJson<TestRules>,
) -> ApiResult<Json<RulesTested>> {
    Ok(Json(app.engine.test_rules(bearer.as_ref(), &request).await?))
}
