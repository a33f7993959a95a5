//! Whole lists as files, read and sent page by page.

use axum::body::Body;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use engine::{Page, Refusal};
use futures_util::stream;
use protocol::{Grant, GrantId, GrantQuery};
use serde::Deserialize;

use super::person::Person;
use crate::http::App;

/// The format of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Export {
    Csv,
    Json,
}

impl Export {
    fn lines(self, grants: &[Grant], is_first: bool) -> Result<Vec<u8>, std::io::Error> {
        match self {
            Self::Csv => console::export::csv(grants, is_first).map_err(std::io::Error::other),
            Self::Json => console::export::json(grants).map_err(std::io::Error::other),
        }
    }
}

/// A list of grants that a page shows.
#[derive(Debug, Clone)]
pub(super) enum List {
    Requests,
    Grants(Box<GrantQuery>),
    BreakGlass,
}

impl List {
    fn name(&self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::Grants(_) => "grants",
            Self::BreakGlass => "break-glass",
        }
    }

    /// The grants behind this one, and the one from which to go on.
    async fn page(
        &self,
        app: &App,
        person: &Person,
        after: Option<GrantId>,
    ) -> Result<(Vec<Grant>, Option<GrantId>), Refusal> {
        let (bearer, page) = (Some(&person.token), Page::of(Some(u32::MAX)));
        match self {
            Self::Requests => {
                let list = app.engine.requests(bearer, after, page).await?;
                Ok((list.requests.into_iter().map(|request| request.grant).collect(), list.next))
            }
            Self::Grants(query) => {
                let query = GrantQuery { after, limit: Some(u32::MAX), ..GrantQuery::clone(query) };
                let list = app.engine.grants(bearer, &query).await?;
                Ok((list.grants, list.next))
            }
            Self::BreakGlass => {
                let list = app.engine.break_glass_grants(bearer, false, after, page).await?;
                Ok((list.grants, list.next))
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
        let disposition = format!("attachment; filename=\"{}.{ending}\"", list.name());
        let first = match list.page(&app, &person, None).await {
            Ok(first) => first,
            Err(refusal) => return person.answer(Err(refusal)),
        };
        let first = self.lines(&first.0, true).map(|lines| (lines, first.1));
        let more = stream::try_unfold(Some((first, app, person, list)), move |state| async move {
            let Some((read, app, person, list)) = state else { return Ok::<_, std::io::Error>(None) };
            let (lines, next) = read?;
            let Some(after) = next else { return Ok(Some((lines, None))) };
            let read = list.page(&app, &person, Some(after)).await.map_err(std::io::Error::other);
            let read = read.and_then(|(grants, next)| Ok((self.lines(&grants, false)?, next)));
            Ok(Some((lines, Some((read, app, person, list)))))
        });
        let headers =
            [(header::CONTENT_TYPE, content_type.to_owned()), (header::CONTENT_DISPOSITION, disposition)];
        (headers, Body::from_stream(Box::pin(more))).into_response()
    }
}
