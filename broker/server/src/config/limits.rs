//! `[limits]`: rate limits and limits of connections.

use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;
use protocol::Ttl;
use serde::Deserialize;

use crate::listen::{self, Caps, FileLimit};

/// How much longer than the heartbeat interval a connection may be idle, so that late heartbeats reuse it.
const IDLE_BEYOND_HEARTBEAT: Duration = Duration::from_secs(65);

/// The limits.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Elevations per minute for each agent.
    pub elevations_per_minute: u32,
    /// Requests per minute for each source address.
    pub requests_per_minute_per_address: u32,
    /// The limit of client connections, as far as the limit of open files allows.
    pub connections: u32,
    /// The limit for one network (an IPv4 address, an IPv6 /64); half of `connections` by default.
    pub connections_per_network: Option<u32>,
    /// How long a connection may be idle.
    pub connection_idle: Option<Ttl>,
    /// Proxies whose `X-Forwarded-For` is trusted.
    pub trusted_proxies: Vec<Network>,
    /// The heartbeat interval.
    pub heartbeat: Ttl,
    /// The age in days at which a signing key is rotated.
    pub signing_key_days: u32,
    /// How long the broker continues to listen after a SIGTERM, while it is not ready.
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

    /// The limits of client connections, under the limit of open files.
    pub(crate) fn admission(&self, files: FileLimit, database_connections: u32) -> listen::Config {
        let all = u64::from(self.connections).min(files.for_clients(database_connections));
        let per_network =
            self.connections_per_network.map_or(all / 2, |per_network| all.min(per_network.into()));
        let count = |number: u64| usize::try_from(number.max(1)).unwrap_or(usize::MAX);
        listen::Config {
            caps: Caps { all: count(all), per_network: count(per_network) },
            idle: self
                .connection_idle
                .map_or(Duration::from(self.heartbeat) + IDLE_BEYOND_HEARTBEAT, Duration::from),
            trusted_proxies: self.trusted_proxies(),
        }
    }

    /// How long the broker continues to listen after a SIGTERM.
    pub(crate) fn shutdown_grace(&self) -> Duration {
        self.shutdown_grace.map_or(Duration::ZERO, Duration::from)
    }

    /// Proxies whose `X-Forwarded-For` is trusted.
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

    fn admission(text: &str, files: u64) -> listen::Config {
        let limits: Limits = toml::from_str(text).unwrap();
        limits.check().unwrap();
        limits.admission(FileLimit::of(files), 0)
    }

    #[test]
    fn caps_stay_below_the_file_limit_and_a_network_gets_half() {
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
    fn a_connection_outlives_the_pause_between_heartbeats() {
        for (text, seconds) in [("", 75), ("heartbeat = \"5m\"", 365), ("connection_idle = \"20s\"", 20)] {
            assert_eq!(admission(text, 1024).idle.as_secs(), seconds, "{text}");
        }
    }
}
