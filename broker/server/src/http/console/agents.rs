//! Agents: the list, one of them with what can be done to it, and the wizard that registers one.

use std::collections::BTreeMap;

use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::Response;
use console::registration::{self, Draft, Step, Trial};
use engine::{Author, On, Page, Refusal};
use protocol::agents::{CheckRegistration, RegistrationChecked};
use protocol::people::Right;
use protocol::{AgentId, ErrorCode, Grant, GrantQuery, Secret, Ttl};
use serde::Deserialize;
use store::ApplyMode;

use super::export::{Export, List};
use super::person::{Asked, NoFields, Person, Posted, invalid, is_link_of_another_site};
use super::{attachment, redirect};
use crate::http::App;

/// How many of the newest grants the trust rules can be tried on.
const RUNS: u32 = 20;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct After {
    after: Option<AgentId>,
    export: Option<Export>,
}

pub(super) async fn list(State(app): State<App>, Asked { person, query }: Asked<After>) -> Response {
    if let Some(format) = query.export {
        return format.of(List::Agents, app, person).await;
    }
    let listed = app.engine.agents(Some(&person.token), query.after, Page::of(None)).await;
    person.page(listed.map(|list| console::agents::list(&list)))
}

pub(super) fn agent_id(text: &str) -> Result<AgentId, Refusal> {
    text.parse().map_err(|_| Refusal::new(ErrorCode::AgentNotFound, "no agent has this id"))
}

pub(super) async fn agent(State(app): State<App>, person: Person, Path(id): Path<String>) -> Response {
    let found = async {
        let id = agent_id(&id)?;
        app.engine.actor(Some(&person.token), Right::View, On::Agent(&id)).await?;
        app.engine.agent(&id).await
    };
    person.page(found.await.map(|agent| console::agents::agent(&agent, &person.viewer)))
}

pub(super) async fn disable(
    State(app): State<App>,
    Path(id): Path<String>,
    Posted { person, form: NoFields {} }: Posted<NoFields>,
) -> Response {
    let disabled = async {
        let id = agent_id(&id)?;
        let by = app.engine.actor(Some(&person.token), Right::Operate, On::Agent(&id)).await?;
        app.engine.disable_agent(&id, &by).await
    };
    person.answer(disabled.await.map(|_| redirect(&format!("/console/agents/{id}"))))
}

pub(super) async fn enable(
    State(app): State<App>,
    Path(id): Path<String>,
    Posted { person, form: NoFields {} }: Posted<NoFields>,
) -> Response {
    let enabled = async {
        let id = agent_id(&id)?;
        let by = app.engine.actor(Some(&person.token), Right::Operate, On::Agent(&id)).await?;
        app.engine.enable_agent(&id, &by).await
    };
    person.answer(enabled.await.map(|_| redirect(&format!("/console/agents/{id}"))))
}

#[derive(Deserialize)]
pub(super) struct TokenForm {
    #[serde(default)]
    overlap: String,
}

/// The new token is a file, because no page shows a secret.
pub(super) async fn new_token(
    State(app): State<App>,
    Path(id): Path<String>,
    Posted { person, form }: Posted<TokenForm>,
) -> Response {
    let rotated = async {
        let id = agent_id(&id)?;
        let overlap: Option<Ttl> = match form.overlap.trim() {
            "" => None,
            text => Some(text.parse().map_err(|error| invalid(&format!("overlap: {error}")))?),
        };
        let by = app.engine.actor(Some(&person.token), Right::Register, On::Agent(&id)).await?;
        app.engine.rotate_token(&id, overlap, &by).await
    };
    person.answer(rotated.await.map(|rotated| {
        let token = format!("{}\n", rotated.auth_token.reveal());
        attachment(&format!("{}.auth-token", rotated.agent_id), "text/plain; charset=utf-8", token)
    }))
}

/// The pages of the wizard: the answers so far are in the address. A link of another site leads to the first page, with its
/// answers, so that it cannot show a file above the button that registers it.
pub(super) async fn wizard(
    State(app): State<App>,
    headers: HeaderMap,
    Asked { person, query: mut answers }: Asked<BTreeMap<String, String>>,
) -> Response {
    let step = |name: &str, answers: &mut BTreeMap<String, String>| match answers.remove(name) {
        Some(text) => text.parse::<Step>().map(Some).map_err(|error| invalid(&format!("{name}: {error}"))),
        None => Ok(None),
    };
    let page = async {
        let (back, done) = (step("back", &mut answers)?, step("done", &mut answers)?);
        app.engine.actor(Some(&person.token), Right::Register, On::Broker).await?;
        let draft: Draft = answers.into_iter().collect();
        let Some(done) = done.filter(|_| back.is_none() && !is_link_of_another_site(&headers)) else {
            return Ok(registration::questions(back.unwrap_or(Step::Agent), &draft, None));
        };
        let mut last = None;
        for step in Step::ALL.into_iter().filter(|step| *step <= done) {
            let checked = match draft.registration(step) {
                Ok(file) => check(&app, &person, &file).await.map(|checked| (file, checked)),
                Err(problem) => Err(invalid(&problem)),
            };
            match checked {
                Ok(checked) => last = Some(checked),
                Err(refusal) if is_of_the_person(&refusal) => {
                    return Ok(registration::questions(step, &draft, Some(&refusal.detail)));
                }
                Err(refusal) => return Err(refusal),
            }
        }
        match (done, last) {
            (Step::Trust, Some((file, checked))) => page_of(&app, &person, &file, Ok(checked)).await,
            (Step::Boundary, _) => Ok(registration::questions(Step::Trust, &draft.for_its_platform(), None)),
            (Step::Agent | Step::Trust, _) => Ok(registration::questions(Step::Boundary, &draft, None)),
        }
    };
    person.page(page.await)
}

