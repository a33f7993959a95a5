//! What the broker observes of a request: its address, and the country of the address.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use arc_swap::ArcSwap;
use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::request::Parts;
use domain::facts::ObservedFacts;
use ipnet::IpNet;
use maxminddb::{Reader, geoip2};

use super::App;
use super::error::ProblemResponse;
use super::rate_limit::client;

/// A database of countries by address, in MaxMind's format.
#[derive(Debug)]
pub struct Countries(Reader<Vec<u8>>);

impl Countries {
    /// Reads the file into memory.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let reader = Reader::open_readfile(path);
        reader.map(Self).with_context(|| format!("cannot read the country database `{}`", path.display()))
    }

    /// The two-letter code; none for an address that is in no country of the database.
    fn of(&self, address: IpAddr) -> Option<String> {
        let found = self.0.lookup(address).ok()?.decode::<geoip2::Country<'_>>().ok()??;
        found.country.iso_code.map(str::to_owned)
    }
}

/// The configurable part.
#[derive(Debug, Default)]
pub struct Config {
    /// Proxies whose `X-Forwarded-For` is trusted.
    pub trusted_proxies: Vec<IpNet>,
    /// None: no request has a country.
    pub countries: Option<Arc<Countries>>,
}

/// Observes requests.
#[derive(Debug, Default)]
pub struct Observer(ArcSwap<Config>);

impl Observer {
    pub fn new(config: Config) -> Self {
        Self(ArcSwap::from_pointee(config))
    }

    /// Replaces the configuration.
    pub fn set(&self, config: Config) {
        self.0.store(Arc::new(config));
    }

    fn observe(&self, parts: &Parts) -> ObservedFacts {
        let config = self.0.load();
        let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip());
        let address = peer.map(|peer| client(peer, &parts.headers, &config.trusted_proxies));
        let country = address.and_then(|address| config.countries.as_ref()?.of(address));
        ObservedFacts { address, country }
    }
}

/// What the broker observes of this request.
pub(crate) struct Observed(pub(crate) ObservedFacts);

impl FromRequestParts<App> for Observed {
    type Rejection = ProblemResponse;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ProblemResponse> {
        Ok(Self(app.server.observer.observe(parts)))
    }
}
