//! `[limits]`: what is too much, and too often?

use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;
use protocol::Ttl;
use serde::Deserialize;

use crate::listen::{Caps, Files, Terms};

/// A holder's connection is still there for the next heartbeat, and for a few that come late.
const IDLE_BEYOND_HEARTBEAT: Duration = Duration::from_secs(65);

/// What is too much.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// How many elevations one agent may ask for in a minute.
    pub elevations_per_minute: u32,
    /// How many requests may come from one address in a minute.
    pub requests_per_minute_per_address: u32,
    /// How many connections there may be, as far as the limit of open files allows.
    pub connections: u32,
    /// How many of them one network (an IPv4 address, an IPv6 /64) may have; half of them if it is not said.
    pub connections_per_network: Option<u32>,
    /// How long a connection may wait for its next request.
    pub connection_idle: Option<Ttl>,
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
            connections: 8192,
            connections_per_network: None,
            connection_idle: None,
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
            ("connections", self.connections),
            ("connections_per_network", self.connections_per_network.unwrap_or(1)),
        ] {
            anyhow::ensure!(found > 0, "`limits.{key}`: expected at least 1, found 0");
        }
        if let Some(per_network) = self.connections_per_network {
            anyhow::ensure!(
                per_network <= self.connections,
                "`limits.connections_per_network`: expected at most `limits.connections`, {}, found {per_network}",
                self.connections
            );
        }
        if let Some(idle) = self.connection_idle {
            anyhow::ensure!(
                Duration::from(idle) > Duration::from(self.heartbeat),
                "`limits.connection_idle`: expected more than `limits.heartbeat`, {}, found {idle}: each heartbeat \
                 would need a new connection",
                self.heartbeat
            );
        }
        Ok(())
    }

    /// For clients, with this many files and database connections.
    pub(crate) fn admission(&self, files: Files, of_database: u32) -> Terms {
        let all = u64::from(self.connections).min(files.for_clients(of_database));
        let per_network =
            self.connections_per_network.map_or(all / 2, |per_network| all.min(per_network.into()));
        let count = |number: u64| usize::try_from(number.max(1)).unwrap_or(usize::MAX);
        Terms {
            caps: Caps { all: count(all), per_network: count(per_network) },
            idle: self
                .connection_idle
                .map_or(Duration::from(self.heartbeat) + IDLE_BEYOND_HEARTBEAT, Duration::from),
            trusted_proxies: self.trusted_proxies(),
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn admission(text: &str, files: u64) -> Terms {
        let limits: Limits = toml::from_str(text).unwrap();
        limits.check().unwrap();
        limits.admission(Files::of(files), 0)
    }

    #[test]
    fn caps_are_below_the_limit_of_files_and_one_network_has_half() {
        for (text, files, all, per_network) in [
            ("", 65_536, 8192, 4096),
            ("", 1024, 768, 384),
            ("connections = 100", 1024, 100, 50),
            ("connections_per_network = 8000", 1024, 768, 768),
            ("connections = 100\nconnections_per_network = 10", 1024, 100, 10),
            ("connections = 1", 1024, 1, 1),
        ] {
            assert_eq!(admission(text, files).caps, Caps { all, per_network }, "{text:?} with {files} files");
        }
    }

    #[test]
    fn a_holders_connection_is_still_there_for_the_next_heartbeat() {
        for (text, seconds) in [("", 75), ("heartbeat = \"5m\"", 365), ("connection_idle = \"20s\"", 20)] {
            assert_eq!(admission(text, 1024).idle.as_secs(), seconds, "{text}");
        }
    }
}
