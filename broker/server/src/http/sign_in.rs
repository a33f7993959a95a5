//! The sign-in of persons in a browser: to the provider, back, and on to the client that began it.
//!
//! Between the two requests the browser keeps everything in a cookie, so that any replica can go on. A session has no
//! token before the client that began the sign-in exchanges the code for it (RFC 7636, RFC 8252).

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use engine::Refusal;
use maud::{DOCTYPE, Markup, html};
use protocol::{ErrorCode, Secret};
use serde::Deserialize;

use crate::http::App;
use crate::http::extract::{Query, cookie};

/// How long a person may take at the provider.
const MAX_AGE_SECONDS: u32 = 600;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Start {
    /// The challenge of the client (RFC 7636, method S256).
    challenge: String,
    /// The loopback port on which the client waits; without it the page at the end shows a code to paste.
    port: Option<u16>,
    /// Goes back to the client unchanged.
    state: Option<String>,
    /// The provider asks the person again.
    #[serde(default)]
    fresh: bool,
}

/// What the browser keeps meanwhile, as the value of a cookie: every part is base64url or a number.
struct Kept {
    state: Secret,
    nonce: Secret,
    verifier: Secret,
    challenge: String,
    port: Option<u16>,
    client_state: Option<String>,
    /// The page of the console that the browser goes back to, with the session in a cookie.
    back: Option<String>,
}

impl Kept {
    fn value(&self) -> String {
        let port = self.port.map(|port| port.to_string()).unwrap_or_default();
        let parts = [
            self.state.reveal(),
            self.nonce.reveal(),
            self.verifier.reveal(),
            &self.challenge,
            &port,
            self.client_state.as_deref().unwrap_or_default(),
            self.back.as_deref().unwrap_or_default(),
        ];
        parts.join(".")
    }

    fn parse(value: &str) -> Option<Self> {
        let [state, nonce, verifier, challenge, port, client_state, back] =
            value.split('.').collect::<Vec<_>>().try_into().ok()?;
        Some(Self {
            state: Secret::new(state),
            nonce: Secret::new(nonce),
            verifier: Secret::new(verifier),
            challenge: Some(challenge).filter(|challenge| is_base64url(challenge))?.to_owned(),
            port: if port.is_empty() { None } else { Some(port.parse().ok()?) },
            client_state: Some(client_state.to_owned()).filter(|state| !state.is_empty()),
            back: Some(back.to_owned()).filter(|back| is_page_of_console(back)),
        })
    }
}

/// A path of the console, of characters that have no other meaning in a cookie.
fn is_page_of_console(path: &str) -> bool {
    path.starts_with("/console/")
        && path.len() <= 256
        && path.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_/?=&".contains(&b))
        && !path.contains("//")
}

fn is_base64url(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
}

/// The provider's answer.
#[derive(Deserialize)]
pub(crate) struct Answer {
    code: Option<Secret>,
    state: Option<Secret>,
    error: Option<String>,
    error_description: Option<String>,
}

/// `GET /sign-in`
pub(crate) async fn start(State(app): State<App>, Query(start): Query<Start>) -> Response {
    match begin(&app, start).await {
        Ok(response) => response,
        Err(refusal) => refused(&refusal),
    }
}

