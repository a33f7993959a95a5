//! `POST /v2/agentic/jit`

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use engine::Elevation;
use protocol::{Decision, ElevateRequest, Grant, Problem};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::http::App;
use crate::http::answer::Answer;
use crate::http::ask::{self, Bearer, Json, KeyIfAny, Query};

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Options {
    /// Only say what would happen.
    #[serde(default)]
    dry_run: bool,
}

/// Ask for a grant. A retry with the same key gets the same grant.
#[utoipa::path(
    post, path = "/v2/agentic/jit", tag = "grants",
    params(Options, ("Idempotency-Key" = String, Header, description = "32 hexadecimal digits (128 random bits); a dry run needs none")),
    request_body = ElevateRequest,
    responses(
        (status = 200, description = "Dry run: what would be given", body = Decision),
        (status = 201, description = "Given", body = Grant),
        (status = 202, description = "Waits for approval: poll the grant", body = Grant),
        (status = 401, description = "One of the credentials is not accepted", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "Outside the boundary; the reason is in `detail`", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "The key was used for something else, or its grant has ended", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "Longer than 64 KiB", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "Not understood", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "Too often", body = Problem, content_type = "application/problem+json"),
        (status = 502, description = "The target failed; undone", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "Store or issuer cannot be reached; try again", body = Problem, content_type = "application/problem+json"),
    ),
    security(("auth_token" = [])),
)]
pub(crate) async fn elevate(
    State(app): State<App>,
    Bearer(bearer): Bearer,
    KeyIfAny(key): KeyIfAny,
    Query(options): Query<Options>,
    Json(request): Json<ElevateRequest>,
) -> Answer<Response> {
    if options.dry_run {
        let decision = app.engine.dry_run(bearer.as_ref(), &request).await?;
        return Ok((StatusCode::OK, axum::Json(decision)).into_response());
    }
    let key = key.ok_or_else(ask::key_expected)?;
    let elevated = app.engine.elevate(Elevation { bearer, key, request }).await?;
    Ok((StatusCode::CREATED, axum::Json(elevated.grant)).into_response())
}
