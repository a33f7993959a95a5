//! Health, and a comparison of the targets that a person starts.

use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use engine::{On, UnknownGrants};
use protocol::people::Right;
use serde::Deserialize;

use super::export::Export;
use super::person::{Asked, NoFields, Posted};
use super::redirect;
use crate::http::App;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Fields {
    export: Option<Export>,
}

pub(super) async fn show(State(app): State<App>, Asked { person, query }: Asked<Fields>) -> Response {
    let found = app.health(Some(&person.token)).await;
    if query.export == Some(Export::Json) {
        return person.answer(found.map(|health| {
            let name = [(header::CONTENT_DISPOSITION, "attachment; filename=\"health.json\"")];
            (name, Json(health)).into_response()
        }));
    }
    person.page(found.map(|health| console::health::health(&health, &person.viewer)))
}

/// What belongs to no grant that the database knows is only reported.
pub(super) async fn reconcile(
    State(app): State<App>,
    Posted { person, form: NoFields {} }: Posted<NoFields>,
) -> Response {
    let reconciled = async {
        let by = app.engine.actor(Some(&person.token), Right::Operate, On::Broker).await?;
        tracing::info!(%by, "a person starts a reconciliation");
        app.engine.reconcile(UnknownGrants::Report).await
    };
    person.answer(reconciled.await.map(|_| redirect("/console/health")))
}
