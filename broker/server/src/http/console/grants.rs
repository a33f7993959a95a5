//! Grants: the list, one timeline as it grows, and ending a grant.

use std::convert::Infallible;
use std::fmt::Display;
use std::str::FromStr;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use engine::{Refusal, Revocable, RevokeReason};
use futures_util::stream;
use protocol::{GrantId, GrantQuery, GrantsIn, RevokeCause, Timestamp};
use serde::Deserialize;
use tokio::time::sleep;

use super::export::{Export, List};
use super::person::{Asked, Person, Posted, invalid};
use super::{grant_id, redirect};
use crate::http::App;
use crate::http::grants::revoke;

/// How often an open page looks whether something happened to its grant.
const LOOKS_EVERY: Duration = Duration::from_secs(1);

/// The fields of the form: one that is left empty is no filter.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Fields {
    #[serde(default)]
    state: String,
    #[serde(default)]
    agent: String,
    #[serde(default)]
    policy: String,
    #[serde(default)]
    repository: String,
    #[serde(default)]
    commit: String,
    #[serde(default)]
    actor: String,
    #[serde(default)]
    person: String,
    #[serde(default)]
    from: String,
    #[serde(default)]
    before: String,
    after: Option<GrantId>,
    export: Option<Export>,
}

impl Fields {
    fn query(&self) -> Result<GrantQuery, Refusal> {
        let text = |field: &str| Some(field.trim().to_owned()).filter(|text| !text.is_empty());
        Ok(GrantQuery {
            state: parsed("state", &self.state)?.or(Some(GrantsIn::Live)),
            agent: parsed("agent", &self.agent)?,
            policy: parsed("policy", &self.policy)?,
            repository: text(&self.repository),
            commit: text(&self.commit),
            actor: text(&self.actor),
            person: text(&self.person),
            from: parsed_time("from", &self.from)?,
            before: parsed_time("before", &self.before)?,
            after: self.after.clone(),
            limit: None,
        })
    }
}

fn parsed<T: FromStr<Err: Display>>(name: &str, field: &str) -> Result<Option<T>, Refusal> {
    match field.trim() {
        "" => Ok(None),
        text => text.parse().map(Some).map_err(|error| invalid(&format!("{name}: {error}"))),
    }
}

/// A field for dates has no time.
pub(super) fn parsed_time(name: &str, field: &str) -> Result<Option<Timestamp>, Refusal> {
    let is_day = field.len() == "2026-11-30".len();
    parsed(name, &if is_day { format!("{field}T00:00:00Z") } else { field.to_owned() })
}

pub(super) async fn list(State(app): State<App>, Asked { person, query: fields }: Asked<Fields>) -> Response {
    let query = match fields.query() {
        Ok(query) => query,
        Err(refusal) => return person.answer(Err(refusal)),
    };
    if let Some(format) = fields.export {
        return format.of(List::Grants(Box::new(query)), app, person).await;
    }
    let listed = app.engine.grants(Some(&person.token), &query).await;
    person.page(listed.map(|list| console::grants::list(&list, &query, app.engine.now())))
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
            let timeline = app.engine.timeline_on_open_page(&person.token, &id).await.ok()?;
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
pub(super) struct EndForm {
    because: String,
}

pub(super) async fn end(
    State(app): State<App>,
    Path(id): Path<String>,
    Posted { person, form }: Posted<EndForm>,
) -> Response {
    let here = format!("/console/grants/{id}");
    let ended = async {
        if form.because.trim().is_empty() {
            return Err(invalid("because: expected a reason, found none"));
        }
        let reason = RevokeReason { cause: RevokeCause::Asked, because: Some(form.because) };
        let what = Revocable::Id(grant_id(&id)?);
        revoke::revoke(app.clone(), Some(person.token.clone()), what, reason).await
    };
    person.answer(ended.await.map(|_| redirect(&here)))
}
