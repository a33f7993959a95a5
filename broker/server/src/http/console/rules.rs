//! Rules: which sets decide, how they differ, and requests to try them on.

use std::time::Duration;

use axum::extract::{Path, State};
use axum::response::Response;
use console::rules::{self, Report, Test};
use engine::{On, Page, Refusal};
use protocol::people::Right;
use protocol::rules::{Comparison, Flip, ReplayRequest, TestRules};
use protocol::{ErrorCode, Timestamp};
use serde::Deserialize;

use super::export::{Export, List};
use super::grants::parsed_time;
use super::person::{Asked, Person, Posted};
use crate::http::App;

/// How far the report looks back, if nothing is said.
const LOOKS_BACK: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// How many pages of recorded decisions a request compares.
const PAGES: usize = 5;
/// Changes on the page.
const CHANGES: u32 = 20;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OfState {
    export: Option<Export>,
}

pub(super) async fn state(State(app): State<App>, Asked { person, query }: Asked<OfState>) -> Response {
    if let Some(format) = query.export {
        return format.of(List::RulesHistory, app, person).await;
    }
    let page = async {
        app.engine.actor(Some(&person.token), Right::View, On::Broker).await?;
        let state = app.engine.rules_state().await?;
        let active = match &state.active {
            Some(digest) => Some(app.engine.rule_set_files(digest.as_str()).await?),
            None => None,
        };
        let history = app.engine.rules_history(None, Page::of(Some(CHANGES))).await?;
        Ok(rules::state(&state, active.as_ref(), &history))
    };
    person.page(page.await)
}

pub(super) async fn set(State(app): State<App>, person: Person, Path(digest): Path<String>) -> Response {
    let page = async {
        app.engine.actor(Some(&person.token), Right::View, On::Broker).await?;
        Ok(rules::one_set(&app.engine.rule_set_files(&digest).await?))
    };
    person.page(page.await)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Period {
    #[serde(default)]
    since: String,
    export: Option<Export>,
}

pub(super) async fn report(State(app): State<App>, Asked { person, query }: Asked<Period>) -> Response {
    let since = match parsed_time("since", &query.since) {
        Ok(since) => since.unwrap_or_else(|| app.engine.now().minus(LOOKS_BACK)),
        Err(refusal) => return person.answer(Err(refusal)),
    };
    if let Some(format) = query.export {
        return format.of(List::Flips(since), app, person).await;
    }
    let page = async {
        app.engine.actor(Some(&person.token), Right::Audit, On::Broker).await?;
        let (active, candidate) = (replayed(&app, since).await?, shadow(&app, since).await?);
        Ok(rules::report(&Report { since, active, candidate }))
    };
    person.page(page.await)
}

/// Where recorded decisions differ from the candidate, for whom may see them.
pub(super) async fn flips(app: &App, person: &Person, since: Timestamp) -> Result<Vec<Flip>, Refusal> {
    app.engine.actor(Some(&person.token), Right::Audit, On::Broker).await?;
    Ok(shadow(app, since).await?.map(|comparison| comparison.flips).unwrap_or_default())
}

/// What the candidate answered beside the active set.
async fn shadow(app: &App, since: Timestamp) -> Result<Option<Comparison>, Refusal> {
    let mut all = Comparison::default();
    let mut after = None;
    for _ in 0..PAGES {
        match app.engine.shadow_report(since, None, after).await {
            Ok(page) => all.add(page),
            Err(refusal) if refusal.code == ErrorCode::RuleSetNotFound => return Ok(None),
            Err(refusal) => return Err(refusal),
        }
        after = all.next;
        if after.is_none() {
            break;
        }
    }
    Ok(Some(all))
}

/// What the active set answers today.
async fn replayed(app: &App, since: Timestamp) -> Result<Option<Comparison>, Refusal> {
    let Some(digest) = app.engine.rules_state().await?.active else { return Ok(None) };
    let files = app.engine.rule_set_files(digest.as_str()).await?.files;
    let mut all = Comparison::default();
    let mut after = None;
    for _ in 0..PAGES {
        let request = ReplayRequest { files: files.clone(), since, agent: None, after };
        all.add(app.engine.replay(request).await?);
        after = all.next;
        if after.is_none() {
            break;
        }
    }
    Ok(Some(all))
}

pub(super) async fn test_page(State(app): State<App>, person: Person) -> Response {
    let page = async {
        app.engine.actor(Some(&person.token), Right::View, On::Broker).await?;
        let test = Test { cases: rules::EXAMPLE, tested: None, problem: None };
        Ok(rules::test(&test, &person.viewer))
    };
    person.page(page.await)
}

#[derive(Deserialize)]
pub(super) struct TestForm {
    #[serde(default)]
    cases: String,
    #[serde(default)]
    grant: String,
}

pub(super) async fn test(State(app): State<App>, Posted { person, form }: Posted<TestForm>) -> Response {
    let cases = console::line_feeds(&form.cases);
    let page = async {
        let request = match form.grant.trim() {
            "" => TestRules { cases: Some(cases.clone()), grant: None },
            grant => TestRules { cases: None, grant: Some(super::grant_id(grant)?) },
        };
        match app.engine.test_rules(Some(&person.token), &request).await {
            Ok(tested) => {
                let test = Test { cases: &tested.cases, tested: Some(&tested), problem: None };
                Ok(rules::test(&test, &person.viewer))
            }
            Err(refusal) if refusal.code == ErrorCode::InvalidRequest => {
                let test = Test { cases: &cases, tested: None, problem: Some(&refusal.detail) };
                Ok(rules::test(&test, &person.viewer))
            }
            Err(refusal) => Err(refusal),
        }
    };
    person.page(page.await)
}
