//! From which address does a request come, and do too many come from there?
//!
//! Everything counts but what takes away (giving back, switching off), beats, and whether we live: however crowded the
//! address is behind which a runner sits, it can give back.

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
use super::answer::Problem;

/// How often an address may ask.
pub struct Addresses {
    limiter: RateLimiter<IpAddr>,
    terms: ArcSwap<Terms>,
}

/// What an operator may set.
#[derive(Debug)]
pub struct Terms {
    /// How many requests one address may send in a minute, and at once.
    pub per_minute: u32,
    /// Whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
}

impl Addresses {
    /// With these terms.
    pub fn new(terms: Terms) -> Self {
        Self { limiter: RateLimiter::new(terms.per_minute), terms: ArcSwap::from_pointee(terms) }
    }

    /// These from now on.
    pub fn set(&self, terms: Terms) {
        self.limiter.set(terms.per_minute);
        self.terms.store(Arc::new(terms));
    }

    fn take(&self, terms: &Terms, peer: IpAddr, headers: &HeaderMap, now: Timestamp) -> Result<(), Duration> {
        self.limiter.try_acquire(household(client(peer, headers, &terms.trusted_proxies)), now)
    }
}

/// Refuses what comes too often.
pub(super) async fn not_too_often(State(app): State<App>, request: Request, next: Next) -> Response {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip());
    let (Some(addresses), Some(peer)) = (&app.front.addresses, peer) else { return next.run(request).await };
    if is_never_refused(&request) {
        return next.run(request).await;
    }
    let terms = addresses.terms.load_full();
    match addresses.take(&terms, peer, request.headers(), app.engine.now()) {
        Ok(()) => next.run(request).await,
        Err(wait) => Problem::from(too_often(&terms, wait)).into_response(),
    }
}

fn too_often(terms: &Terms, wait: Duration) -> Refusal {
    let seconds = wait.as_secs() + 1;
    Refusal::new(
        ErrorCode::RateLimited,
        format!("too many requests from this address: expected at most {} a minute", terms.per_minute),
    )
    .hint(format!(
        "try again in {seconds} s; if many share the address (a proxy, NAT), an operator can set \
         `limits.trusted_proxies` or `limits.requests_per_minute_per_address`"
    ))
    .retry_after(seconds)
}

/// Of what has a path: a made-up one takes nothing away.
fn is_never_refused(request: &Request) -> bool {
    let Some(route) = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str) else {
        return false;
    };
    let posted = request.method() == Method::POST;
    request.method() == Method::DELETE
        || posted && (route.ends_with("/heartbeat") || route.ends_with("/disable"))
        || matches!(route, "/healthz" | "/readyz")
}

/// Whoever is at the other end, or before the proxies that are trusted: the rightmost address in `X-Forwarded-For`
/// that none of them has. What stands to the left of it is hearsay.
fn client(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    let is_trusted = |address: IpAddr| trusted.iter().any(|network| network.contains(&address));
    let mut found = peer.to_canonical();
    let lines: Vec<&str> =
        headers.get_all("x-forwarded-for").iter().map(|line| line.to_str().unwrap_or_default()).collect();
    for hop in lines.iter().rev().flat_map(|line| line.rsplit(',')) {
        if !is_trusted(found) {
            break;
        }
        // A proxy that says something else says nothing: the request counts as its own.
        let Some(before) = address(hop.trim()) else { break };
        found = before.to_canonical();
    }
    found
}

/// Some proxies write the port too.
fn address(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    bare.parse().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|address| address.ip()))
}

/// Whoever has one address of IPv6 has 2^64 of them.
pub(crate) fn household(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn client_of(peer: &str, forwarded: &[&str]) -> String {
        let trusted = ["10.0.0.0/8", "fd00::/8"].map(|network| network.parse().unwrap());
        let mut headers = HeaderMap::new();
        for line in forwarded {
            headers.append("x-forwarded-for", HeaderValue::from_str(line).unwrap());
        }
        household(client(peer.parse().unwrap(), &headers, &trusted)).to_string()
    }

    #[test]
    fn only_trusted_proxies_are_believed_and_only_what_they_saw() {
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
            assert_eq!(client_of(peer, forwarded), expected, "{peer} {forwarded:?}");
        }
    }

    #[test]
    fn a_network_of_ipv6_is_one() {
        assert_eq!(client_of("2001:db8:0:1::1", &[]), client_of("2001:db8:0:1:ffff::2", &[]));
        assert_ne!(client_of("2001:db8:0:1::1", &[]), client_of("2001:db8:0:2::1", &[]));
    }
}
