//! Grants: the list, one timeline as it grows, and ending a grant.

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use engine::{Page, Refusal, Revocable, RevokeReason};
use futures_util::stream;
use protocol::{AgentId, ErrorCode, GrantId, RevokeCause};
use serde::Deserialize;
use store::Listing;
use tokio::time::sleep;

use super::export::{Export, List};
use super::{Person, grant_id, redirect};
use crate::http::App;
use crate::http::extract::Query;
use crate::http::grants::revoke;

/// How often an open page looks whether something happened to its grant.
const LOOKS_EVERY: Duration = Duration::from_secs(1);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Filter {
    #[serde(default = "default_state")]
    state: String,
    #[serde(default)]
    agent: String,
    after: Option<GrantId>,
    export: Option<Export>,
}

fn default_state() -> String {
    "live".to_owned()
}

impl Filter {
    fn listing(&self) -> Result<Listing, Refusal> {
        let invalid = |detail: String| Refusal::new(ErrorCode::InvalidRequest, detail);
        let live = match self.state.as_str() {
            "live" => Some(true),
            "ended" => Some(false),
            "all" => None,
            other => {
                return Err(invalid(format!("state: expected `live`, `ended` or `all`, found `{other}`")));
            }
        };
        let agent = match self.agent.trim() {
            "" => None,
            agent => Some(agent.parse::<AgentId>().map_err(|error| invalid(format!("agent: {error}")))?),
        };
        Ok(Listing { live, agent, after: self.after.clone(), ..Listing::default() })
    }
}

pub(super) async fn list(State(app): State<App>, person: Person, Query(filter): Query<Filter>) -> Response {
    let listing = match filter.listing() {
        Ok(listing) => listing,
        Err(refusal) => return person.answer(Err(refusal)),
    };
    if let Some(format) = filter.export {
        return format.of(List::Grants(listing), app, person).await;
    }
    let listed = app.engine.grants(Some(&person.token), listing, Page::of(None)).await;
    let shown = console::grants::Filter { state: filter.state, agent: filter.agent.trim().to_owned() };
    person.page(listed.map(|list| console::grants::list(&list, &shown, app.engine.now())))
}

pub(super) async fn timeline(State(app): State<App>, person: Person, Path(id): Path<String>) -> Response {
    let found = async {
        let caller = app.engine.caller(Some(&person.token)).await?;
        app.engine.timeline(&caller, &grant_id(&id)?).await
    };
    let now = app.engine.now();
    person.page(found.await.map(|found| console::timelines::timeline(&found, &person.viewer, now)))
}

/// Tells an open page that its timeline has grown, until the grant has ended, the session has, or the broker stops.
pub(super) async fn live(State(app): State<App>, person: Person, Path(id): Path<String>) -> Response {
    let id = match grant_id(&id) {
        Ok(id) => id,
        Err(refusal) => return person.answer(Err(refusal)),
    };
    let changes = stream::unfold((app, person, id, None), async |(app, person, id, mut known)| {
        loop {
            if app.server.draining.is_on() {
                return None;
            }
            let caller = app.engine.caller(Some(&person.token)).await.ok()?;
            let timeline = app.engine.timeline(&caller, &id).await.ok()?;
            let now = Some((timeline.grant.status, timeline.events.len()));
            let before = std::mem::replace(&mut known, now);
            // Also at first: something may have happened since the page was made.
            if before != now {
                let event = Event::default().event("changed").data(timeline.grant.status.as_str());
                return Some((Ok::<_, Infallible>(event), (app, person, id, known)));
            }
            if timeline.grant.status.is_final() {
                return None;
            }
            sleep(LOOKS_EVERY).await;
        }
    });
    Sse::new(Box::pin(changes)).keep_alive(KeepAlive::default()).into_response()
}

#[derive(Deserialize)]
struct EndForm {
    because: String,
}

pub(super) async fn end(
    State(app): State<App>,
    person: Person,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: String,
) -> Response {
    let here = format!("/console/grants/{id}");
    let ended = async {
        let form: EndForm = person.form(&app, &headers, &body)?;
        if form.because.trim().is_empty() {
            return Err(Refusal::new(ErrorCode::InvalidRequest, "because: expected a reason, found none"));
        }
        let reason = RevokeReason { cause: RevokeCause::Asked, because: Some(form.because) };
        let what = Revocable::Id(grant_id(&id)?);
        revoke::revoke(app.clone(), Some(person.token.clone()), what, reason).await
    };
    person.answer(ended.await.map(|_| redirect(&here)))
}
