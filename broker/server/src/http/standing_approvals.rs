//! `/v2/standing-approvals`

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use protocol::standing_approvals::{NewStandingApproval, StandingApproval, StandingApprovalList};
use protocol::{Problem, StandingApprovalId};

use crate::http::App;
use crate::http::error::ApiResult;
use crate::http::extract::{Bearer, Id, Json as Body, Key};

/// Approve requests of an agent in advance. Only a person can.
#[utoipa::path(
    post, path = "/v2/standing-approvals", tag = "approvals", request_body = NewStandingApproval,
    params(("Idempotency-Key" = String, Header, description = "32 hexadecimal digits (128 random bits): a retry makes no other standing approval")),
    responses(
        (status = 201, description = "The standing approval", body = StandingApproval),
        (status = 401, description = "No session of a person", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "The person may not: by the rules, because a policy is outside the boundary or of high sensitivity; or an operator token", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such agent, or one that the person may not see", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "The idempotency key was used for another one", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "Unprocessable: too many uses, too long, no policy", body = Problem, content_type = "application/problem+json"),
    ),
    security(("session_token" = [])),
)]
pub(crate) async fn create(
    State(app): State<App>,
    Bearer(bearer): Bearer,
    Key(key): Key,
    Body(new): Body<NewStandingApproval>,
) -> ApiResult<(StatusCode, Json<StandingApproval>)> {
    Ok((StatusCode::CREATED, Json(app.engine.approve_in_advance(bearer.as_ref(), &key, &new).await?)))
}

/// List the standing approvals in force, newest first: those for agents that the caller may see.
#[utoipa::path(
    get, path = "/v2/standing-approvals", tag = "approvals",
    responses(
        (status = 200, description = "All of them", body = StandingApprovalList),
        (status = 401, description = "No operator token, and no session of a person", body = Problem, content_type = "application/problem+json"),
    ),
    security(("operator_token" = []), ("session_token" = [])),
)]
pub(crate) async fn list(
    State(app): State<App>,
    Bearer(bearer): Bearer,
) -> ApiResult<Json<StandingApprovalList>> {
    Ok(Json(app.engine.standing_approvals(bearer.as_ref()).await?))
}

/// End a standing approval, and withdraw its votes for requests that still wait. Its person may, and who may operate the
/// agent.
#[utoipa::path(
    delete, path = "/v2/standing-approvals/{id}", tag = "approvals",
    params(("id" = String, Path, description = "The standing approval: `sa-…`")),
    responses(
        (status = 200, description = "The standing approval, which has ended", body = StandingApproval),
        (status = 401, description = "No operator token, and no session of a person", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "Neither the person's own, nor for an agent that the person may operate", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "Unknown, or for an agent that the caller may not see", body = Problem, content_type = "application/problem+json"),
    ),
    security(("operator_token" = []), ("session_token" = [])),
)]
pub(crate) async fn revoke(
    State(app): State<App>,
    Bearer(bearer): Bearer,
    Id(id): Id<StandingApprovalId>,
) -> ApiResult<Json<StandingApproval>> {
    Ok(Json(app.engine.revoke_standing_approval(bearer.as_ref(), &id).await?))
}
