//! The HTTP client for issuers.

use std::time::Duration;

use openidconnect::{HttpRequest, HttpResponse};
use outbound::UnusableCertificates;
use reqwest::header::{CACHE_CONTROL, HeaderMap};
use reqwest::{StatusCode, Url};

/// Time limit of a request.
const TIMEOUT: Duration = Duration::from_secs(3);

/// The client. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Http(outbound::Http);

/// A body, and its `max-age`.
pub(crate) struct Fetched {
    pub(crate) body: Vec<u8>,
    pub(crate) max_age: Option<Duration>,
}

impl Http {
    /// Trusts the public certificate authorities and those in `extra_ca_pem`.
    pub fn new(extra_ca_pem: Option<&[u8]>) -> Result<Self, UnusableCertificates> {
        outbound::Http::new(extra_ca_pem, TIMEOUT).map(Self)
    }

    /// Sends a request of a sign-in, whose address the caller has checked, and returns the answer with any status.
    pub(crate) async fn send(&self, request: HttpRequest) -> Result<HttpResponse, String> {
        self.0.send(request).await
    }

    /// Fetches `url`, which the caller has checked, and expects status 200.
    pub(crate) async fn get(&self, url: &Url) -> Result<Fetched, String> {
        let request = http::Request::get(url.as_str()).body(Vec::new());
        let response = self.0.send(request.map_err(|error| error.to_string())?).await?;
        let status = response.status();
        if status.is_redirection() {
            return Err(format!("answered with status {}: redirects are not followed", status.as_u16()));
        }
        if status != StatusCode::OK {
            return Err(format!("answered with status {}: expected 200", status.as_u16()));
        }
        let max_age = max_age(response.headers());
        Ok(Fetched { body: response.into_body(), max_age })
    }
}

fn max_age(headers: &HeaderMap) -> Option<Duration> {
    let header = headers.get(CACHE_CONTROL)?.to_str().ok()?;
    header.split(',').find_map(|directive| {
        let (name, value) = directive.trim().split_once('=')?;
        let secs = value.trim().parse().ok()?;
        name.trim().eq_ignore_ascii_case("max-age").then_some(Duration::from_secs(secs))
    })
}
