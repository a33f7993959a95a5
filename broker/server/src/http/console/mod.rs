//! The console: pages for a person who signed in, whose session is in a cookie.
//!
//! A page calls the use case that the API has, with the session as its bearer, so it shows nothing that the API would not.

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post};
use console::layout::{self, Page, SCRIPT_PATH, STYLE_PATH, Viewer, document};
use engine::Refusal;
use protocol::approvals::{Choice, Vote};
use protocol::{ErrorCode, GrantId};
use serde::Deserialize;

use self::export::{Export, List};
use self::person::{Asked, Person, Posted};
use crate::http::{App, sign_in};

mod agents;
mod export;
mod grants;
mod health;
mod person;
mod rules;

const INBOX: &str = "/console/requests";
/// Of every page: nothing from elsewhere, nothing inline, no frame.
const POLICY: &str =
    "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'";

/// Every route of the console.
pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/console", get(async || redirect(INBOX)))
        .route("/console/requests", get(inbox))
        .route("/console/requests/{id}", get(request))
        .route("/console/requests/{id}/votes", post(vote))
        .route("/console/grants", get(grants::list))
        .route("/console/grants/{id}", get(grants::timeline))
        .route("/console/grants/{id}/live", get(grants::live))
        .route("/console/grants/{id}/end", post(grants::end))
        .route("/console/agents", get(agents::list).post(agents::register))
        .route("/console/agents/new", get(agents::wizard))
        .route("/console/agents/try", post(agents::try_file))
        .route("/console/agents/file", post(agents::download))
        .route("/console/agents/{id}", get(agents::agent))
        .route("/console/agents/{id}/file", get(agents::file))
        .route("/console/agents/{id}/disable", post(agents::disable))
        .route("/console/agents/{id}/enable", post(agents::enable))
        .route("/console/agents/{id}/tokens", post(agents::new_token))
        .route("/console/rules", get(rules::state))
        .route("/console/rules/sets/{digest}", get(rules::set))
        .route("/console/rules/report", get(rules::report))
        .route("/console/rules/test", get(rules::test_page).post(rules::test))
        .route("/console/health", get(health::show))
        .route("/console/health/reconcile", post(health::reconcile))
        .route("/console/break-glass", get(break_glass))
        .route("/console/break-glass/{id}/review", post(review))
        .route("/console/{*path}", any(no_such_page))
        .route("/console/sign-in", get(sign_in::start_for_console))
        .route("/console/sign-out", post(sign_out))
        .route(STYLE_PATH, get(async || asset("text/css; charset=utf-8", console::STYLE)))
        .route(SCRIPT_PATH, get(async || asset("text/javascript; charset=utf-8", console::SCRIPT)))
}

async fn no_such_page(person: Person) -> Response {
    person.answer(Err(Refusal::new(ErrorCode::RouteNotFound, "the console has no page at this address")))
}

fn asset(content_type: &'static str, content: &'static str) -> Response {
    ([(header::CONTENT_TYPE, content_type)], content).into_response()
}

/// An answer that browsers save as a file.
fn attachment(name: &str, content_type: &str, content: impl Into<Body>) -> Response {
    let disposition = format!("attachment; filename=\"{name}\"");
    let headers =
        [(header::CONTENT_TYPE, content_type.to_owned()), (header::CONTENT_DISPOSITION, disposition)];
    (headers, content.into()).into_response()
}

/// The grant in the path.
fn grant_id(text: &str) -> Result<GrantId, Refusal> {
    text.parse().map_err(|_| Refusal::new(ErrorCode::GrantNotFound, "no grant has this id"))
}

fn encoded(text: &str) -> String {
    serde_urlencoded::to_string([("", text)]).unwrap_or_default().trim_start_matches('=').to_owned()
}

fn redirect(to: &str) -> Response {
    let mut response = StatusCode::SEE_OTHER.into_response();
    if let Ok(to) = HeaderValue::from_str(to) {
        response.headers_mut().insert(header::LOCATION, to);
    }
    response
}