async fn begin(app: &App, start: Start) -> Result<Response, Refusal> {
    let invalid = |detail: &str| Refusal::new(ErrorCode::InvalidRequest, detail);
    if start.challenge.len() != 43 || !is_base64url(&start.challenge) {
        return Err(invalid("challenge: expected SHA-256 in base64url, 43 characters"));
    }
    if start.state.as_ref().is_some_and(|state| state.len() > 128 || !is_base64url(state)) {
        return Err(invalid("state: expected at most 128 characters of base64url"));
    }
    let started = app.engine.people()?.sign_in.start(start.fresh).await?;
    let kept = Kept {
        state: started.state,
        nonce: started.nonce,
        verifier: started.verifier,
        challenge: start.challenge,
        port: start.port,
        client_state: start.state,
        back: None,
    };
    let cookie = app.cookie(&kept.value(), MAX_AGE_SECONDS);
    redirect(&started.url, &cookie)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ForConsole {
    back: Option<String>,
    #[serde(default)]
    fresh: bool,
}

/// `GET /console/sign-in`: a sign-in that ends in a page of the console.
pub(super) async fn start_for_console(State(app): State<App>, Query(query): Query<ForConsole>) -> Response {
    let began = async {
        let started = app.engine.people()?.sign_in.start(query.fresh).await?;
        let back = query.back.filter(|back| is_page_of_console(back));
        let kept = Kept {
            challenge: identity::code_challenge(&started.verifier),
            state: started.state,
            nonce: started.nonce,
            verifier: started.verifier,
            port: None,
            client_state: None,
            back: Some(back.unwrap_or_else(|| "/console/requests".to_owned())),
        };
        redirect(&started.url, &app.cookie(&kept.value(), MAX_AGE_SECONDS))
    };
    began.await.unwrap_or_else(|refusal: Refusal| refused(&refusal))
}

/// `GET /sign-in/callback`
pub(crate) async fn callback(
    State(app): State<App>,
    headers: HeaderMap,
    Query(answer): Query<Answer>,
) -> Response {
    let mut response = match end(&app, &headers, answer).await {
        Ok(response) => response,
        Err(refusal) => refused(&refusal),
    };
    // The cookie is for one answer.
    if let Ok(gone) = HeaderValue::from_str(&app.cookie("", 0)) {
        response.headers_mut().append(header::SET_COOKIE, gone);
    }
    response
}

async fn end(app: &App, headers: &HeaderMap, answer: Answer) -> Result<Response, Refusal> {
    let refused = |detail: &str| {
        Refusal::new(ErrorCode::SignInRefused, detail)
            .hint("run `cloudanix-jit login` again, and stay in one browser")
    };
    let kept = cookie(headers, app.cookie_name()).and_then(Kept::parse).ok_or_else(|| {
        refused("this browser has not begun a sign-in in the last ten minutes, or does not keep cookies")
    })?;
    let state = answer.state.unwrap_or_else(|| Secret::new(""));
    if state.reveal() != kept.state.reveal() {
        return Err(refused(
            "the answer belongs to another sign-in than the one that this browser began last",
        ));
    }
    if let Some(error) = answer.error {
        let said = answer.error_description.map(|text| format!(": {text}")).unwrap_or_default();
        let said: String = format!("`{error}`{said}").chars().take(300).collect();
        return Err(refused(&format!("the provider answers {said}")));
    }
    let code = answer.code.ok_or_else(|| refused("the provider sent no code"))?;
    let finished = app.engine.finish_sign_in(&code, &kept.nonce, &kept.verifier, &kept.challenge);
    let (code, session) = finished.await?;
    if let Some(back) = kept.back {
        let new = app.engine.exchange_code(&code, &kept.verifier).await?;
        return redirect(&back, &app.set_session_cookie(Some(&new.token)));
    }
    match kept.port {
        Some(port) => {
            let state = kept.client_state.filter(|state| is_base64url(state));
            let state = state.map(|state| format!("&state={state}")).unwrap_or_default();
            redirect(&format!("http://127.0.0.1:{port}/?code={}{state}", code.reveal()), "")
        }
        None => Ok(page(
            StatusCode::OK,
            "Signed in",
            &html! {
                p { "You are signed in as " strong { (session.person.shown()) } "." }
                p { "Paste this code into the terminal where " code { "cloudanix-jit login" } " waits:" }
                p { code { (code.reveal()) } }
                p { "Only if you started it yourself: whoever has that terminal acts as you." }
            },
        )),
    }
}

impl App {
    /// Browsers keep `__Host-` cookies from every other origin; they need https.
    fn cookie_name(&self) -> &'static str {
        if self.server.is_https() { "__Host-jit-sign-in" } else { "jit-sign-in" }
    }

    fn cookie(&self, value: &str, max_age: u32) -> String {
        let secure = if self.server.is_https() { "; Secure" } else { "" };
        let name = self.cookie_name();
        format!("{name}={value}; Path=/; Max-Age={max_age}; HttpOnly; SameSite=Lax{secure}")
    }
}

fn redirect(to: &str, cookie: &str) -> Result<Response, Refusal> {
    let unusable =
        |error| Refusal::new(ErrorCode::Internal, "the sign-in cannot go on from here").because(error);
    let mut response = StatusCode::SEE_OTHER.into_response();
    let headers = response.headers_mut();
    headers.insert(header::LOCATION, HeaderValue::from_str(to).map_err(unusable)?);
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    if !cookie.is_empty() {
        headers.insert(header::SET_COOKIE, HeaderValue::from_str(cookie).map_err(unusable)?);
    }
    Ok(response)
}

fn refused(refusal: &Refusal) -> Response {
    if let Some(cause) = &refusal.cause {
        tracing::error!(cause, detail = refusal.detail, "a sign-in failed");
    } else {
        tracing::info!(detail = refusal.detail, "a sign-in was refused");
    }
    let status = StatusCode::from_u16(refusal.code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let hint = refusal.hint.as_deref().unwrap_or_default();
    page(status, "Not signed in", &html! { p { (refusal.detail) } p { (hint) } })
}

/// A page that loads nothing and cannot be framed.
fn page(status: StatusCode, title: &str, content: &Markup) -> Response {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head { title { (title) " · cloudanix-jit" } meta name="viewport" content="width=device-width"; }
            body { main { h1 { (title) } (content) } }
        }
    };
    let policy = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, policy),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_FRAME_OPTIONS, "DENY"),
    ];
    (status, headers, page.into_string()).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sign_in_ends_in_a_page_of_the_console_and_nowhere_else() {
        for page in ["/console/requests", "/console/requests?after=elev-9c11f3a800000001"] {
            assert!(is_page_of_console(page), "{page}");
        }
        for page in [
            "",
            "https://evil.example/console/",
            "//evil.example/console/",
            "/console",
            "/console/../v2/sessions",
            "/console//evil.example",
            "/console/\\evil.example",
            "/console/a.b.c",
            "/console/a\r\nSet-Cookie: a",
            "/console/%2f%2fevil.example",
        ] {
            assert!(!is_page_of_console(page), "{page}");
        }
        assert!(!is_page_of_console(&format!("/console/{}", "a".repeat(256))));
    }
}
