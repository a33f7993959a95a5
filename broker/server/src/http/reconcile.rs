//! `POST /v2/reconcile`

use axum::extract::State;
use engine::UnknownGrants;
use protocol::Problem;
use protocol::reconcile::{ReconcileRequest, Reconciliation};

use super::App;
use super::answer::Answer;
use super::ask::{Bearer, Json};

/// Compare the target with the database, now. What the database does not know is removed only if this asks for it.
#[utoipa::path(
    post, path = "/v2/reconcile", tag = "operations",
    request_body = ReconcileRequest,
    responses(
        (status = 200, description = "What was found, and what was done about it", body = Reconciliation),
        (status = 401, description = "No operator token", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "Not understood", body = Problem, content_type = "application/problem+json"),
    ),
    security(("operator_token" = [])),
)]
pub(crate) async fn reconcile(
    State(app): State<App>,
    Bearer(bearer): Bearer,
    Json(request): Json<ReconcileRequest>,
) -> Answer<axum::Json<Reconciliation>> {
    app.engine.operator(bearer.as_ref())?;
    let unknown = if request.remove_unknown { UnknownGrants::Remove } else { UnknownGrants::Report };
    Ok(axum::Json(app.engine.reconcile(unknown).await?))
}
