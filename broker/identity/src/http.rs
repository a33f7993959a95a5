//! The HTTP client for issuers: limited in time and size, without redirects.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use openidconnect::{HttpRequest, HttpResponse};
use reqwest::header::CACHE_CONTROL;
use reqwest::{Client, Response, Url, redirect};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

/// Time limit of a request, from name resolution to the end of the body.
const TIMEOUT: Duration = Duration::from_secs(3);

/// The largest accepted body. Discovery documents and key sets are far smaller.
const MAX_BODY: usize = 256 * 1024;

/// The client. Cheap to clone.
#[derive(Clone)]
pub struct Http {
    https: Client,
    loopback: Client,
}

impl fmt::Debug for Http {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Http")
    }
}

/// Why the client cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum UnusableCertificates {
    /// The file is not PEM, or has no certificate.
    #[error("the extra certificate authorities are not PEM certificates: {0}")]
    Pem(String),
    /// A certificate cannot be a root.
    #[error("an extra certificate authority cannot be used")]
    Root(#[source] rustls::Error),
    /// The client cannot be made.
    #[error("the HTTP client cannot be made")]
    Client(#[source] reqwest::Error),
    /// TLS cannot be set up.
    #[error("TLS cannot be set up")]
    Tls(#[source] rustls::Error),
}

/// A body, and its `max-age`.
pub(crate) struct Fetched {
    pub(crate) body: Vec<u8>,
    pub(crate) max_age: Option<Duration>,
}

impl Http {
    /// Trusts the public certificate authorities and those in `extra_ca_pem`. The usual proxy variables apply to https,
    /// and not to issuers on this machine.
    pub fn new(extra_ca_pem: Option<&[u8]>) -> Result<Self, UnusableCertificates> {
        let tls = tls(extra_ca_pem)?;
        let client = || {
            Client::builder()
                .tls_backend_preconfigured(tls.clone())
                .user_agent(concat!("cloudanix-jit-broker/", env!("CARGO_PKG_VERSION")))
                .redirect(redirect::Policy::none())
                .timeout(TIMEOUT)
        };
        Ok(Self {
            https: client().https_only(true).build().map_err(UnusableCertificates::Client)?,
            loopback: client().no_proxy().build().map_err(UnusableCertificates::Client)?,
        })
    }

    /// Sends a request of a sign-in to `url`, which the caller has checked, and returns the answer with any status.
    pub(crate) async fn send(&self, url: Url, request: HttpRequest) -> Result<HttpResponse, String> {
        let client = if url.scheme() == "https" { &self.https } else { &self.loopback };
        let (parts, body) = request.into_parts();
        let sent = client.request(parts.method, url).headers(parts.headers).body(body).send();
        let response = sent.await.map_err(|error| in_words(&error))?;
        let (status, headers) = (response.status(), response.headers().clone());
        let mut answer = HttpResponse::new(bounded(response).await?);
        *answer.status_mut() = status;
        *answer.headers_mut() = headers;
        Ok(answer)
    }

    /// Fetches `url`, which the caller has checked, and expects status 200.
    pub(crate) async fn get(&self, url: Url) -> Result<Fetched, String> {
        let client = if url.scheme() == "https" { &self.https } else { &self.loopback };
        let response = client.get(url).send().await.map_err(|error| in_words(&error))?;
        let status = response.status();
        if status.is_redirection() {
            return Err(format!("answered with status {}: redirects are not followed", status.as_u16()));
        }
        if status != reqwest::StatusCode::OK {
            return Err(format!("answered with status {}: expected 200", status.as_u16()));
        }
        let max_age = max_age(&response);
        Ok(Fetched { body: bounded(response).await?, max_age })
    }
}

fn tls(extra_ca_pem: Option<&[u8]>) -> Result<rustls::ClientConfig, UnusableCertificates> {
    let mut roots = rustls::RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    if let Some(pem) = extra_ca_pem {
        let certificates = CertificateDer::pem_slice_iter(pem)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| UnusableCertificates::Pem(error.to_string()))?;
        if certificates.is_empty() {
            return Err(UnusableCertificates::Pem("there is none".to_owned()));
        }
        for certificate in certificates {
            roots.add(certificate).map_err(UnusableCertificates::Root)?;
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    Ok(rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(UnusableCertificates::Tls)?
        .with_root_certificates(roots)
        .with_no_client_auth())
}

async fn bounded(mut response: Response) -> Result<Vec<u8>, String> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| in_words(&error))? {
        if body.len() + chunk.len() > MAX_BODY {
            return Err(format!("answered with more than {MAX_BODY} bytes"));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

fn max_age(response: &Response) -> Option<Duration> {
    let header = response.headers().get(CACHE_CONTROL)?.to_str().ok()?;
    header.split(',').find_map(|directive| {
        let (name, value) = directive.trim().split_once('=')?;
        let secs = value.trim().parse().ok()?;
        name.trim().eq_ignore_ascii_case("max-age").then_some(Duration::from_secs(secs))
    })
}

/// The text of the innermost error, which names the cause; the outer ones repeat the address.
fn in_words(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return format!("did not answer within {} s", TIMEOUT.as_secs());
    }
    let mut innermost: &dyn std::error::Error = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    format!("could not be asked: {innermost}")
}
