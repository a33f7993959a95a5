//! Runs a complete OpenID Provider that we did not write, and a browser in which persons sign in there.
//!
//! `tests/node/people.mjs` runs npm's `oidc-provider`s, each on a loopback port of its own. Dropping the handle
//! ends the server.

use std::collections::BTreeMap;

use anyhow::Result;
use reqwest::{Method, Url};
use serde_json::{Value, json};

use crate::broker::Broker;
use crate::http;
use crate::node_script::{Server, ServersScript, text};
use crate::waiting::eventually;

static PROVIDERS: ServersScript = ServersScript::new("people.mjs");

/// A running provider.
#[derive(Debug)]
pub struct PeopleProvider {
    issuer: String,
    server: Server,
}

/// How the provider differs from its default.
#[derive(Debug, Clone, Copy, Default)]
pub struct ProviderOptions<'a> {
    /// The client is confidential, with this secret.
    pub client_secret: Option<&'a str>,
    /// The claims of scopes are at the userinfo endpoint alone.
    pub claims_at_userinfo: bool,
}

impl PeopleProvider {
    /// Starts a provider with these persons for the broker's sign-in.
    pub fn start(broker: &Broker, people: &Value, options: ProviderOptions<'_>) -> Result<Self> {
        let (server, reply) = PROVIDERS.start_server(&json!({
            "redirect_uri": format!("{}/sign-in/callback", broker.url()),
            "client_secret": options.client_secret,
            "claims_at_userinfo": options.claims_at_userinfo,
            "people": people,
        }))?;
        Ok(Self { issuer: text(&reply, "issuer")?, server })
    }

    /// The provider's `iss`, an `http://127.0.0.1:PORT`.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Replaces the persons.
    pub fn set_people(&mut self, people: &Value) -> Result<()> {
        self.server.order("people", &json!({ "people": people })).map(drop)
    }
}

/// Lets persons sign in at a running broker: with this provider, these rules and these lines in `[people]`.
#[track_caller]
pub fn configure(broker: &Broker, provider: &PeopleProvider, rules: &str, more: &str) {
    configure_issuer(broker, provider.issuer(), rules, more);
}

/// The same, at a provider with this issuer.
#[track_caller]
pub fn configure_issuer(broker: &Broker, issuer: &str, rules: &str, more: &str) {
    let file = broker.folder().join("people.cedar");
    std::fs::write(&file, rules).expect("a file of rules");
    broker.reconfigure(|text| {
        format!(
            "{text}\n[people]\nissuer = \"{issuer}\"\nclient_id = \"cloudanix-jit\"\nrules = \"{}\"\n\
             scopes = [\"profile\", \"groups\"]\n{more}\n",
            file.display(),
        )
    });
    broker.hang_up();
    eventually("the sign-in of persons", || {
        let session =
            http::send(broker.request(Method::GET, "/v2/sessions/current").bearer_auth("cjps_none"));
        // Without a provider the answer is 503.
        (session.status == 401).then_some(())
    });
}

