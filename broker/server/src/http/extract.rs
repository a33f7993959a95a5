//! Extractors: parse and check the parts of a request, and refuse them with a problem document.

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::to_bytes;
use axum::extract::{FromRequest, FromRequestParts, Path as AxumPath, Query as AxumQuery, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use engine::Refusal;
use protocol::elevate::MAX_BODY;
use protocol::routes::IDEMPOTENCY_KEY;
use protocol::{ErrorCode, IdempotencyKey, Secret};
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use super::error::ProblemResponse;
use crate::listen::Slot;

fn invalid(detail: impl Into<String>) -> ProblemResponse {
    Refusal::new(ErrorCode::InvalidRequest, detail).into()
}

/// The value of a header that occurs once. A proxy in between might read another of two values than the broker.
fn single(headers: &HeaderMap, name: impl header::AsHeaderName) -> Option<&str> {
    let mut values = headers.get_all(name).iter();
    let (value, None) = (values.next()?, values.next()) else { return None };
    value.to_str().ok()
}

/// The value of a cookie that occurs once.
pub(crate) fn cookie<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut values = cookies
        .flat_map(|cookies| cookies.split("; "))
        .filter_map(|cookie| cookie.split_once('=').filter(|(found, _)| *found == name));
    let (Some((_, value)), None) = (values.next(), values.next()) else { return None };
    Some(value)
}

/// The token of `Authorization: Bearer …`, if the header exists.
pub(crate) struct Bearer(pub(crate) Option<Secret>);

impl<S: Sync> FromRequestParts<S> for Bearer {
    type Rejection = ProblemResponse;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ProblemResponse> {
        if !parts.headers.contains_key(header::AUTHORIZATION) {
            return Ok(Self(None));
        }
        let token = single(&parts.headers, header::AUTHORIZATION).and_then(|value| {
            let (scheme, token) = value.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then(|| Secret::new(token.trim()))
        });
        match token {
            Some(token) => Ok(Self(Some(token))),
            None => Err(Refusal::new(
                ErrorCode::AuthTokenInvalid,
                "expected one `Authorization: Bearer …`, found another scheme or form, or two of them",
            )
            .into()),
        }
    }
}

/// The header `Idempotency-Key`, required.
pub(crate) struct Key(pub(crate) IdempotencyKey);

/// The header `Idempotency-Key`, optional.
pub(crate) struct OptionalKey(pub(crate) Option<IdempotencyKey>);

impl<S: Sync> FromRequestParts<S> for OptionalKey {
    type Rejection = ProblemResponse;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ProblemResponse> {
        if !parts.headers.contains_key(IDEMPOTENCY_KEY) {
            return Ok(Self(None));
        }
        // The error does not show the value: it may be part of a real key.
        let key = single(&parts.headers, IDEMPOTENCY_KEY).and_then(|key| key.parse().ok());
        key.map(|key| Self(Some(key))).ok_or_else(key_expected)
    }
}

impl<S: Sync> FromRequestParts<S> for Key {
    type Rejection = ProblemResponse;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ProblemResponse> {
        OptionalKey::from_request_parts(parts, state).await?.0.map(Self).ok_or_else(key_expected)
    }
}

/// The error for a missing or malformed idempotency key.
pub(crate) fn key_expected() -> ProblemResponse {
    invalid("header `Idempotency-Key`: expected one, of 32 hexadecimal digits (128 random bits)")
}

/// The id in the path.
pub(crate) struct Id<T>(pub(crate) T);

impl<S: Sync + Send, T: FromStr<Err = protocol::InvalidId>> FromRequestParts<S> for Id<T> {
    type Rejection = ProblemResponse;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ProblemResponse> {
        let AxumPath(text) = AxumPath::<String>::from_request_parts(parts, state)
            .await
            .map_err(|rejection| invalid(rejection.body_text()))?;
        text.parse().map(Self).map_err(|error: protocol::InvalidId| invalid(error.to_string()))
    }
}

/// The query parameters.
pub(crate) struct Query<T>(pub(crate) T);

impl<S: Sync + Send, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = ProblemResponse;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ProblemResponse> {
        let AxumQuery(query) = AxumQuery::<T>::from_request_parts(parts, state)
            .await
            .map_err(|rejection| invalid(rejection.body_text()))?;
        Ok(Self(query))
    }
}

/// A JSON body.
pub(crate) struct Json<T>(pub(crate) T);

impl<S: Sync, T: DeserializeOwned> FromRequest<S> for Json<T> {
    type Rejection = ProblemResponse;

