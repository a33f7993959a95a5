//! `POST /v2/reconcile`

use axum::extract::State;
use engine::On;
use engine::UnknownGrants;
use protocol::Problem;
use protocol::people::Right;
use protocol::reconcile::{ReconcileRequest, Reconciliation};

use super::App;
use super::error::ApiResult;
use super::extract::{Bearer, Json};

/// Compare the targets with the database now. Objects of unknown grants are removed only with `remove_unknown`.
#[utoipa::path(
    post, path = "/v2/reconcile", tag = "operations",
    request_body = ReconcileRequest,
    responses(
        (status = 200, description = "The differences found, and the actions taken", body = Reconciliation),
        (status = 401, description = "No operator token, and no session of a person", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "The rules of persons do not permit it", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "Unprocessable request", body = Problem, content_type = "application/problem+json"),
    ),
    security(("operator_token" = []), ("session_token" = [])),
)]
pub(crate) async fn reconcile(
    State(app): State<App>,
    Bearer(bearer): Bearer,
    Json(request): Json<ReconcileRequest>,
) -> ApiResult<axum::Json<Reconciliation>> {
    let by = app.engine.actor(bearer.as_ref(), Right::Operate, On::Broker).await?;
    tracing::info!(%by, remove_unknown = request.remove_unknown, "an operator starts a reconciliation");
    let unknown = if request.remove_unknown { UnknownGrants::Remove } else { UnknownGrants::Report };
    Ok(axum::Json(app.engine.reconcile(unknown).await?))
}
