//! Whole lists as files, read and sent page by page.

use axum::body::Body;
use axum::response::Response;
use console::export::Row;
use engine::{On, Page, Refusal};
use futures_util::stream;
use protocol::people::Right;
use protocol::{ErrorCode, Grant, GrantId, GrantQuery, Timestamp};
use serde::Deserialize;

use super::person::Person;
use super::{agents, attachment, grant_id, rules};
use crate::http::App;

/// The format of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Export {
    Csv,
    Json,
}

impl Export {
    fn lines<T: Row>(self, rows: &[T], is_first: bool) -> Result<Vec<u8>, Refusal> {
        let broken = |error: String| {
            Refusal::new(ErrorCode::Internal, "the list cannot be written as a file").because(error)
        };
        match self {
            Self::Csv => console::export::csv(rows, is_first).map_err(|error| broken(error.to_string())),
            Self::Json => console::export::json(rows).map_err(|error| broken(error.to_string())),
        }
    }
}

/// A list that a page shows.
#[derive(Debug, Clone)]
pub(super) enum List {
    Requests,
    Grants(Box<GrantQuery>),
    BreakGlass,
    Agents,
    RulesHistory,
    /// Since then.
    Flips(Timestamp),
}

impl List {
    fn name(&self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::Grants(_) => "grants",
            Self::BreakGlass => "break-glass",
            Self::Agents => "agents",
            Self::RulesHistory => "rules-history",
            Self::Flips(_) => "rules-differences",
        }
    }

    /// The lines of the elements behind this one, and the one from which to go on.
    async fn page(
        &self,
        app: &App,
        person: &Person,
        format: Export,
        after: Option<&str>,
    ) -> Result<(Vec<u8>, Option<String>), Refusal> {
        let (bearer, page) = (Some(&person.token), Page::of(Some(u32::MAX)));
        let is_first = after.is_none();
        let of_grants = |grants: &[Grant], next: Option<GrantId>| {
            Ok((format.lines(grants, is_first)?, next.map(|next| next.to_string())))
        };
        let after_grant = after.map(grant_id).transpose();
        match self {
            Self::Requests => {
                let list = app.engine.requests(bearer, after_grant?, page).await?;
                let grants: Vec<Grant> = list.requests.into_iter().map(|request| request.grant).collect();
                of_grants(&grants, list.next)
            }
            Self::Grants(query) => {
                let after = after_grant?;
                let query = GrantQuery { after, limit: Some(u32::MAX), ..GrantQuery::clone(query) };
                let list = app.engine.grants(bearer, &query).await?;
                of_grants(&list.grants, list.next)
            }
            Self::BreakGlass => {
                let list = app.engine.break_glass_grants(bearer, false, after_grant?, page).await?;
                of_grants(&list.grants, list.next)
            }
            Self::Agents => {
                let after = after.map(agents::agent_id).transpose()?;
                let list = app.engine.agents(bearer, after, page).await?;
                Ok((format.lines(&list.agents, is_first)?, list.next.map(|next| next.to_string())))
            }
            Self::RulesHistory => {
                app.engine.actor(bearer, Right::View, On::Broker).await?;
                let before = after.and_then(|after| after.parse().ok());
                let history = app.engine.rules_history(before, page).await?;
                Ok((format.lines(&history.changes, is_first)?, history.next.map(|next| next.to_string())))
            }
            Self::Flips(since) => {
                Ok((format.lines(&rules::flips(app, person, *since).await?, is_first)?, None))
            }
        }
    }
}

impl Export {
    /// The whole list. A refusal of the first page is shown as a page; one of a later page breaks the download off, so that
    /// the browser calls the file incomplete.
    pub(super) async fn of(self, list: List, app: App, person: Person) -> Response {
        let (content_type, ending) = match self {
            Self::Csv => ("text/csv; charset=utf-8", "csv"),
            Self::Json => ("application/x-ndjson", "json"),
        };
        let name = format!("{}.{ending}", list.name());
        let first = match list.page(&app, &person, self, None).await {
            Ok(first) => first,
            Err(refusal) => return person.answer(Err(refusal)),
        };
        let more = stream::try_unfold(Some((Ok(first), app, person, list)), move |state| async move {
            let Some((read, app, person, list)) = state else { return Ok::<_, std::io::Error>(None) };
            let (lines, next): (Vec<u8>, Option<String>) = read?;
            let Some(after) = next else { return Ok(Some((lines, None))) };
            let read = list.page(&app, &person, self, Some(&after)).await.map_err(std::io::Error::other);
            Ok(Some((lines, Some((read, app, person, list)))))
        });
        attachment(&name, content_type, Body::from_stream(Box::pin(more)))
    }
}