    async fn from_request(request: Request, _: &S) -> Result<Self, ProblemResponse> {
        expect_type(request.headers(), &["application/json"])?;
        parsed(&body(request, MAX_BODY).await?).map(Self)
    }
}

/// A JSON body with a rule set in it.
pub(crate) struct RulesJson<T>(pub(crate) T);

impl<S: Sync, T: DeserializeOwned> FromRequest<S> for RulesJson<T> {
    type Rejection = ProblemResponse;

    async fn from_request(request: Request, _: &S) -> Result<Self, ProblemResponse> {
        expect_type(request.headers(), &["application/json"])?;
        parsed(&body(request, protocol::rules::MAX_BODY).await?).map(Self)
    }
}

fn parsed<T: DeserializeOwned>(body: &[u8]) -> Result<T, ProblemResponse> {
    serde_json::from_slice(body)
        .map_err(|error| invalid(format!("the body is not what this endpoint reads: {error}")))
}

/// The text of a registration file (TOML).
pub(crate) struct Registration(pub(crate) String);

impl<S: Sync> FromRequest<S> for Registration {
    type Rejection = ProblemResponse;

    async fn from_request(request: Request, _: &S) -> Result<Self, ProblemResponse> {
        expect_type(request.headers(), &[protocol::routes::REGISTRATION_MEDIA_TYPE])?;
        let body = body(request, MAX_BODY).await?;
        String::from_utf8(body.to_vec()).map(Self).map_err(|_| {
            Refusal::new(ErrorCode::InvalidRegistration, "expected UTF-8, found other bytes").into()
        })
    }
}

/// A security event token (RFC 8417).
pub(crate) struct SecurityEventToken(pub(crate) String);

impl<S: Sync> FromRequest<S> for SecurityEventToken {
    type Rejection = ProblemResponse;

    async fn from_request(request: Request, _: &S) -> Result<Self, ProblemResponse> {
        expect_type(request.headers(), &["application/secevent+jwt"])?;
        let body = body(request, MAX_BODY).await?;
        String::from_utf8(body.to_vec())
            .map(|token| Self(token.trim().to_owned()))
            .map_err(|_| invalid("expected a security event token, found bytes that are not text"))
    }
}

/// The field `token` of a form body (RFC 7662).
pub(crate) struct IntrospectedToken(pub(crate) Secret);

impl<S: Sync> FromRequest<S> for IntrospectedToken {
    type Rejection = ProblemResponse;

    async fn from_request(request: Request, _: &S) -> Result<Self, ProblemResponse> {
        #[derive(serde::Deserialize)]
        struct Form {
            token: Secret,
        }
        expect_type(request.headers(), &["application/x-www-form-urlencoded"])?;
        let body = body(request, MAX_BODY).await?;
        // The parser's message may contain the token.
        serde_urlencoded::from_bytes::<Form>(&body)
            .map(|form| Self(form.token))
            .map_err(|_| invalid("expected a form with the field `token`"))
    }
}

fn expect_type(headers: &HeaderMap, expected: &[&str]) -> Result<(), ProblemResponse> {
    let found = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = found.split(';').next().unwrap_or_default().trim();
    if expected.iter().any(|one| essence.eq_ignore_ascii_case(one)) {
        return Ok(());
    }
    let found: String = if found.is_empty() {
        "none".to_owned()
    } else {
        format!("`{}`", found.chars().take(80).collect::<String>())
    };
    Err(Refusal::new(
        ErrorCode::UnsupportedMediaType,
        format!("content type: expected `{}`, found {found}", expected.join("` or `")),
    )
    .into())
}

async fn body(request: Request, limit: usize) -> Result<axum::body::Bytes, ProblemResponse> {
    // A connection that waits for a body can be closed for another one; a connection with work in progress cannot.
    let slot = request.extensions().get::<Arc<Slot>>().cloned();
    let _waiting = slot.as_ref().map(|slot| slot.waiting_for_body());
    match timeout(BODY_TIMEOUT, to_bytes(request.into_body(), limit)).await {
        Ok(Ok(body)) => Ok(body),
        Ok(Err(_)) => Err(Refusal::new(
            ErrorCode::BodyTooLarge,
            format!("body: expected at most {} KiB, found more (or it broke off)", limit / 1024),
        )
        .into()),
        Err(_) => Err(Refusal::new(
            ErrorCode::RequestTimeout,
            format!("body: expected all of it within {} s, found less", BODY_TIMEOUT.as_secs()),
        )
        .hint("send it again; a proxy in between may hold it back")
        .into()),
    }
}

/// How long a client may take to send the body. Well below the time limit of the request, so that a slow client is told
/// apart from a slow broker.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);
