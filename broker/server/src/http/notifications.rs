//! `/v2/notifications`

use axum::Json;
use axum::extract::State;
use engine::Page;
use protocol::notifications::{NotificationList, NotificationStatus};
use protocol::{NotificationId, Problem};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::http::App;
use crate::http::error::ApiResult;
use crate::http::extract::{Bearer, Query};

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ListQuery {
    /// Only notifications that are so far.
    status: Option<NotificationStatus>,
    /// `next` of the previous page.
    after: Option<NotificationId>,
    /// Notifications per page: 1 to 200, 50 by default.
    limit: Option<u32>,
}

/// List the notifications of requests that wait, newest first: those about agents that the caller may see.
#[utoipa::path(
    get, path = "/v2/notifications", tag = "approvals", params(ListQuery),
    responses(
        (status = 200, description = "A page of notifications", body = NotificationList),
        (status = 401, description = "No operator token, and no session of a person", body = Problem, content_type = "application/problem+json"),
    ),
    security(("operator_token" = []), ("session_token" = [])),
)]
pub(crate) async fn list(
    State(app): State<App>,
    Bearer(bearer): Bearer,
    Query(query): Query<ListQuery>,
) -> ApiResult<Json<NotificationList>> {
    let page = Page::of(query.limit);
    Ok(Json(app.engine.notifications(bearer.as_ref(), query.status, query.after, page).await?))
}
