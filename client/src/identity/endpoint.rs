//! The request for a token from a platform's HTTP endpoint, the same for all platforms.

use std::net::IpAddr;
use std::time::Duration;

use protocol::Secret;
use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderValue};
use reqwest::{Method, StatusCode, Url};
use serde_json::Value;

use super::error::IdentityError;

/// How long one request may take.
const TIMEOUT: Duration = Duration::from_secs(5);
/// The longest answer that is read, in bytes.
const LONGEST: usize = 64 * 1024;
/// The pauses before the retries.
const PAUSES: &[Duration] = &[Duration::from_millis(250), Duration::from_secs(1)];

/// Where the requested audience is put.
#[derive(Debug)]
pub(super) enum Audience {
    /// `?audience=…`
    Query,
    /// `{"audience": …}`
    Body,
    /// Nowhere: the platform mints for this audience alone, unless the user names another.
    Fixed(&'static str),
}

/// A platform's token endpoint.
#[derive(Debug)]
pub(super) struct TokenEndpoint {
    pub(super) method: Method,
    pub(super) url: Url,
    /// `Bearer` or `Token`.
    pub(super) scheme: &'static str,
    pub(super) credential: Secret,
    pub(super) headers: &'static [(&'static str, &'static str)],
    pub(super) audience: Audience,
    /// The field of the answer that holds the token.
    pub(super) field: &'static str,
    /// Method and variable, for people: `GET $ACTIONS_ID_TOKEN_REQUEST_URL`.
    pub(super) shown: &'static str,
    /// The advice when the platform refuses.
    pub(super) refusal_hint: &'static str,
}

/// One attempt that returned no token.
struct FetchFailure {
    what: String,
    hint: Option<&'static str>,
    /// A retry may succeed.
    transient: bool,
}

impl FetchFailure {
    fn permanent(what: impl Into<String>, hint: Option<&'static str>) -> Self {
        Self { what: what.into(), hint, transient: false }
    }
}

/// The address in a variable, if a credential may be sent there.
pub(super) fn address(platform: &'static str, variable: &str, value: &str) -> Result<Url, IdentityError> {
    let refuse = |what: String| IdentityError::Misconfigured {
        platform,
        what: what.into(),
        hint: "the platform sets this variable by itself: look for what overwrites it".into(),
    };
    let url =
        Url::parse(value).map_err(|error| refuse(format!("`{variable}` is not an address: {error}")))?;
    let host = url.host_str().unwrap_or_default();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let loopback = bare == "localhost" || bare.parse().is_ok_and(|ip: IpAddr| ip.is_loopback());
    match url.scheme() {
        "https" => Ok(url),
        "http" if loopback => Ok(url),
        scheme => Err(refuse(format!("expected an https address in `{variable}`, found `{scheme}`"))),
    }
}

impl TokenEndpoint {
    /// The audience that the token will have when `wanted` is requested.
    pub(super) fn audience<'a>(&self, wanted: &'a str) -> &'a str {
        match self.audience {
            Audience::Fixed(fixed) if wanted == super::DEFAULT_AUDIENCE => fixed,
            Audience::Fixed(_) | Audience::Query | Audience::Body => wanted,
        }
    }

    /// A fresh token. Transient failures are retried.
    pub(super) async fn fetch(&self, http: &reqwest::Client, wanted: &str) -> Result<Secret, IdentityError> {
        self.fetch_with(http, wanted, PAUSES).await
    }

    pub(super) async fn fetch_with(
        &self,
        http: &reqwest::Client,
        wanted: &str,
        pauses: &[Duration],
    ) -> Result<Secret, IdentityError> {
        let mut pauses = pauses.iter();
        loop {
            let tried = tokio::time::timeout(TIMEOUT, self.try_once(http, wanted)).await;
            let failed = match tried {
                Ok(Ok(token)) => return Ok(token),
                Ok(Err(failed)) => failed,
                Err(_) => FetchFailure {
                    what: format!("no answer within {} s", TIMEOUT.as_secs()),
                    hint: None,
                    transient: true,
                },
            };
            match pauses.next().filter(|_| failed.transient) {
                Some(pause) => tokio::time::sleep(*pause).await,
                None => {
                    return Err(IdentityError::NotIssued {
                        source_of_token: self.shown.to_owned(),
                        what: failed.what,
                        hint: failed.hint,
                    });
                }
            }
        }
    }

    async fn try_once(&self, http: &reqwest::Client, wanted: &str) -> Result<Secret, FetchFailure> {
        let mut response = http.execute(self.request(wanted)?).await.map_err(network)?;
        let status = response.status();
        if *response.url() != self.url_for(wanted) || status.is_redirection() {
            return Err(FetchFailure::permanent(
                "expected a token, found a redirection to another address",
                None,
            ));
        }
        if !status.is_success() {
            return Err(FetchFailure {
                what: format!("expected status 200, found {}", status.as_u16()),
                hint: status.is_client_error().then_some(self.refusal_hint),
                transient: status.is_server_error()
                    || [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_EARLY, StatusCode::TOO_MANY_REQUESTS]
                        .contains(&status),
            });
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(network)? {
            body.extend_from_slice(&chunk);
            if body.len() > LONGEST {
                return Err(FetchFailure::permanent(
                    format!("expected at most {LONGEST} bytes, found more"),
                    None,
                ));
            }
        }
        let answer: Value = serde_json::from_slice(&body)
            .map_err(|_| FetchFailure::permanent("expected JSON, found something else", None))?;
        match answer.get(self.field).and_then(Value::as_str) {
            Some(token) if !token.is_empty() => Ok(Secret::new(token)),
            _ => Err(FetchFailure::permanent(
                format!("expected a token in `{}`, found none", self.field),
                None,
            )),
        }
    }

    fn request(&self, wanted: &str) -> Result<reqwest::Request, FetchFailure> {
        let mut credential = HeaderValue::from_str(&format!("{} {}", self.scheme, self.credential.reveal()))
            .map_err(|_| FetchFailure::permanent("the job's credential cannot be sent in a header", None))?;
        credential.set_sensitive(true);
        let mut request = reqwest::Request::new(self.method.clone(), self.url_for(wanted));
        let headers = request.headers_mut();
        headers.insert(AUTHORIZATION, credential);
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        headers.insert("content-type", HeaderValue::from_static("application/json"));
        for (name, value) in self.headers {
            headers.insert(*name, HeaderValue::from_static(value));
        }
        match self.audience {
            Audience::Body => {
                *request.body_mut() = Some(serde_json::json!({ "audience": wanted }).to_string().into());
            }
            // Some servers refuse a POST without a length.
            Audience::Fixed(_) => {
                request.headers_mut().insert("content-length", HeaderValue::from_static("0"));
            }
            Audience::Query => {}
        }
        Ok(request)
    }

    fn url_for(&self, wanted: &str) -> Url {
        let mut url = self.url.clone();
        match self.audience {
            Audience::Query => {
                url.query_pairs_mut().append_pair("audience", wanted);
            }
            Audience::Body | Audience::Fixed(_) => {}
        }
        url
    }
}

/// A failure below HTTP: the chain of causes, without the address, because the platform's query may be a secret.
fn network(error: reqwest::Error) -> FetchFailure {
    let error = error.without_url();
    let mut what = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(error) = cause {
        what = format!("{what}: {error}");
        cause = error.source();
    }
    FetchFailure {
        what,
        hint: Some("check that this machine reaches the platform, directly or through `HTTPS_PROXY`"),
        transient: true,
    }
}
