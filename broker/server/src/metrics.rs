//! Metrics in OpenMetrics' text form: requests by route, and counters of the engine and of the listener.

use std::time::Duration;

use axum::http::Method;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::{encode, encode_registry};
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

use crate::http::ServerState;
use crate::listen::Admission;

const PREFIX: &str = "cloudanix_jit";
const RELOAD_FAILURES: &str = "Failed reloads of the certificate, the configuration, the agents or the rules";

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct RequestLabels {
    method: String,
    route: String,
    status: u16,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct StatusLabel {
    status: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ReasonLabel {
    reason: &'static str,
}

/// Durations of requests by method, route and status.
pub(crate) struct HttpMetrics {
    registry: Registry,
    duration: Family<RequestLabels, Histogram>,
}

impl HttpMetrics {
    pub(crate) fn new() -> Self {
        let mut registry = Registry::with_prefix(PREFIX);
        // From half a millisecond to sixteen seconds.
        let duration = Family::<RequestLabels, Histogram>::new_with_constructor(|| {
            Histogram::new(exponential_buckets(0.0005, 2.0, 16))
        });
        registry.register("http_request_duration_seconds", "Time to answer a request", duration.clone());
        Self { registry, duration }
    }

    /// Counts a request. Methods that no route has share one label: clients can send any word, and each value of a label
    /// is kept for the life of the process.
    pub(crate) fn count(&self, method: &Method, route: &str, status: u16, took: Duration) {
        let method = known(method).unwrap_or("other");
        let labels = RequestLabels { method: method.to_owned(), route: route.to_owned(), status };
        self.duration.get_or_create(&labels).observe(took.as_secs_f64());
    }

    /// Renders all metrics.
    pub(crate) fn render(&self, server: &ServerState, grants: &[(&str, u64)]) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail. The second call ends the document, so it comes last.
        let _ = encode_registry(&mut text, &snapshot(server, grants));
        let _ = encode(&mut text, &self.registry);
        text
    }
}

/// The numbers that other parts of the broker count, as of now.
fn snapshot(server: &ServerState, grants: &[(&str, u64)]) -> Registry {
    let mut registry = Registry::with_prefix(PREFIX);
    let reloads = ("reload_failures", RELOAD_FAILURES, server.reload_failures.count());
    for (name, help, value) in server.engine.counters().read().into_iter().chain([reloads]) {
        registry.register(name, help, ConstCounter::new(value));
    }
    registry.register(
        "rules_folder_refused",
        "1 if the configured folder of rules is refused and the rules before it decide",
        ConstGauge::new(i64::from(server.rules_folder_refused.get())),
    );
    registry.register(
        "rules_version",
        "The version of the rules that this broker decided by last",
        ConstGauge::new(server.engine.rules_version()),
    );
    register_connections(&mut registry, &server.admission);
    let by_status = Family::<StatusLabel, Gauge>::default();
    for (status, count) in grants {
        let gauge = by_status.get_or_create_owned(&StatusLabel { status: (*status).to_owned() });
        gauge.set(i64::try_from(*count).unwrap_or(i64::MAX));
    }
    registry.register("grants", "Grants by status", by_status);
    if let Some(certificate) = &server.certificate {
        registry.register(
            "tls_certificate_expiry_timestamp_seconds",
            "Expiry of the broker's certificate, in seconds since 1970",
            ConstGauge::new(certificate.not_after().as_millis() / 1000),
        );
    }
    registry
}

fn register_connections(registry: &mut Registry, admission: &Admission) {
    let counts = admission.counts();
    registry.register("connections", "Open client connections", ConstGauge::new(admission.open()));
    registry.register(
        "connections_limit",
        "Limit of client connections",
        ConstGauge::new(admission.config().caps.all),
    );
    registry.register(
        "connections_accepted",
        "Accepted client connections",
        ConstCounter::new(counts.total_accepted()),
    );
    registry.register(
        "connections_evicted",
        "Connections that waited for their client and were closed for new ones",
        ConstCounter::new(counts.total_evicted()),
    );
    let refused = Family::<ReasonLabel, Counter>::default();
    for (reason, total) in counts.total_refused() {
        refused.get_or_create_owned(&ReasonLabel { reason: reason.as_str() }).inc_by(total);
    }
    registry.register("connections_refused", "Refused connections by reason", refused);
}

/// The method's name, if some route has it.
pub(crate) fn known(method: &Method) -> Option<&str> {
    let known = [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::DELETE];
    known.contains(method).then(|| method.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn made_up_methods_share_one_label() {
        let metrics = HttpMetrics::new();
        for n in 0..1000 {
            let made_up = Method::from_bytes(format!("M{n}").as_bytes()).unwrap();
            metrics.count(&made_up, "/healthz", 405, Duration::from_millis(1));
        }
        metrics.count(&Method::GET, "/healthz", 200, Duration::from_millis(1));
        let mut text = String::new();
        encode(&mut text, &metrics.registry).unwrap();
        assert_eq!(text.matches("_count{").count(), 2, "{text}");
        assert!(text.contains("method=\"other\"") && text.contains("method=\"GET\""));
    }
}
