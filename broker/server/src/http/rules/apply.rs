//! `POST /v2/rules`

use axum::Json;
use axum::extract::State;
use engine::Author;
use engine::On;
use protocol::Problem;
use protocol::people::Right;
use protocol::rules::{ApplyRules, RulesApplied};

use crate::http::App;
use crate::http::error::ApiResult;
use crate::http::extract::{Bearer, RulesJson};

/// Check a rule set and its test cases, and make it active or the candidate.
#[utoipa::path(
    post, path = "/v2/rules", tag = "rules",
    request_body = ApplyRules,
    responses(
        (status = 200, description = "The set is accepted", body = RulesApplied),
        (status = 401, description = "No operator token, and no session of a person", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "The rules of persons do not permit it", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "Another change came first", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "More than 2 MiB", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "The set is refused, or test cases fail; `detail` says where", body = Problem, content_type = "application/problem+json"),
    ),
    security(("operator_token" = []), ("session_token" = [])),
)]
pub(crate) async fn apply(
    State(app): State<App>,
    Bearer(bearer): Bearer,
    RulesJson(request): RulesJson<ApplyRules>,
) -> ApiResult<Json<RulesApplied>> {
    let by = app.engine.actor(bearer.as_ref(), Right::Register, On::Broker).await?;
    Ok(Json(app.engine.apply_rules(&request, &Author::Actor(by)).await?))
}
