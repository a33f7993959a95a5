//! Discovery document and public keys of the broker as the issuer of `token` grants.

use axum::Json;
use axum::extract::State;
use protocol::routes::INTROSPECT;
use serde_json::{Value, json};

use super::App;

/// Issuer metadata (OpenID Connect Discovery, RFC 8414).
#[utoipa::path(get, path = "/.well-known/openid-configuration", tag = "verifying", responses((status = 200, description = "Issuer metadata", body = Value)))]
pub(crate) async fn discovery(State(app): State<App>) -> Json<Value> {
    let url = app.engine.issuer().url();
    Json(json!({
        "issuer": url,
        "jwks_uri": format!("{url}/.well-known/jwks.json"),
        "introspection_endpoint": format!("{url}{INTROSPECT}"),
        "introspection_endpoint_auth_methods_supported": ["bearer"],
        "id_token_signing_alg_values_supported": ["EdDSA"],
        "response_types_supported": ["none"],
        "subject_types_supported": ["public"],
        "claims_supported": [
            "iss", "sub", "aud", "iat", "exp", "jti", "client_id", "scope", "grant_id", "authorization_details", "provenance"
        ],
    }))
}

/// Public keys of the issuer (RFC 7517).
#[utoipa::path(get, path = "/.well-known/jwks.json", tag = "verifying", responses((status = 200, description = "Public keys", body = Value)))]
pub(crate) async fn keys(State(app): State<App>) -> Json<Value> {
    Json(app.engine.issuer().jwks())
}
