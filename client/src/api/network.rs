//! Trusted roots, proxies, and the one place that builds an HTTP client.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use protocol::{Secret, secret};
use reqwest::{Client, NoProxy, Proxy};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use serde::{Deserialize, Serialize};
use tower::timeout::TimeoutLayer;
use tower::util::MapFutureLayer;

use super::Gate;
use crate::environment::Env;
use crate::error::Error;

const CONNECT: Duration = Duration::from_secs(2);

/// The network settings of the environment. Serializes with the proxy's password, for another process.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Network {
    roots: Roots,
    /// May hold a password.
    #[serde(serialize_with = "secret::on_the_wire_if_any")]
    proxy: Option<Secret>,
    no_proxy: Option<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Roots {
    BuiltIn,
    BuiltInAnd(PathBuf),
    Only(PathBuf),
}

/// Whether connections are kept open for the next request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Connections {
    /// One is kept and used again.
    Kept,
    /// Each request opens its own. A retry needs that after a kept connection turned out to be closed.
    Fresh,
}

impl Network {
    /// Reads the trusted roots and the proxy from the environment.
    pub fn from_env(env: &Env) -> Self {
        let roots = match (env.get("CLOUDANIX_CA_FILE"), env.get("SSL_CERT_FILE")) {
            (Some(file), _) => Roots::BuiltInAnd(file.into()),
            (None, Some(file)) => Roots::Only(file.into()),
            (None, None) => Roots::BuiltIn,
        };
        let either = |upper: &str, lower: &str| env.get(upper).or_else(|| env.get(lower)).map(str::to_owned);
        // Plain http goes to loopback only, so HTTP_PROXY has nothing to carry.
        let proxy = either("HTTPS_PROXY", "https_proxy").or_else(|| either("ALL_PROXY", "all_proxy"));
        Self { roots, proxy: proxy.map(Secret::new), no_proxy: either("NO_PROXY", "no_proxy") }
    }

    /// The trusted roots, described for people.
    pub fn roots_in_words(&self) -> String {
        match &self.roots {
            Roots::BuiltIn => "built-in roots".to_owned(),
            Roots::BuiltInAnd(file) => format!("built-in roots and `{}`", file.display()),
            Roots::Only(file) => format!("only `{}` (SSL_CERT_FILE)", file.display()),
        }
    }

    /// Whether requests go through a proxy.
    pub fn has_proxy(&self) -> bool {
        self.proxy.is_some()
    }

    /// A client that follows no redirects, speaks HTTP/1.1, and reads nothing from the process environment.
    pub fn client(&self, connections: Connections) -> Result<Client, Error> {
        self.client_behind(None, connections)
    }

    /// A client that sends no request before the gate is open.
    pub(super) fn client_behind(
        &self,
        gate: Option<&Gate>,
        connections: Connections,
    ) -> Result<Client, Error> {
        let builder = Client::builder()
            .user_agent(concat!("cloudanix-jit/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .pool_max_idle_per_host(match connections {
                Connections::Kept => 1,
                Connections::Fresh => 0,
            })
            .pool_idle_timeout(None)
            .tcp_nodelay(true)
            .no_proxy()
            .tls_backend_preconfigured(self.tls()?);
        let builder = match gate.cloned() {
            None => builder.connect_timeout(CONNECT),
            // Waiting at the gate is no part of connecting.
            Some(gate) => builder
                .connector_layer(TimeoutLayer::new(CONNECT))
                .connector_layer(MapFutureLayer::new(move |connecting| gate.clone().wait(connecting))),
        };
        let builder = match &self.proxy {
            None => builder,
            Some(proxy) => builder.proxy(self.proxy(proxy)?),
        };
        builder.build().map_err(|error| Error::unexpected(format!("the HTTP client: {}", causes(&error))))
    }

    fn proxy(&self, url: &Secret) -> Result<Proxy, Error> {
        let text = url.reveal();
        let url = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
        Proxy::https(url)
            .map(|proxy| proxy.no_proxy(self.no_proxy.as_deref().and_then(NoProxy::from_string)))
            .map_err(|_| {
                Error::settings("`HTTPS_PROXY` is not a URL: expected `http://HOST:PORT`")
                    .with_hint("the value is not shown because it may hold a password")
            })
    }

    fn tls(&self) -> Result<ClientConfig, Error> {
        let mut roots = RootCertStore::empty();
        let file = match &self.roots {
            Roots::BuiltIn => None,
            Roots::BuiltInAnd(file) => Some((file, "CLOUDANIX_CA_FILE")),
            Roots::Only(file) => Some((file, "SSL_CERT_FILE")),
        };
        match &self.roots {
            Roots::BuiltIn | Roots::BuiltInAnd(_) => {
                roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned())
            }
            Roots::Only(_) => {}
        }
        if let Some((file, variable)) = file {
            let shown = file.display();
            let pem = fs::read(file)
                .map_err(|error| Error::settings(format!("`{variable}` names `{shown}`: {error}")))?;
            let certificates: Vec<_> = CertificateDer::pem_slice_iter(&pem).filter_map(Result::ok).collect();
            if roots.add_parsable_certificates(certificates).0 == 0 {
                return Err(Error::settings(format!("`{variable}` names `{shown}`: no certificate in it"))
                    .with_hint("expected PEM: blocks that begin with `-----BEGIN CERTIFICATE-----`"));
            }
        }
        ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map(|builder| builder.with_root_certificates(roots).with_no_client_auth())
            .map_err(|error| Error::unexpected(format!("the TLS set-up: {error}")))
    }
}

/// The innermost cause, which is the informative one: `connection refused`.
pub(super) fn causes(error: &dyn std::error::Error) -> String {
    let mut last = error;
    while let Some(inner) = last.source() {
        last = inner;
    }
    last.to_string()
}
