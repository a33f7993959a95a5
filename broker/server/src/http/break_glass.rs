//! `/v2/break-glass` and `/v2/break-glass-codes`

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use engine::Page;
use protocol::break_glass::{BreakGlassRequest, CodeList, NewCodes, NewReview, SealedCodes};
use protocol::{BreakGlassCodeId, Grant, GrantId, GrantList, Problem};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::http::App;
use crate::http::error::ApiResult;
use crate::http::extract::{Bearer, Id, Json as Body, Key, Query};
use crate::http::observer::Observed;

/// Take a grant in an emergency: within the boundary of the agent, without rules and approvals. The bearer is the session
/// of a person, or a sealed code.
#[utoipa::path(
    post, path = "/v2/break-glass", tag = "break-glass", request_body = BreakGlassRequest,
    params(("Idempotency-Key" = String, Header, description = "32 hexadecimal digits (128 random bits): a retry joins the same grant")),
    responses(
        (status = 201, description = "Grant issued, and told to every channel", body = Grant),
        (status = 401, description = "Neither the session of a person nor a sealed code that is accepted", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "Outside the boundary; the rules of persons do not permit it; the sign-in is too old; or an operator token", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such agent, or one that the person may not see", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "The idempotency key was used for another request, or its grant has ended", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "Unprocessable request", body = Problem, content_type = "application/problem+json"),
        (status = 502, description = "The target failed; the grant was rolled back", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "The store cannot be reached, or the request took longer than 30 s; try again", body = Problem, content_type = "application/problem+json"),
    ),
    security(("session_token" = []), ("break_glass_code" = [])),
)]
pub(crate) async fn create(
    State(app): State<App>,
    Bearer(bearer): Bearer,
    Key(key): Key,
    Observed(observed): Observed,
    Body(request): Body<BreakGlassRequest>,
) -> ApiResult<(StatusCode, Json<Grant>)> {
    let taken = app.engine.break_glass(bearer.as_ref(), key, request, observed).await?;
    Ok((StatusCode::CREATED, Json(taken.grant)))
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Filter {
    /// Only grants that another person still has to review.
    #[serde(default)]
    unreviewed: bool,
    /// `next` of the previous page.
    after: Option<GrantId>,
    /// Grants per page: 1 to 200, 50 by default.
    limit: Option<u32>,
}

/// List the grants that were taken by break-glass, newest first: those of agents that the caller may see.
#[utoipa::path(
    get, path = "/v2/break-glass", tag = "break-glass", params(Filter),
    responses(
        (status = 200, description = "A page of grants", body = GrantList),
        (status = 401, description = "No operator token, and no session of a person", body = Problem, content_type = "application/problem+json"),
    ),
    security(("operator_token" = []), ("session_token" = [])),
)]
pub(crate) async fn list(
    State(app): State<App>,
    Bearer(bearer): Bearer,
    Query(filter): Query<Filter>,
) -> ApiResult<Json<GrantList>> {
    let Filter { unreviewed, after, limit } = filter;
    let page = Page::of(limit);
    Ok(Json(app.engine.break_glass_grants(bearer.as_ref(), unreviewed, after, page).await?))
}

/// Review a grant that was taken by break-glass and has ended, as another person than the one who took it.
#[utoipa::path(
    post, path = "/v2/break-glass/{id}/review", tag = "break-glass", request_body = NewReview,
    params(("id" = String, Path, description = "The grant: `elev-…`")),
    responses(
        (status = 200, description = "The grant, with its review", body = Grant),
        (status = 401, description = "No session of a person", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "The person took the grant, or may not audit the agent; or an operator token where persons can sign in", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "Unknown, not taken by break-glass, or of an agent that the caller may not see", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "The grant has not ended, or is reviewed", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "Unprocessable, or the grant never became active", body = Problem, content_type = "application/problem+json"),
    ),
    security(("operator_token" = []), ("session_token" = [])),
)]
pub(crate) async fn review(
    State(app): State<App>,
    Bearer(bearer): Bearer,
    Id(id): Id<GrantId>,
    Body(review): Body<NewReview>,
) -> ApiResult<Json<Grant>> {
    Ok(Json(app.engine.review_break_glass(bearer.as_ref(), &id, &review.note).await?))
}

/// Seal codes that are good for one grant each, for the time when persons cannot sign in.
#[utoipa::path(
    post, path = "/v2/break-glass-codes", tag = "break-glass", request_body = NewCodes,
    responses(
        (status = 201, description = "The codes, which are shown only now", body = SealedCodes),
        (status = 401, description = "No operator token, and no session of a person", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "The rules of persons do not permit it", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "Unprocessable: too many, too long, no glob of agents", body = Problem, content_type = "application/problem+json"),
    ),
    security(("operator_token" = []), ("session_token" = [])),
)]
pub(crate) async fn seal(
    State(app): State<App>,
    Bearer(bearer): Bearer,
    Body(new): Body<NewCodes>,
) -> ApiResult<(StatusCode, Json<SealedCodes>)> {
    Ok((StatusCode::CREATED, Json(app.engine.seal_codes(bearer.as_ref(), &new).await?)))
}

/// List the sealed codes that have not expired, without the codes.
#[utoipa::path(
    get, path = "/v2/break-glass-codes", tag = "break-glass",
    responses(
        (status = 200, description = "All of them, the first to expire first", body = CodeList),
        (status = 401, description = "No operator token, and no session of a person", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "The rules of persons do not permit it", body = Problem, content_type = "application/problem+json"),
    ),
    security(("operator_token" = []), ("session_token" = [])),
)]
pub(crate) async fn codes(State(app): State<App>, Bearer(bearer): Bearer) -> ApiResult<Json<CodeList>> {
    Ok(Json(app.engine.sealed_codes(bearer.as_ref()).await?))
}

/// Revoke a sealed code. A grant that was taken with it ends, because its heartbeats are not accepted any more.
#[utoipa::path(
    delete, path = "/v2/break-glass-codes/{id}", tag = "break-glass",
    params(("id" = String, Path, description = "The code's id: `bg-…`")),
    responses(
        (status = 204, description = "Revoked"),
        (status = 401, description = "No operator token, and no session of a person", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "The rules of persons do not permit it", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such code", body = Problem, content_type = "application/problem+json"),
    ),
    security(("operator_token" = []), ("session_token" = [])),
)]
pub(crate) async fn revoke_code(
    State(app): State<App>,
    Bearer(bearer): Bearer,
    Id(id): Id<BreakGlassCodeId>,
) -> ApiResult<StatusCode> {
    app.engine.revoke_code(bearer.as_ref(), &id).await?;
    Ok(StatusCode::NO_CONTENT)
}
