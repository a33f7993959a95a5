//! `DELETE /v2/agentic/jit/{id}` and `DELETE /v2/agentic/jit?idempotency_key=`

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use engine::{Refusal, Revocable};
use protocol::{ErrorCode, Grant, GrantId, IdempotencyKey, Problem, RevokeCause, Secret};
use serde::Deserialize;
use tracing::Instrument;
use utoipa::IntoParams;

use crate::http::App;
use crate::http::answer::Answer;
use crate::http::ask::{Bearer, Id, Query};

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Why {
    /// `exit:CODE`, `signal:N`, `interrupted:N`, `parent-ended`, `not-started`, `wrapper-lost` or `asked` (the default).
    #[param(value_type = Option<String>)]
    cause: Option<RevokeCause>,
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ByKey {
    /// The key that the grant was asked with.
    idempotency_key: IdempotencyKey,
    /// As above.
    #[param(value_type = Option<String>)]
    cause: Option<RevokeCause>,
}

/// Give a grant back. Doing it again says the same.
#[utoipa::path(
    delete, path = "/v2/agentic/jit/{id}", tag = "grants",
    params(("id" = String, Path, description = "`elev-…`"), Why),
    responses(
        (status = 200, description = "Gone", body = Grant),
        (status = 202, description = "Being taken back; the broker goes on until it is gone", body = Grant),
        (status = 401, description = "Not accepted", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "Unknown, or another agent's", body = Problem, content_type = "application/problem+json"),
    ),
    security(("auth_token" = []), ("operator_token" = [])),
)]
pub(crate) async fn by_id(
    State(app): State<App>,
    Bearer(bearer): Bearer,
    Id(id): Id<GrantId>,
    Query(why): Query<Why>,
) -> Answer<Response> {
    revoke(app, bearer, Revocable::Id(id), why.cause).await
}

/// Give back whatever a key was used for, or will be: a request that is still on its way is refused then.
#[utoipa::path(
    delete, path = "/v2/agentic/jit", tag = "grants", params(ByKey),
    responses(
        (status = 200, description = "Gone", body = Grant),
        (status = 202, description = "Being taken back", body = Grant),
        (status = 401, description = "Not accepted", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "Nothing was given for this key, and nothing will be", body = Problem, content_type = "application/problem+json"),
    ),
    security(("auth_token" = [])),
)]
pub(crate) async fn by_key(
    State(app): State<App>,
    Bearer(bearer): Bearer,
    Query(query): Query<ByKey>,
) -> Answer<Response> {
    revoke(app, bearer, Revocable::Key(query.idempotency_key), query.cause).await
}

/// On a task of its own: a client that hangs up does not stop what it asked for. Boxed, because what a task is made of
/// is copied several times on its way there.
async fn revoke(
    app: App,
    bearer: Option<Secret>,
    what: Revocable,
    cause: Option<RevokeCause>,
) -> Answer<Response> {
    let revoking = Box::pin(async move {
        let caller = app.engine.caller(bearer.as_ref()).await?;
        app.engine.revoke(&caller, &what, cause.unwrap_or(RevokeCause::Asked)).await
    });
    let revoking = tokio::spawn(revoking.in_current_span());
    let grant = revoking.await.map_err(|error| {
        Refusal::new(ErrorCode::Internal, "the revoke broke off; the broker goes on with it").because(error)
    })??;
    let status = if grant.status.is_final() { StatusCode::OK } else { StatusCode::ACCEPTED };
    Ok((status, axum::Json(grant)).into_response())
}
