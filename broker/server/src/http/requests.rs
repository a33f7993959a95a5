//! `/v2/requests`

use axum::Json;
use axum::extract::State;
use engine::Page;
use protocol::approvals::{ApprovalRequest, RequestList, Vote};
use protocol::{GrantId, Problem};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::http::App;
use crate::http::error::ApiResult;
use crate::http::extract::{Bearer, Id, Json as Body, Query};

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct PageQuery {
    /// `next` of the previous page.
    after: Option<GrantId>,
    /// Requests per page: 1 to 200, 50 by default.
    limit: Option<u32>,
}

/// List the requests that wait for approval, newest first: those of agents that the caller may see.
#[utoipa::path(
    get, path = "/v2/requests", tag = "approvals", params(PageQuery),
    responses(
        (status = 200, description = "A page of requests", body = RequestList),
        (status = 401, description = "No operator token, and no session of a person", body = Problem, content_type = "application/problem+json"),
    ),
    security(("operator_token" = []), ("session_token" = [])),
)]
pub(crate) async fn list(
    State(app): State<App>,
    Bearer(bearer): Bearer,
    Query(query): Query<PageQuery>,
) -> ApiResult<Json<RequestList>> {
    Ok(Json(app.engine.requests(bearer.as_ref(), query.after, Page::of(query.limit)).await?))
}

/// Show a request with what its policies mean, also after it was decided.
#[utoipa::path(
    get, path = "/v2/requests/{id}", tag = "approvals",
    params(("id" = String, Path, description = "The grant that waits: `elev-…`")),
    responses(
        (status = 200, description = "The request", body = ApprovalRequest),
        (status = 401, description = "No operator token, and no session of a person", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "Unknown, needed no approval, or of an agent that the caller may not see", body = Problem, content_type = "application/problem+json"),
    ),
    security(("operator_token" = []), ("session_token" = [])),
)]
pub(crate) async fn show(
    State(app): State<App>,
    Bearer(bearer): Bearer,
    Id(id): Id<GrantId>,
) -> ApiResult<Json<ApprovalRequest>> {
    Ok(Json(app.engine.request(bearer.as_ref(), &id).await?))
}

/// Approve or deny a request. Only a person can, and the vote counts for the digest that the person was shown.
#[utoipa::path(
    post, path = "/v2/requests/{id}/votes", tag = "approvals", request_body = Vote,
    params(("id" = String, Path, description = "The grant that waits: `elev-…`")),
    responses(
        (status = 200, description = "The request with the vote", body = ApprovalRequest),
        (status = 401, description = "No session of a person", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "The person may not: by the rules, because the run is the person's own, because the sign-in is too old; or an operator token", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "Unknown, or of an agent that the person may not see", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "The request has changed since it was shown, or is decided", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "Unprocessable vote", body = Problem, content_type = "application/problem+json"),
    ),
    security(("session_token" = [])),
)]
pub(crate) async fn vote(
    State(app): State<App>,
    Bearer(bearer): Bearer,
    Id(id): Id<GrantId>,
    Body(vote): Body<Vote>,
) -> ApiResult<Json<ApprovalRequest>> {
    Ok(Json(app.engine.vote(bearer.as_ref(), &id, &vote).await?))
}
