//! How is a refusal sent?

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use engine::Refusal;
use protocol::problem::MEDIA_TYPE;

/// A refusal as a problem document.
#[derive(Debug)]
pub(crate) struct Problem(Refusal);

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        Self(refusal)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let Self(refusal) = self;
        let status = StatusCode::from_u16(refusal.code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut problem = refusal.problem();
        let code = refusal.code.as_str();
        if status.is_server_error() {
            // The caller can quote it; the log has the same beside what the caller is not told.
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
        let soon = (status == StatusCode::SERVICE_UNAVAILABLE).then_some(1);
        let retry_after = refusal.retry_after.or(soon);
        if let Some(seconds) = retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

fn request_id() -> String {
    let mut bytes = [0; 8];
    // An id that is all zeros is as good as none, and a reason less to fail.
    let _ = engine::Random::fill(&engine::SystemRandom, &mut bytes);
    format!("{:016x}", u64::from_be_bytes(bytes))
}

/// What a handler gives back.
pub(crate) type Answer<T> = Result<T, Problem>;
