//! What is measured? Requests by route, and the engine's own numbers.

use std::fmt::Write as _;
use std::time::Duration;

use axum::http::Method;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

use crate::http::Front;
use crate::listen::Admission;

const NOT_AFTER: &str = "cloudanix_jit_tls_certificate_expiry_timestamp_seconds";
const RELOAD_FAILURES: &str =
    "Times that a certificate, the configuration or the agents could not be read again";

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Labels {
    method: String,
    route: String,
    status: u16,
}

/// How long requests took, by method, route and status.
pub(crate) struct HttpMetrics {
    registry: Registry,
    duration: Family<Labels, Histogram>,
}

impl HttpMetrics {
    pub(crate) fn new() -> Self {
        let mut registry = Registry::with_prefix("cloudanix_jit");
        // From half a millisecond to sixteen seconds.
        let duration = Family::<Labels, Histogram>::new_with_constructor(|| {
            Histogram::new(exponential_buckets(0.0005, 2.0, 16))
        });
        registry.register("http_request_duration_seconds", "Time to answer a request", duration.clone());
        Self { registry, duration }
    }

    /// A method is any word that a stranger makes up, and each label's value is kept for ever: those that no
    /// route knows are one.
    pub(crate) fn count(&self, method: &Method, route: &str, status: u16, took: Duration) {
        let method = known(method).unwrap_or("other");
        let labels = Labels { method: method.to_owned(), route: route.to_owned(), status };
        self.duration.get_or_create(&labels).observe(took.as_secs_f64());
    }

    /// Everything in OpenMetrics' text form.
    pub(crate) fn render(&self, front: &Front, grants: &[(&str, u64)]) -> String {
        let mut text = String::new();
        let reloads = ("reload_failures", RELOAD_FAILURES, front.reload_failures.count());
        for (name, help, value) in front.engine.counters().read().into_iter().chain([reloads]) {
            let _ = write!(
                text,
                "# HELP cloudanix_jit_{name} {help}.\n# TYPE cloudanix_jit_{name} counter\ncloudanix_jit_{name}_total {value}\n"
            );
        }
        connections(&mut text, &front.admission);
        text.push_str("# HELP cloudanix_jit_grants Grants by status.\n# TYPE cloudanix_jit_grants gauge\n");
        for (status, count) in grants {
            let _ = writeln!(text, "cloudanix_jit_grants{{status=\"{status}\"}} {count}");
        }
        if let Some(certificate) = &front.certificate {
            let seconds = certificate.not_after().as_millis() / 1000;
            let _ = write!(
                text,
                "# HELP {NOT_AFTER} Until when the broker's certificate is good, in seconds since 1970.\n# TYPE {NOT_AFTER} gauge\n{NOT_AFTER} {seconds}\n"
            );
        }
        // Ends with the format's end mark, so it comes last.
        let _ = encode(&mut text, &self.registry);
        text
    }
}

fn connections(text: &mut String, admission: &Admission) {
    let counts = admission.counts();
    for (name, kind, help, lines) in [
        ("connections", "gauge", "Connections of clients", vec![(String::new(), count(admission.open()))]),
        (
            "connections_limit",
            "gauge",
            "How many connections of clients there may be",
            vec![(String::new(), count(admission.terms().caps.all))],
        ),
        (
            "connections_accepted",
            "counter",
            "Connections of clients that were taken",
            vec![("_total".to_owned(), counts.total_accepted())],
        ),
        (
            "connections_evicted",
            "counter",
            "Connections that waited for their client and were closed to make room for others",
            vec![("_total".to_owned(), counts.total_evicted())],
        ),
        (
            "connections_refused",
            "counter",
            "Connections that could not be taken, by reason",
            counts
                .total_refused()
                .map(|(why, total)| (format!("_total{{reason=\"{}\"}}", why.as_str()), total))
                .to_vec(),
        ),
    ] {
        let _ = write!(text, "# HELP cloudanix_jit_{name} {help}.\n# TYPE cloudanix_jit_{name} {kind}\n");
        for (ending, value) in lines {
            let _ = writeln!(text, "cloudanix_jit_{name}{ending} {value}");
        }
    }
}

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

/// A method that some route has.
pub(crate) fn known(method: &Method) -> Option<&str> {
    let known = [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::DELETE];
    known.contains(method).then(|| method.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stranger_cannot_fill_the_memory_with_methods_of_its_own() {
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
