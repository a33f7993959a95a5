//! Token introspection (RFC 7662).

use axum::Json;
use axum::extract::State;
use engine::Introspection;

use super::App;
use super::error::ApiResult;
use super::extract::{Bearer, IntrospectedToken};

/// Introspect the token of a grant: whether the grant is active now. For resource servers, with an introspection token.
#[utoipa::path(
    post, path = "/v2/introspect", tag = "verifying",
    request_body(content = Object, content_type = "application/x-www-form-urlencoded", description = "`token=…`"),
    responses(
        (status = 200, description = "`active`, and the claims of an active token", body = Object),
        (status = 401, description = "Introspection token missing or not accepted", body = protocol::Problem, content_type = "application/problem+json"),
    ),
    security(("introspection_token" = []), ("operator_token" = [])),
)]
pub(crate) async fn introspect(
    State(app): State<App>,
    Bearer(bearer): Bearer,
    IntrospectedToken(token): IntrospectedToken,
) -> ApiResult<Json<Introspection>> {
    Ok(Json(app.engine.introspect(bearer.as_ref(), &token).await?))
}
