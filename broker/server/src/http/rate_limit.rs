//! Rate limit by source address.
//!
//! Exempt are requests that remove access (revoke, disable), heartbeats and probes: a runner behind a crowded address
//! can always revoke.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use axum::extract::{ConnectInfo, MatchedPath, Request, State};
use axum::http::{HeaderMap, Method};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use engine::{RateLimiter, Refusal};
use ipnet::IpNet;
use protocol::{ErrorCode, Timestamp};

use super::App;
use super::error::ProblemResponse;

/// One rate limiter for each source address.
pub struct PerIpLimiter {
    limiter: RateLimiter<IpAddr>,
    config: ArcSwap<Config>,
}

/// The configurable part.
#[derive(Debug)]
pub struct Config {
    /// Requests per minute for each address, and the size of a burst.
    pub per_minute: u32,
    /// Proxies whose `X-Forwarded-For` is trusted.
    pub trusted_proxies: Vec<IpNet>,
}

impl PerIpLimiter {
    pub fn new(config: Config) -> Self {
        Self { limiter: RateLimiter::new(config.per_minute), config: ArcSwap::from_pointee(config) }
    }

    /// Replaces the configuration.
    pub fn set(&self, config: Config) {
        self.limiter.set(config.per_minute);
        self.config.store(Arc::new(config));
    }

    fn try_acquire(
        &self,
        config: &Config,
        peer: IpAddr,
        headers: &HeaderMap,
        now: Timestamp,
    ) -> Result<(), Duration> {
        self.limiter.try_acquire(client_network(client(peer, headers, &config.trusted_proxies)), now)
    }
}

/// Middleware: refuses requests over the limit.
pub(super) async fn enforce(State(app): State<App>, request: Request, next: Next) -> Response {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip());
    let (Some(limiter), Some(peer)) = (&app.server.per_ip_limiter, peer) else {
        return next.run(request).await;
    };
    if is_exempt(&request) {
        return next.run(request).await;
    }
    let config = limiter.config.load_full();
    match limiter.try_acquire(&config, peer, request.headers(), app.engine.now()) {
        Ok(()) => next.run(request).await,
        Err(wait) => ProblemResponse::from(rate_limited(&config, wait)).into_response(),
    }
}

fn rate_limited(config: &Config, wait: Duration) -> Refusal {
    let seconds = wait.as_secs() + 1;
    Refusal::new(
        ErrorCode::RateLimited,
        format!("too many requests from this address: expected at most {} a minute", config.per_minute),
    )
    .hint(format!(
        "try again in {seconds} s; if many share the address (a proxy, NAT), an operator can set \
         `limits.trusted_proxies` or `limits.requests_per_minute_per_address`"
    ))
    .retry_after(seconds)
}

/// Only requests with a known route can be exempt.
fn is_exempt(request: &Request) -> bool {
    let Some(route) = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str) else {
        return false;
    };
    let posted = request.method() == Method::POST;
    request.method() == Method::DELETE
        || posted && (route.ends_with("/heartbeat") || route.ends_with("/disable"))
        || matches!(route, "/healthz" | "/readyz")
}

/// The client's address: the peer, or behind trusted proxies the rightmost untrusted address in `X-Forwarded-For`.
/// Addresses to the left of that one are not verified by a trusted proxy.
pub(super) fn client(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    let is_trusted = |address: IpAddr| trusted.iter().any(|network| network.contains(&address));
    let mut found = peer.to_canonical();
    let lines: Vec<&str> =
        headers.get_all("x-forwarded-for").iter().map(|line| line.to_str().unwrap_or_default()).collect();
    for hop in lines.iter().rev().flat_map(|line| line.rsplit(',')) {
        if !is_trusted(found) {
            break;
        }
        // Without a valid address the request counts as the proxy's own.
        let Some(before) = address(hop.trim()) else { break };
        found = before.to_canonical();
    }
    found
}

/// Parses an address, with or without a port.
fn address(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    bare.parse().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|address| address.ip()))
}

/// The network that a limit counts: an IPv4 address, or the /64 of an IPv6 address, which one client usually has whole.
pub(crate) fn client_network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn limited_as(peer: &str, forwarded: &[&str]) -> String {
        let trusted = ["10.0.0.0/8", "fd00::/8"].map(|network| network.parse().unwrap());
        let mut headers = HeaderMap::new();
        for line in forwarded {
            headers.append("x-forwarded-for", HeaderValue::from_str(line).unwrap());
        }
        client_network(client(peer.parse().unwrap(), &headers, &trusted)).to_string()
    }

    #[test]
    fn only_addresses_added_by_trusted_proxies_are_used() {
        for (peer, forwarded, expected) in [
            ("192.0.2.1", &[][..], "192.0.2.1"),
            ("192.0.2.1", &["198.51.100.7"], "192.0.2.1"),
            ("10.0.0.1", &[], "10.0.0.1"),
            ("10.0.0.1", &["198.51.100.7"], "198.51.100.7"),
            ("::ffff:10.0.0.1", &["198.51.100.7"], "198.51.100.7"),
            ("10.0.0.1", &["203.0.113.9, 198.51.100.7"], "198.51.100.7"),
            ("10.0.0.1", &["203.0.113.9", "198.51.100.7, 10.2.3.4"], "198.51.100.7"),
            ("10.0.0.1", &["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
            ("10.0.0.1", &["198.51.100.7:4711"], "198.51.100.7"),
            ("fd00::1", &["[2001:db8:0:1::7]:4711"], "2001:db8:0:1::"),
            ("10.0.0.1", &["198.51.100.7, unknown"], "10.0.0.1"),
            ("10.0.0.1", &["198.51.100.7, unknown, 10.0.0.2"], "10.0.0.2"),
        ] {
            assert_eq!(limited_as(peer, forwarded), expected, "{peer} {forwarded:?}");
        }
    }

    #[test]
    fn a_network_of_ipv6_is_one() {
        assert_eq!(limited_as("2001:db8:0:1::1", &[]), limited_as("2001:db8:0:1:ffff::2", &[]));
        assert_ne!(limited_as("2001:db8:0:1::1", &[]), limited_as("2001:db8:0:2::1", &[]));
    }
}