/// Signs a person in at a broker, without the client. Returns the token of the session.
#[track_caller]
pub fn session(broker: &Broker, person: &str) -> String {
    // RFC 7636, appendix B.
    let (verifier, challenge) =
        ("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
    let address = format!("{}/sign-in?challenge={challenge}", broker.url());
    let page = Browser::default().sign_in(&address, person);
    let body = json!({"code": page.code(), "verifier": verifier});
    let exchanged = http::send(broker.request(Method::POST, "/v2/sessions").json(&body)).expect(201);
    exchanged.text_at("/token").to_owned()
}

/// A page at which the browser has arrived.
#[derive(Debug, Clone)]
pub struct Page {
    /// Its address.
    pub url: Url,
    /// The HTTP status.
    pub status: u16,
    /// The text.
    pub text: String,
    /// Every header, names in lower case.
    pub headers: Vec<(String, String)>,
}

impl Page {
    /// The code that the page shows.
    #[track_caller]
    pub fn code(&self) -> &str {
        assert_eq!(self.status, 200, "{}", self.text);
        self.text.rsplit("<code>").next().and_then(|rest| rest.split("</code>").next()).expect("a code")
    }
}

impl Page {
    /// The value of a hidden field of the page's first form that has it.
    #[track_caller]
    pub fn field(&self, name: &str) -> &str {
        let at = format!("name=\"{name}\" value=\"");
        let rest = self.text.split_once(&at).unwrap_or_else(|| panic!("no field `{name}`: {}", self.text)).1;
        rest.split('"').next().unwrap_or_default()
    }
}

/// A browser: keeps cookies by origin, and follows redirects.
#[derive(Debug, Default)]
pub struct Browser {
    cookies: BTreeMap<String, BTreeMap<String, String>>,
    /// Every address that was requested.
    pub visited: Vec<Url>,
}

impl Browser {
    /// Opens an address, signs in as this person wherever the provider asks, and agrees to what it asks.
    #[track_caller]
    pub fn sign_in(&mut self, address: &str, person: &str) -> Page {
        let mut page = self.get(address);
        // One form to sign in and one to agree; a session at the provider needs neither.
        for _ in 0..3 {
            // A page of the broker has forms too.
            let is_back = page.text.contains(" · cloudanix-jit</title>");
            let Some(form) = form(&page).filter(|_| !is_back) else { return page };
            let prompt = if page.text.contains("value=\"login\"") { "login" } else { "consent" };
            let body = format!("prompt={prompt}&login={person}&password=any");
            page = self.follow(Method::POST, form, Some(body));
        }
        panic!("the provider asks again and again: {}", page.text);
    }

    /// Opens an address, and follows redirects.
    #[track_caller]
    pub fn get(&mut self, address: &str) -> Page {
        self.follow(Method::GET, Url::parse(address).expect("an address"), None)
    }

    /// Sends a form, and follows redirects.
    #[track_caller]
    pub fn post(&mut self, address: &str, fields: &[(&str, &str)]) -> Page {
        let mut body = Url::parse("form:").expect("an address");
        body.query_pairs_mut().extend_pairs(fields);
        let body = body.query().unwrap_or_default().to_owned();
        self.follow(Method::POST, Url::parse(address).expect("an address"), Some(body))
    }

    /// The cookies of an origin, as `NAME=VALUE`.
    pub fn cookies(&self, origin: &str) -> Vec<String> {
        let jar = self.cookies.get(origin).into_iter().flatten();
        jar.map(|(name, value)| format!("{name}={value}")).collect()
    }

    /// Sets a cookie of an origin, as another page could not.
    pub fn set_cookie(&mut self, origin: &str, name: &str, value: &str) {
        self.cookies.entry(origin.to_owned()).or_default().insert(name.to_owned(), value.to_owned());
    }

    #[track_caller]
    fn follow(&mut self, mut method: Method, mut url: Url, mut body: Option<String>) -> Page {
        for _ in 0..20 {
            let origin = url.origin().ascii_serialization();
            self.visited.push(url.clone());
            let client = http::client(|builder| builder.redirect(reqwest::redirect::Policy::none()));
            let mut request = client.request(method.clone(), url.clone());
            let cookies = self.cookies(&origin).join("; ");
            if !cookies.is_empty() {
                request = request.header("cookie", cookies);
            }
            if let Some(body) = body.take() {
                request = request.header("content-type", "application/x-www-form-urlencoded").body(body);
            }
            let answer = http::send(request);
            for (_, cookie) in answer.headers.iter().filter(|(name, _)| name == "set-cookie") {
                self.keep(&origin, cookie);
            }
            let location = answer.headers.iter().find(|(name, _)| name == "location");
            let Some((_, location)) = location.filter(|_| (300..400).contains(&answer.status)) else {
                return Page { url, status: answer.status, text: answer.text, headers: answer.headers };
            };
            url = url.join(location).expect("a location");
            method = Method::GET;
        }
        panic!("too many redirects, the last to {url}");
    }

    fn keep(&mut self, origin: &str, cookie: &str) {
        let (pair, attributes) = cookie.split_once(';').unwrap_or((cookie, ""));
        let Some((name, value)) = pair.split_once('=') else { return };
        let jar = self.cookies.entry(origin.to_owned()).or_default();
        if value.is_empty() || attributes.to_ascii_lowercase().contains("max-age=0") {
            jar.remove(name);
        } else {
            jar.insert(name.to_owned(), value.to_owned());
        }
    }
}

/// Where the form of a page goes.
fn form(page: &Page) -> Option<Url> {
    let (_, rest) = page.text.split_once("<form")?;
    let (_, rest) = rest.split_once("action=\"")?;
    let (action, _) = rest.split_once('"')?;
    page.url.join(action).ok()
}