/// Whether other answers may help.
fn is_of_the_person(refusal: &Refusal) -> bool {
    refusal.code == ErrorCode::InvalidRegistration || refusal.code == ErrorCode::InvalidRequest
}

async fn check(app: &App, person: &Person, registration: &str) -> Result<RegistrationChecked, Refusal> {
    let request = CheckRegistration { registration: registration.to_owned(), token: None, grant: None };
    app.engine.check_registration(Some(&person.token), &request).await
}

/// The newest grants, as far as the person sees them.
async fn runs(app: &App, person: &Person) -> Vec<Grant> {
    let query = GrantQuery { limit: Some(RUNS), ..GrantQuery::default() };
    app.engine.grants(Some(&person.token), &query).await.map(|list| list.grants).unwrap_or_default()
}

/// The file of a registered agent.
pub(super) async fn file(State(app): State<App>, person: Person, Path(id): Path<String>) -> Response {
    let page = async {
        let id = agent_id(&id)?;
        app.engine.actor(Some(&person.token), Right::View, On::Agent(&id)).await?;
        let registration = app.engine.agent(&id).await?.registration;
        let checked = check(&app, &person, &registration).await;
        page_of(&app, &person, &registration, checked).await
    };
    person.page(page.await)
}

/// The page of a file, with what a check says. A refusal that no other file mends is one of the page.
async fn page_of(
    app: &App,
    person: &Person,
    registration: &str,
    checked: Result<RegistrationChecked, Refusal>,
) -> Result<console::layout::Page, Refusal> {
    let trial = match &checked {
        Ok(checked) => Trial { checked: Some(checked), problem: None },
        Err(refusal) => Trial { checked: None, problem: Some((&refusal.detail, refusal.hint.as_deref())) },
    };
    let page = registration::file(registration, &trial, &runs(app, person).await, &person.viewer);
    match checked {
        Err(refusal) if refusal.code == ErrorCode::NotPermitted => Err(refusal),
        Ok(_) | Err(_) => Ok(page),
    }
}

#[derive(Deserialize)]
pub(super) struct FileForm {
    registration: String,
    token: Option<Secret>,
    #[serde(default)]
    grant: String,
    #[serde(default)]
    replace: bool,
}

impl FileForm {
    fn registration(&self) -> String {
        console::line_feeds(&self.registration)
    }
}

/// Shows what the trust rules say; nothing is changed.
pub(super) async fn try_file(State(app): State<App>, Posted { person, form }: Posted<FileForm>) -> Response {
    let registration = form.registration();
    let page = async {
        let token = form.token.as_ref().map(|token| token.reveal().trim());
        let token = token.filter(|token| !token.is_empty()).map(Secret::new);
        let grant = Some(form.grant.trim()).filter(|grant| !grant.is_empty());
        let grant = grant.map(super::grant_id).transpose()?;
        let request = CheckRegistration { registration: registration.clone(), token, grant };
        let checked = app.engine.check_registration(Some(&person.token), &request).await;
        page_of(&app, &person, &registration, checked).await
    };
    person.page(page.await)
}

/// The file as a download, also one that the broker would refuse.
pub(super) async fn download(Posted { person: _, form }: Posted<FileForm>) -> Response {
    attachment("agent.toml", protocol::routes::REGISTRATION_MEDIA_TYPE, form.registration())
}

/// Registers an agent, or replaces its registration if the page said so.
pub(super) async fn register(State(app): State<App>, Posted { person, form }: Posted<FileForm>) -> Response {
    let registration = form.registration();
    let applied = async {
        let by = app.engine.actor(Some(&person.token), Right::Register, On::Broker).await?;
        let checked = check(&app, &person, &registration).await?;
        if checked.from_file {
            let detail = format!("agent `{}` comes from a file: change it there", checked.agent_id);
            return Err(Refusal::new(ErrorCode::AgentExists, detail));
        }
        let mode = if form.replace { ApplyMode::Replace } else { ApplyMode::CreateOnly };
        app.engine.apply_agent(&registration, mode, &Author::Actor(by)).await
    };
    match applied.await {
        Ok(applied) => redirect(&format!("/console/agents/{}", applied.agent_id)),
        Err(refusal) => person.page(page_of(&app, &person, &registration, Err(refusal)).await),
    }
}