fn written(status: StatusCode, page: &Page, viewer: Option<&Viewer>) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        // With `no-referrer` browsers send forms with `Origin: null`.
        (header::REFERRER_POLICY, "same-origin"),
        (header::X_FRAME_OPTIONS, "DENY"),
    ];
    (status, headers, document(page, viewer).into_string()).into_response()
}

fn refused(refusal: &Refusal, viewer: Option<&Viewer>) -> Response {
    let status = StatusCode::from_u16(refusal.code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let page = layout::refusal(refusal.code.title(), &refusal.detail, refusal.hint.as_deref());
    written(status, &page, viewer)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct After {
    after: Option<GrantId>,
    export: Option<Export>,
}

async fn inbox(State(app): State<App>, Asked { person, query }: Asked<After>) -> Response {
    if let Some(format) = query.export {
        return format.of(List::Requests, app, person).await;
    }
    let listed = app.engine.requests(Some(&person.token), query.after, engine::Page::of(None)).await;
    person.page(listed.map(|list| console::requests::inbox(&list)))
}

async fn request(State(app): State<App>, person: Person, Path(id): Path<String>) -> Response {
    let found = async { app.engine.request(Some(&person.token), &grant_id(&id)?).await };
    person.page(found.await.map(|found| console::requests::request(&found, &person.viewer)))
}

#[derive(Deserialize)]
struct VoteForm {
    digest: String,
    choice: Choice,
    because: String,
}

async fn vote(
    State(app): State<App>,
    Path(id): Path<String>,
    Posted { person, form }: Posted<VoteForm>,
) -> Response {
    let here = format!("/console/requests/{id}");
    let voted = async {
        let because = Some(form.because).filter(|because| !because.trim().is_empty());
        let vote = Vote { digest: form.digest, choice: form.choice, because };
        Box::pin(app.engine.vote(Some(&person.token), &grant_id(&id)?, &vote)).await
    };
    match voted.await {
        Err(refusal) if refusal.code == ErrorCode::FreshSignInRequired => {
            let address = format!("/console/sign-in?fresh=true&back={}", encoded(&here));
            let (title, command) = (refusal.code.title(), "cloudanix-jit login --fresh");
            let page = layout::sign_in(title, &refusal.detail, &address, command);
            written(StatusCode::FORBIDDEN, &page, Some(&person.viewer))
        }
        voted => person.answer(voted.map(|_| redirect(&here))),
    }
}

async fn break_glass(State(app): State<App>, Asked { person, query }: Asked<After>) -> Response {
    if let Some(format) = query.export {
        return format.of(List::BreakGlass, app, person).await;
    }
    let page = engine::Page::of(None);
    let listed = app.engine.break_glass_grants(Some(&person.token), false, query.after, page).await;
    person.page(listed.map(|list| console::break_glass::list(&list, &person.viewer)))
}

#[derive(Deserialize)]
struct ReviewForm {
    note: String,
}

async fn review(
    State(app): State<App>,
    Path(id): Path<String>,
    Posted { person, form }: Posted<ReviewForm>,
) -> Response {
    let reviewed =
        async { app.engine.review_break_glass(Some(&person.token), &grant_id(&id)?, &form.note).await };
    person.answer(reviewed.await.map(|_| redirect("/console/break-glass")))
}

/// A form without fields of its own.
#[derive(Deserialize)]
struct Nothing {}

async fn sign_out(State(app): State<App>, Posted { person, form: Nothing {} }: Posted<Nothing>) -> Response {
    let signed_out = app.engine.end_session(Some(&person.token)).await;
    person.answer(signed_out.map(|()| {
        let mut response = written(StatusCode::OK, &layout::signed_out(), None);
        if let Ok(gone) = HeaderValue::from_str(&app.set_session_cookie(None)) {
            response.headers_mut().insert(header::SET_COOKIE, gone);
        }
        response
    }))
}
