//! Sends HTTP requests to addresses that the configuration or a registration names: limited in time and size, without
//! redirects.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::response::Parts;
use http::{Request, Response};
use reqwest::{Client, redirect};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

/// The largest accepted body.
const MAX_BODY: usize = 256 * 1024;

/// The client. Cheap to clone.
#[derive(Clone)]
pub struct Http {
    https: Client,
    loopback: Client,
    /// From name resolution to the end of the body.
    timeout: Duration,
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

impl Http {
    /// Trusts the public certificate authorities and those in `extra_ca_pem`. The usual proxy variables apply to https,
    /// and not to http, which is for this machine alone.
    pub fn new(extra_ca_pem: Option<&[u8]>, timeout: Duration) -> Result<Self, UnusableCertificates> {
        let tls = tls(extra_ca_pem)?;
        let client = || {
            Client::builder()
                .tls_backend_preconfigured(tls.clone())
                .user_agent(concat!("cloudanix-jit-broker/", env!("CARGO_PKG_VERSION")))
                .redirect(redirect::Policy::none())
                .timeout(timeout)
        };
        Ok(Self {
            https: client().https_only(true).build().map_err(UnusableCertificates::Client)?,
            loopback: client().no_proxy().build().map_err(UnusableCertificates::Client)?,
            timeout,
        })
    }

    /// Sends a request, whose address the caller has checked, and returns the answer with any status.
    pub async fn send(&self, request: Request<Vec<u8>>) -> Result<Response<Vec<u8>>, String> {
        let mut response = self.sent(request).await?;
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.in_words(&error))? {
            if body.len() + chunk.len() > MAX_BODY {
                return Err(format!("answered with more than {MAX_BODY} bytes"));
            }
            body.extend_from_slice(&chunk);
        }
        let (parts, _) = Response::from(response).into_parts();
        Ok(Response::from_parts(parts, body))
    }

    /// Sends such a request, and returns status and headers of the answer without its body, which is not read.
    pub async fn send_and_ignore_body(&self, request: Request<Vec<u8>>) -> Result<Parts, String> {
        let (parts, _) = Response::from(self.sent(request).await?).into_parts();
        Ok(parts)
    }

    async fn sent(&self, request: Request<Vec<u8>>) -> Result<reqwest::Response, String> {
        let client = if request.uri().scheme_str() == Some("https") { &self.https } else { &self.loopback };
        let request = request.try_into().map_err(|error| self.in_words(&error))?;
        client.execute(request).await.map_err(|error| self.in_words(&error))
    }

    /// The text of the innermost error, which names the cause; the outer ones repeat the address, which may be secret.
    fn in_words(&self, error: &reqwest::Error) -> String {
        if error.is_timeout() {
            return format!("did not answer within {} s", self.timeout.as_secs());
        }
        let mut innermost: &dyn std::error::Error = error;
        while let Some(source) = innermost.source() {
            innermost = source;
        }
        format!("could not be asked: {innermost}")
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
