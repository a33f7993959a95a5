//! The console: pages for a person who signed in, whose session is in a cookie.
//!
//! A page calls the use case that the API has, with the session as its bearer, so it shows nothing that the API would not.
//! A form counts if it comes from a page of ours: by its token, which another site cannot read, and by `Origin`.

use axum::Router;
use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Path, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use console::layout::{Page, SCRIPT_PATH, STYLE_PATH, Viewer, document};
use engine::Refusal;
use maud::html;
use protocol::approvals::{Choice, Vote};
use protocol::{ErrorCode, GrantId, Secret};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use subtle::ConstantTimeEq;

use self::export::{Export, List};
use crate::http::extract::cookie;
use crate::http::{App, sign_in};

mod export;
mod grants;

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
        .route("/console/break-glass", get(break_glass))
        .route("/console/break-glass/{id}/review", post(review))
        .route("/console/sign-in", get(sign_in::start_for_console))
        .route("/console/sign-out", post(sign_out))
        .route(STYLE_PATH, get(async || asset("text/css; charset=utf-8", console::STYLE)))
        .route(SCRIPT_PATH, get(async || asset("text/javascript; charset=utf-8", console::SCRIPT)))
}

fn asset(content_type: &'static str, content: &'static str) -> Response {
    ([(header::CONTENT_TYPE, content_type)], content).into_response()
}

/// A person with a session.
struct Person {
    token: Secret,
    viewer: Viewer,
}

/// The answer in place of a page: to sign in, or what was refused.
struct Instead(Box<Response>);

impl IntoResponse for Instead {
    fn into_response(self) -> Response {
        *self.0
    }
}

impl FromRequestParts<App> for Person {
    type Rejection = Instead;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Instead> {
        let sign_in = || Instead(Box::new(sign_in_first(parts, app)));
        let token = app.session_cookie(&parts.headers).ok_or_else(sign_in)?;
        match app.engine.session(Some(&token)).await {
            Ok(session) => {
                let viewer = Viewer { name: session.person.shown().to_owned(), csrf: csrf(&token) };
                Ok(Self { token, viewer })
            }
            Err(refusal) if refusal.code == ErrorCode::SessionEnded => Err(sign_in()),
            Err(refusal) => Err(Instead(Box::new(refused(&refusal, None)))),
        }
    }
}

/// To sign in, and then the same page. A form is not sent again by itself: the person is shown the page of the form, by a
/// link, because browsers do not let a form lead on to the provider (`form-action`).
fn sign_in_first(parts: &Parts, app: &App) -> Response {
    let sign_in = |back: &str| format!("/console/sign-in?back={}", encoded(back));
    if parts.method == Method::GET {
        return redirect(&sign_in(parts.uri.path_and_query().map_or(INBOX, |path| path.as_str())));
    }
    let form = parts.headers.get(header::REFERER).and_then(|page| page.to_str().ok());
    let form = form.zip(app.server.url.as_deref()).and_then(|(page, url)| page.strip_prefix(url));
    let content = html! {
        p role="alert" { "Your session has ended, and nothing was changed." }
        p { a href=(sign_in(form.unwrap_or(INBOX))) { "Sign in again" } }
    };
    let (title, command) = (ErrorCode::SessionEnded.title().to_owned(), "cloudanix-jit login".to_owned());
    written(StatusCode::UNAUTHORIZED, &Page { title, part: "", command, content }, None)
}

/// The grant in the path.
fn grant_id(text: &str) -> Result<GrantId, Refusal> {
    text.parse().map_err(|_| Refusal::new(ErrorCode::GrantNotFound, "no grant has this id"))
}

/// Follows from the session, and says nothing about it.
fn csrf(token: &Secret) -> String {
    engine::hash_of(&format!("console form {}", token.reveal()))
}

impl App {
    fn session_cookie_name(&self) -> &'static str {
        if self.server.is_https() { "__Host-jit-session" } else { "jit-session" }
    }

    /// Sets the cookie of a session; without a token it ends.
    pub(super) fn set_session_cookie(&self, token: Option<&Secret>) -> String {
        let secure = if self.server.is_https() { "; Secure" } else { "" };
        let (value, end) = match token {
            Some(token) => (token.reveal(), ""),
            None => ("", "; Max-Age=0"),
        };
        format!("{}={value}; Path=/; HttpOnly; SameSite=Lax{secure}{end}", self.session_cookie_name())
    }

    fn session_cookie(&self, headers: &HeaderMap) -> Option<Secret> {
        cookie(headers, self.session_cookie_name()).map(Secret::new)
    }
}

