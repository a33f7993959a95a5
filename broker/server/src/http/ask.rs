//! How is a request read? Every part of it is checked here, and refused in the same form.

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

use super::answer::Problem;
use crate::listen::Slot;

fn invalid(detail: impl Into<String>) -> Problem {
    Refusal::new(ErrorCode::InvalidRequest, detail).into()
}

/// A header that comes once. Of two, what stands between a client and us may read one and we the other.
fn only(headers: &HeaderMap, name: impl header::AsHeaderName) -> Option<&str> {
    let mut values = headers.get_all(name).iter();
    let (value, None) = (values.next()?, values.next()) else { return None };
    value.to_str().ok()
}

/// `Authorization: Bearer …`, if there is one.
pub(crate) struct Bearer(pub(crate) Option<Secret>);

impl<S: Sync> FromRequestParts<S> for Bearer {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        if !parts.headers.contains_key(header::AUTHORIZATION) {
            return Ok(Self(None));
        }
        let token = only(&parts.headers, header::AUTHORIZATION).and_then(|value| {
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

/// The header `Idempotency-Key`.
pub(crate) struct Key(pub(crate) IdempotencyKey);

/// The same where there may be none.
pub(crate) struct KeyIfAny(pub(crate) Option<IdempotencyKey>);

impl<S: Sync> FromRequestParts<S> for KeyIfAny {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        if !parts.headers.contains_key(IDEMPOTENCY_KEY) {
            return Ok(Self(None));
        }
        // What was found is not shown: it may be half of a real key.
        let key = only(&parts.headers, IDEMPOTENCY_KEY).and_then(|key| key.parse().ok());
        key.map(|key| Self(Some(key))).ok_or_else(key_expected)
    }
}

impl<S: Sync> FromRequestParts<S> for Key {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        KeyIfAny::from_request_parts(parts, state).await?.0.map(Self).ok_or_else(key_expected)
    }
}

/// There is no key, or none that could be one.
pub(crate) fn key_expected() -> Problem {
    invalid("header `Idempotency-Key`: expected one, of 32 hexadecimal digits (128 random bits)")
}

/// A path's `{…}` part, parsed.
pub(crate) struct Id<T>(pub(crate) T);

impl<S: Sync + Send, T: FromStr<Err = protocol::InvalidId>> FromRequestParts<S> for Id<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let AxumPath(text) = AxumPath::<String>::from_request_parts(parts, state)
            .await
            .map_err(|rejection| invalid(rejection.body_text()))?;
        text.parse().map(Self).map_err(|error: protocol::InvalidId| invalid(error.to_string()))
    }
}

/// The query, parsed.
pub(crate) struct Query<T>(pub(crate) T);

impl<S: Sync + Send, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let AxumQuery(query) = AxumQuery::<T>::from_request_parts(parts, state)
            .await
            .map_err(|rejection| invalid(rejection.body_text()))?;
        Ok(Self(query))
    }
}

/// A JSON body, parsed.
pub(crate) struct Json<T>(pub(crate) T);

impl<S: Sync, T: DeserializeOwned> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        expect_type(request.headers(), &["application/json"])?;
        let body = body(request).await?;
        serde_json::from_slice(&body)
            .map(Self)
            .map_err(|error| invalid(format!("the body is not what this endpoint reads: {error}")))
    }
}

/// A registration file: TOML, as it was written.
pub(crate) struct Registration(pub(crate) String);

impl<S: Sync> FromRequest<S> for Registration {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        expect_type(request.headers(), &[protocol::routes::REGISTRATION_MEDIA_TYPE])?;
        let body = body(request).await?;
        String::from_utf8(body.to_vec()).map(Self).map_err(|_| {
            Refusal::new(ErrorCode::InvalidRegistration, "expected UTF-8, found other bytes").into()
        })
    }
}

/// The field `token` of a form body (RFC 7662).
pub(crate) struct IntrospectedToken(pub(crate) Secret);

impl<S: Sync> FromRequest<S> for IntrospectedToken {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        #[derive(serde::Deserialize)]
        struct Form {
            token: Secret,
        }
        expect_type(request.headers(), &["application/x-www-form-urlencoded"])?;
        let body = body(request).await?;
        // The parser's message may quote the token.
        serde_urlencoded::from_bytes::<Form>(&body)
            .map(|form| Self(form.token))
            .map_err(|_| invalid("expected a form with the field `token`"))
    }
}

fn expect_type(headers: &HeaderMap, expected: &[&str]) -> Result<(), Problem> {
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

async fn body(request: Request) -> Result<axum::body::Bytes, Problem> {
    // If another connection needs its slot, a slow body goes before work under way.
    let slot = request.extensions().get::<Arc<Slot>>().cloned();
    let _reading = slot.as_ref().map(|slot| slot.reading());
    match timeout(BODY_TIMEOUT, to_bytes(request.into_body(), MAX_BODY)).await {
        Ok(Ok(body)) => Ok(body),
        Ok(Err(_)) => Err(Refusal::new(
            ErrorCode::BodyTooLarge,
            format!("body: expected at most {MAX_BYTES_SHOWN}, found more (or it broke off)"),
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

/// How long a client may take to send its request's body. Far less than the whole request may take: a slow one is the
/// client's doing, and is told from a fault of ours.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);
const MAX_BYTES_SHOWN: &str = "64 KiB";
