//! Is this token's grant active? RFC 7662.

use axum::Json;
use axum::extract::State;
use engine::Introspection;

use super::App;
use super::answer::Answer;
use super::ask::{Bearer, IntrospectedToken};

/// Says whether a token's grant is active this moment. For resource servers, with an introspection token.
#[utoipa::path(
    post, path = "/v2/introspect", tag = "verifying",
    request_body(content = Object, content_type = "application/x-www-form-urlencoded", description = "`token=…`"),
    responses(
        (status = 200, description = "`active`, and the token's claims when it is", body = Object),
        (status = 401, description = "No introspection token", body = protocol::Problem, content_type = "application/problem+json"),
    ),
    security(("introspection_token" = []), ("operator_token" = [])),
)]
pub(crate) async fn introspect(
    State(app): State<App>,
    Bearer(bearer): Bearer,
    IntrospectedToken(token): IntrospectedToken,
) -> Answer<Json<Introspection>> {
    Ok(Json(app.engine.introspect(bearer.as_ref(), &token).await?))
}