impl Person {
    /// A page of this person, or what was refused.
    fn page(&self, page: Result<Page, Refusal>) -> Response {
        self.answer(page.map(|page| written(StatusCode::OK, &page, Some(&self.viewer))))
    }

    fn answer(&self, answer: Result<Response, Refusal>) -> Response {
        answer.unwrap_or_else(|refusal| refused(&refusal, Some(&self.viewer)))
    }
}

/// A page that this person asks for, with the fields of its address.
struct Asked<T> {
    person: Person,
    query: T,
}

impl<T: DeserializeOwned> FromRequestParts<App> for Asked<T> {
    type Rejection = Instead;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Instead> {
        let person = Person::from_request_parts(parts, app).await?;
        match serde_urlencoded::from_str(parts.uri.query().unwrap_or_default()) {
            Ok(query) => Ok(Self { person, query }),
            Err(error) => {
                let refusal = invalid(&format!("the address: {error}"));
                Err(Instead(Box::new(person.answer(Err(refusal)))))
            }
        }
    }
}

/// A form that a page of this person sent.
struct Posted<T> {
    person: Person,
    form: T,
}

impl<T: DeserializeOwned> FromRequest<App> for Posted<T> {
    type Rejection = Instead;

    async fn from_request(request: Request, app: &App) -> Result<Self, Instead> {
        let (mut parts, body) = request.into_parts();
        let person = Person::from_request_parts(&mut parts, app).await?;
        let form = async {
            is_from_our_page(&parts.headers, app)?;
            let body = Bytes::from_request(Request::from_parts(parts, body), app).await;
            let body = body.map_err(|error| invalid(&format!("the form: {error}")))?;
            form(&body, &person)
        };
        match form.await {
            Ok(form) => Ok(Self { person, form }),
            Err(refusal) => Err(Instead(Box::new(person.answer(Err(refusal))))),
        }
    }
}

fn invalid(detail: &str) -> Refusal {
    Refusal::new(ErrorCode::InvalidRequest, detail)
}

fn from_elsewhere() -> Refusal {
    invalid("the form did not come from a page of this broker")
}

/// What browsers say of every form.
fn is_from_our_page(headers: &HeaderMap, app: &App) -> Result<(), Refusal> {
    let said = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let is_other_site = said("sec-fetch-site").is_some_and(|site| site != "same-origin");
    let is_other_origin =
        said("origin").zip(app.server.url.as_deref()).is_some_and(|(origin, url)| origin != url);
    if is_other_site || is_other_origin { Err(from_elsewhere()) } else { Ok(()) }
}

/// The fields, if the form has the token of this person's pages.
fn form<T: DeserializeOwned>(body: &[u8], person: &Person) -> Result<T, Refusal> {
    #[derive(Deserialize)]
    struct Token {
        csrf: String,
    }
    let token: Token = serde_urlencoded::from_bytes(body).map_err(|_| from_elsewhere())?;
    if !bool::from(token.csrf.as_bytes().ct_eq(person.viewer.csrf.as_bytes())) {
        return Err(from_elsewhere());
    }
    serde_urlencoded::from_bytes(body).map_err(|error| invalid(&format!("the form: {error}")))
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
    let page = console::layout::refusal(refusal.code.title(), &refusal.detail, refusal.hint.as_deref());
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
        // A link: browsers do not let a form lead on to the provider (`form-action`).
        Err(refusal) if refusal.code == ErrorCode::FreshSignInRequired => {
            let sign_in = format!("/console/sign-in?fresh=true&back={}", encoded(&here));
            let content = html! {
                p role="alert" { (refusal.detail) }
                p { a href=(sign_in) { "Sign in again" } ", and vote then." }
            };
            let title = refusal.code.title().to_owned();
            let page = Page { title, part: "", command: "cloudanix-jit login --fresh".to_owned(), content };
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
        let content = html! { p { a href="/console/sign-in" { "Sign in" } } };
        let (title, command) = ("Signed out".to_owned(), "cloudanix-jit logout".to_owned());
        let mut response = written(StatusCode::OK, &Page { title, part: "", command, content }, None);
        if let Ok(gone) = HeaderValue::from_str(&app.set_session_cookie(None)) {
            response.headers_mut().insert(header::SET_COOKIE, gone);
        }
        response
    }))
}
