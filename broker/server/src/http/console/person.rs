//! The person who asks for a page or sends a form: their session is in a cookie.
//!
//! A form counts if it comes from a page of ours: by its token, which another site cannot read, and by `Origin`.

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use console::layout::{self, Page, Viewer};
use engine::Refusal;
use protocol::{ErrorCode, Secret};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use subtle::ConstantTimeEq;

use super::{INBOX, encoded, redirect, refused, written};
use crate::http::App;
use crate::http::extract::cookie;

/// A person with a session.
pub(super) struct Person {
    pub(super) token: Secret,
    pub(super) viewer: Viewer,
}

/// The answer in place of a page: to sign in, or what was refused.
pub(super) struct Instead(Box<Response>);

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

/// To sign in, and then the same page. A form is not sent again by itself: the person comes back to the page of the form.
fn sign_in_first(parts: &Parts, app: &App) -> Response {
    let sign_in = |back: &str| format!("/console/sign-in?back={}", encoded(back));
    if parts.method == Method::GET {
        return redirect(&sign_in(parts.uri.path_and_query().map_or(INBOX, |path| path.as_str())));
    }
    let form = parts.headers.get(header::REFERER).and_then(|page| page.to_str().ok());
    let form = form.zip(app.server.url.as_deref()).and_then(|(page, url)| page.strip_prefix(url));
    let (title, address) = (ErrorCode::SessionEnded.title(), sign_in(form.unwrap_or(INBOX)));
    let detail = "your session has ended, and nothing was changed";
    written(StatusCode::UNAUTHORIZED, &layout::sign_in(title, detail, &address, "cloudanix-jit login"), None)
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
    pub(in crate::http) fn set_session_cookie(&self, token: Option<&Secret>) -> String {
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
    pub(super) fn page(&self, page: Result<Page, Refusal>) -> Response {
        self.answer(page.map(|page| written(StatusCode::OK, &page, Some(&self.viewer))))
    }

    pub(super) fn answer(&self, answer: Result<Response, Refusal>) -> Response {
        answer.unwrap_or_else(|refusal| refused(&refusal, Some(&self.viewer)))
    }
}

/// A page that this person asks for, with the fields of its address.
pub(super) struct Asked<T> {
    pub(super) person: Person,
    pub(super) query: T,
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
pub(super) struct Posted<T> {
    pub(super) person: Person,
    pub(super) form: T,
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

/// A form that is a button alone.
#[derive(Deserialize)]
pub(super) struct NoFields {}

pub(super) fn invalid(detail: &str) -> Refusal {
    Refusal::new(ErrorCode::InvalidRequest, detail)
}

fn from_elsewhere() -> Refusal {
    invalid("the form did not come from a page of this broker")
}

/// What browsers say of every page that they ask for.
pub(super) fn is_link_of_another_site(headers: &HeaderMap) -> bool {
    let site = headers.get("sec-fetch-site").and_then(|site| site.to_str().ok());
    site.is_some_and(|site| site != "same-origin" && site != "none")
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
