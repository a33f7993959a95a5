//! Errors as HTTP responses: RFC 9457 problem documents.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use engine::Refusal;
use protocol::problem::MEDIA_TYPE;

/// An error that is sent as a problem document.
#[derive(Debug)]
pub(crate) struct ProblemResponse(Refusal);

impl From<Refusal> for ProblemResponse {
    fn from(refusal: Refusal) -> Self {
        Self(refusal)
    }
}

impl IntoResponse for ProblemResponse {
    fn into_response(self) -> Response {
        let Self(refusal) = self;
        let status = StatusCode::from_u16(refusal.code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut problem = refusal.problem();
        let code = refusal.code.as_str();
        if status.is_server_error() {
            // The caller can quote the id; the log has it with the cause, which the caller does not see.
            let request_id = request_id();
            tracing::error!(code, request_id, cause = refusal.cause.as_deref(), "{refusal}");
            problem.request_id = Some(request_id);
        } else {
            tracing::info!(code, "refused");
        }
        let mut response = (status, Json(problem)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        let default_retry = (status == StatusCode::SERVICE_UNAVAILABLE).then_some(1);
        let retry_after = refusal.retry_after.or(default_retry);
        if let Some(seconds) = retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

fn request_id() -> String {
    let mut bytes = [0; 8];
    // Without randomness the id is zero, which is no reason to fail.
    let _ = engine::Random::fill(&engine::SystemRandom, &mut bytes);
    format!("{:016x}", u64::from_be_bytes(bytes))
}

/// The result of a handler.
pub(crate) type ApiResult<T> = Result<T, ProblemResponse>;
