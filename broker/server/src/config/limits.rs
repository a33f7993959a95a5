//! `[limits]`: what is too much, and too often?

use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;
use protocol::Ttl;
use serde::Deserialize;

/// What is too much.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// How many elevations one agent may ask for in a minute.
    pub elevations_per_minute: u32,
    /// How many requests may come from one address in a minute.
    pub requests_per_minute_per_address: u32,
    /// Whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<Network>,
    /// How often a holder beats.
    pub heartbeat: Ttl,
    /// After how many days a new signing key is made.
    pub signing_key_days: u32,
    /// How long the broker goes on listening after a SIGTERM, when it is not ready any more.
    pub shutdown_grace: Option<Ttl>,
}

impl Default for Limits {
    fn default() -> Self {
        let engine = engine::Settings::default();
        let heartbeat =
            u32::try_from(engine.heartbeat.as_secs()).ok().and_then(|secs| Ttl::from_secs(secs).ok());
        Self {
            elevations_per_minute: engine.elevations_per_minute,
            requests_per_minute_per_address: 6000,
            trusted_proxies: Vec::new(),
            #[expect(clippy::expect_used, reason = "the default is ten seconds")]
            heartbeat: heartbeat.expect("the default heartbeat is a valid duration"),
            signing_key_days: 30,
            shutdown_grace: None,
        }
    }
}

impl Limits {
    pub(super) fn check(&self) -> anyhow::Result<()> {
        for (key, found) in [
            ("elevations_per_minute", self.elevations_per_minute),
            ("requests_per_minute_per_address", self.requests_per_minute_per_address),
            ("signing_key_days", self.signing_key_days),
        ] {
            anyhow::ensure!(found > 0, "`limits.{key}`: expected at least 1, found 0");
        }
        Ok(())
    }

    /// How long the broker goes on listening after a SIGTERM.
    pub(crate) fn shutdown_grace(&self) -> Duration {
        self.shutdown_grace.map_or(Duration::ZERO, Duration::from)
    }

    /// Whose `X-Forwarded-For` is believed.
    pub(crate) fn trusted_proxies(&self) -> Vec<IpNet> {
        self.trusted_proxies.iter().map(|Network(network)| *network).collect()
    }
}

/// `10.0.0.0/8`, or one address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Network(IpNet);

impl TryFrom<String> for Network {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let network = text.parse().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
        network
            .map(Self)
            .map_err(|_| format!("expected a network like `10.0.0.0/8`, or an address, found `{text}`"))
    }
}
