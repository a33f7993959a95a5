//! `DELETE /v2/agentic/jit/{id}` and `DELETE /v2/agentic/jit?idempotency_key=`

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use engine::{Refusal, Revocable, RevokeReason};
use protocol::{AgentId, ErrorCode, Grant, GrantId, IdempotencyKey, Problem, RevokeCause, Secret};
use serde::Deserialize;
use tracing::Instrument;
use utoipa::IntoParams;

use crate::http::App;
use crate::http::error::ApiResult;
use crate::http::extract::{Bearer, Id, Query};

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct CauseQuery {
    /// `exit:CODE`, `signal:N`, `interrupted:N`, `parent-ended`, `not-started`, `wrapper-lost` or `asked` (the default).
    #[param(value_type = Option<String>)]
    cause: Option<RevokeCause>,
    /// Why, of an operator or a person: at most 1,000 characters, for the timeline.
    because: Option<String>,
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct KeyQuery {
    /// The idempotency key of the grant.
    idempotency_key: IdempotencyKey,
    /// The agent: required of a person and of a break-glass code, and not used of an agent.
    agent: Option<AgentId>,
    /// `exit:CODE`, `signal:N`, `interrupted:N`, `parent-ended`, `not-started`, `wrapper-lost` or `asked` (the default).
    #[param(value_type = Option<String>)]
    cause: Option<RevokeCause>,
}

/// Revoke a grant. Idempotent.
#[utoipa::path(
    delete, path = "/v2/agentic/jit/{id}", tag = "grants",
    params(("id" = String, Path, description = "`elev-…`"), CauseQuery),
    responses(
        (status = 200, description = "Revoked and verified", body = Grant),
        (status = 202, description = "Revoke in progress; the broker continues until the access is gone", body = Grant),
        (status = 401, description = "Authentication failed", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "Unknown, or another agent's", body = Problem, content_type = "application/problem+json"),
    ),
    security(("auth_token" = []), ("operator_token" = []), ("session_token" = []), ("break_glass_code" = [])),
)]
pub(crate) async fn by_id(
    State(app): State<App>,
    Bearer(bearer): Bearer,
    Id(id): Id<GrantId>,
    Query(query): Query<CauseQuery>,
) -> ApiResult<Response> {
    let cause = query.cause.unwrap_or(RevokeCause::Asked);
    let reason = RevokeReason { cause, because: query.because };
    answer(revoke(app, bearer, Revocable::Id(id), reason).await?)
}

/// Revoke the grant of an idempotency key. A request with this key that arrives later is refused.
#[utoipa::path(
    delete, path = "/v2/agentic/jit", tag = "grants", params(KeyQuery),
    responses(
        (status = 200, description = "Revoked and verified", body = Grant),
        (status = 202, description = "Revoke in progress", body = Grant),
        (status = 401, description = "Authentication failed", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No grant has this idempotency key, and none will", body = Problem, content_type = "application/problem+json"),
    ),
    security(("auth_token" = []), ("session_token" = []), ("break_glass_code" = [])),
)]
pub(crate) async fn by_key(
    State(app): State<App>,
    Bearer(bearer): Bearer,
    Query(query): Query<KeyQuery>,
) -> ApiResult<Response> {
    let KeyQuery { idempotency_key: key, agent, cause } = query;
    let what = match agent {
        Some(agent) => Revocable::KeyOf { agent, key },
        None => Revocable::Key(key),
    };
    answer(revoke(app, bearer, what, cause.unwrap_or(RevokeCause::Asked).into()).await?)
}

/// Revokes on a task of its own, so that a client that disconnects does not cancel the revoke. The future is boxed
/// because spawning copies it several times.
pub(crate) async fn revoke(
    app: App,
    bearer: Option<Secret>,
    what: Revocable,
    reason: RevokeReason,
) -> Result<Grant, Refusal> {
    let revoking = Box::pin(async move {
        let caller = app.engine.caller(bearer.as_ref()).await?;
        app.engine.revoke(&caller, &what, reason).await
    });
    let revoking = tokio::spawn(revoking.in_current_span());
    revoking.await.map_err(|error| {
        Refusal::new(ErrorCode::Internal, "the revoke broke off; the broker goes on with it").because(error)
    })?
}

fn answer(grant: Grant) -> ApiResult<Response> {
    let status = if grant.status.is_final() { StatusCode::OK } else { StatusCode::ACCEPTED };
    Ok((status, axum::Json(grant)).into_response())
}
