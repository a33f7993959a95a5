//! `POST /v2/security-events/{source}` (RFC 8935)

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use engine::EventRefused;
use serde_json::json;

use crate::http::App;
use crate::http::error::ProblemResponse;
use crate::http::extract::SecurityEventToken;

/// Receive a security event token that a configured transmitter pushes.
#[utoipa::path(
    post, path = "/v2/security-events/{source}", tag = "posture",
    params(("source" = String, Path, description = "The configured name of the transmitter")),
    request_body(content = String, content_type = "application/secevent+jwt", description = "The security event token (RFC 8417)"),
    responses(
        (status = 202, description = "Verified, and taken into account or not of use here"),
        (status = 400, description = "Not accepted: `err` and `description` as in RFC 8935", content_type = "application/json"),
        (status = 503, description = "The store, or the transmitter's keys, cannot be reached; try again", body = protocol::Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn receive(
    State(app): State<App>,
    Path(source): Path<String>,
    SecurityEventToken(token): SecurityEventToken,
) -> Response {
    match app.engine.receive_security_events(&source, &token).await {
        Ok(()) => StatusCode::ACCEPTED.into_response(),
        Err(EventRefused::Failed(refusal)) => ProblemResponse::from(refusal).into_response(),
        Err(EventRefused::NotAccepted { err, detail }) => {
            let body = json!({ "err": err, "description": detail });
            (StatusCode::BAD_REQUEST, axum::Json(body)).into_response()
        }
    }
}
