//! `POST /v2/registrations/check`

use axum::extract::State;
use protocol::Problem;
use protocol::agents::{CheckRegistration, RegistrationChecked};

use crate::http::App;
use crate::http::error::ApiResult;
use crate::http::extract::{Bearer, Json};

/// Check a registration, and try its trust rules on a token or on the recorded claims of a grant. Nothing is changed, and the
/// token is not used up.
#[utoipa::path(
    post, path = "/v2/registrations/check", tag = "agents",
    request_body = CheckRegistration,
    responses(
        (status = 200, description = "The registration can be applied", body = RegistrationChecked),
        (status = 401, description = "No operator token, and no session of a person; or the token to try cannot be read", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "The rules of persons do not permit it", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such grant", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "Registration refused; the reason is in `detail`", body = Problem, content_type = "application/problem+json"),
    ),
    security(("operator_token" = []), ("session_token" = [])),
)]
pub(crate) async fn check(
    State(app): State<App>,
    Bearer(bearer): Bearer,
    Json(request): Json<CheckRegistration>,
) -> ApiResult<axum::Json<RegistrationChecked>> {
    Ok(axum::Json(app.engine.check_registration(bearer.as_ref(), &request).await?))
}
