//! `POST /v2/agentic/jit`

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use engine::Elevation;
use protocol::{Decision, ElevateRequest, Grant, GrantStatus, Problem};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::http::App;
use crate::http::error::ApiResult;
use crate::http::extract::{self, Bearer, Json, OptionalKey, Query};
use crate::http::observer::Observed;

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Options {
    /// Return the decision, which is recorded, and provision nothing.
    #[serde(default)]
    dry_run: bool,
}

/// Request a grant. A retry with the same idempotency key joins the same grant.
#[utoipa::path(
    post, path = "/v2/agentic/jit", tag = "grants",
    params(Options, ("Idempotency-Key" = String, Header, description = "32 hexadecimal digits (128 random bits); a dry run needs none")),
    request_body = ElevateRequest,
    responses(
        (status = 200, description = "Dry run: the decision", body = Decision),
        (status = 201, description = "Grant issued", body = Grant),
        (status = 202, description = "The grant waits for approval: poll it, or send its heartbeats, and elevate again when `approval.approved_at` is there", body = Grant),
        (status = 401, description = "Authentication failed", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "Outside the boundary, or refused by a rule; the reason is in `detail`", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "The idempotency key was used for another request, or its grant has ended", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "Body larger than 64 KiB", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "Unprocessable request", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "Rate limited", body = Problem, content_type = "application/problem+json"),
        (status = 502, description = "The target failed; the grant was rolled back", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "The store or the issuer cannot be reached, or the request took longer than 30 s; try again", body = Problem, content_type = "application/problem+json"),
    ),
    security(("auth_token" = [])),
)]
pub(crate) async fn elevate(
    State(app): State<App>,
    Bearer(bearer): Bearer,
    OptionalKey(key): OptionalKey,
    Query(options): Query<Options>,
    Observed(observed): Observed,
    Json(request): Json<ElevateRequest>,
) -> ApiResult<Response> {
    if options.dry_run {
        let decision = app.engine.dry_run(bearer.as_ref(), &request, observed).await?;
        return Ok((StatusCode::OK, axum::Json(decision)).into_response());
    }
    let key = key.ok_or_else(extract::key_expected)?;
    let elevated = app.engine.elevate(Elevation { bearer, key, request, observed }).await?;
    let waits = elevated.grant.status == GrantStatus::PendingApproval;
    let status = if waits { StatusCode::ACCEPTED } else { StatusCode::CREATED };
    Ok((status, axum::Json(elevated.grant)).into_response())
}
