//! `PUT /v2/posture/{source}/{subject}` and `GET /v2/posture`

use axum::extract::{Path, State};
use engine::On;
use engine::Page;
use protocol::Problem;
use protocol::people::Right;
use protocol::posture::{PostureList, PostureReport, PostureStored};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::http::App;
use crate::http::error::ApiResult;
use crate::http::extract::{Bearer, Json, Query};

/// Report what a source finds about a subject. Live grants of the subject are decided again if it changes.
#[utoipa::path(
    put, path = "/v2/posture/{source}/{subject}", tag = "posture",
    params(
        ("source" = String, Path, description = "The configured name of the source"),
        ("subject" = String, Path, description = "`agent/ID`, or a signed fact and its value like `repository/octo-org/app`, with `%2F` for each `/`"),
    ),
    request_body = PostureReport,
    responses(
        (status = 200, description = "What the report did", body = PostureStored),
        (status = 401, description = "Not the token of this source", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "An unknown form of subject, a time in the future, or a finding that has ended", body = Problem, content_type = "application/problem+json"),
    ),
    security(("posture_token" = [])),
)]
pub(crate) async fn put(
    State(app): State<App>,
    Bearer(bearer): Bearer,
    Path((source, subject)): Path<(String, String)>,
    Json(report): Json<PostureReport>,
) -> ApiResult<axum::Json<PostureStored>> {
    Ok(axum::Json(app.engine.put_posture(bearer.as_ref(), &source, &subject, &report).await?))
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Filter {
    /// Only findings of this source.
    source: Option<String>,
    /// `next` of the previous page.
    after: Option<String>,
    /// Findings per page: 1 to 200, 50 by default.
    limit: Option<u32>,
}

/// List the findings that hold now, by source and subject.
#[utoipa::path(
    get, path = "/v2/posture", tag = "posture", params(Filter),
    responses(
        (status = 200, description = "A page of findings", body = PostureList),
        (status = 401, description = "No operator token, and no session of a person", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "The rules of persons do not permit it", body = Problem, content_type = "application/problem+json"),
    ),
    security(("operator_token" = []), ("session_token" = [])),
)]
pub(crate) async fn list(
    State(app): State<App>,
    Bearer(bearer): Bearer,
    Query(filter): Query<Filter>,
) -> ApiResult<axum::Json<PostureList>> {
    app.engine.actor(bearer.as_ref(), Right::View, On::Broker).await?;
    let page = Page::of(filter.limit);
    Ok(axum::Json(app.engine.postures(filter.source.as_deref(), filter.after.as_deref(), page).await?))
}
