//! Traces of requests, sent to a collector over OTLP/HTTP if one is configured.
//!
//! Only spans of the target [`TRACES`] are sent, and no events, so that nothing that a library logs leaves the broker.

use std::sync::LazyLock;
use std::time::Duration;

use anyhow::Context;
use async_trait::async_trait;
use axum::http::{HeaderMap, Method};
use engine::TRACES;
use opentelemetry::propagation::TextMapPropagator;
use opentelemetry::trace::TracerProvider;
use opentelemetry_http::{Bytes, HeaderExtractor, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tokio::runtime::Handle;
use tracing::field::Empty;
use tracing::{Span, Subscriber, info_span};
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::filter::{LevelFilter, filter_fn};
use tracing_subscriber::layer::Layer;
use tracing_subscriber::registry::LookupSpan;

use crate::config::Telemetry;

/// Time limit of a request to the collector.
const EXPORT_TIMEOUT: Duration = Duration::from_secs(10);
/// Time limit of the last export at shutdown.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(3);

/// The exporter of spans.
pub(crate) struct Traces(SdkTracerProvider);

impl Traces {
    /// Sets up the exporter. Needs a Tokio runtime. Does not wait for the collector: the broker works without it.
    pub(crate) fn exporting_to(telemetry: &Telemetry) -> anyhow::Result<Self> {
        // For a collector behind TLS. The installation fails only if the same provider is installed already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder()
            .timeout(EXPORT_TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .context("`telemetry`: cannot set up a client")?;
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(OnRuntime { client, runtime: Handle::current() })
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(format!("{}/v1/traces", telemetry.otlp_endpoint))
            .build()
            .context("`telemetry.otlp_endpoint`: cannot send traces there")?;
        let resource = Resource::builder()
            .with_service_name("cloudanix-jit-broker")
            .with_attribute(opentelemetry::KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
            .build();
        Ok(Self(SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource).build()))
    }

    /// The layer that records spans for the exporter.
    pub(crate) fn layer<S: Subscriber + for<'s> LookupSpan<'s>>(&self) -> impl Layer<S> + use<S> {
        tracing_opentelemetry::layer()
            .with_tracer(self.0.tracer("cloudanix-jit-broker"))
            .with_location(false)
            .with_threads(false)
            .with_filter(
                filter_fn(|what| what.is_span() && what.target() == TRACES)
                    .with_max_level_hint(LevelFilter::INFO),
            )
    }

    /// Sends the remaining spans.
    pub(crate) async fn shut_down(self) {
        let sent = tokio::task::spawn_blocking(move || self.0.shutdown_with_timeout(FLUSH_TIMEOUT)).await;
        if let Ok(Err(error)) = sent {
            tracing::warn!(%error, "the last spans were not sent");
        }
    }
}

/// Starts the span of a request, named by route, never by path or query. Continues the caller's trace if there is one.
pub(crate) fn request(method: &Method, route: &str, headers: &HeaderMap) -> Span {
    // Probes and scrapes are noise.
    if matches!(route, "/healthz" | "/readyz" | "/metrics") {
        return Span::none();
    }
    let method = crate::metrics::known(method).unwrap_or("_OTHER");
    let span = info_span!(
        target: TRACES,
        "request",
        otel.name = format!("{method} {route}"),
        otel.kind = "server",
        otel.status_code = Empty,
        http.request.method = method,
        http.route = route,
        http.response.status_code = Empty,
    );
    if !span.is_disabled() {
        static W3C: LazyLock<TraceContextPropagator> = LazyLock::new(TraceContextPropagator::new);
        // Fails only without a tracer, which `is_disabled` excludes.
        let _ = span.set_parent(W3C.extract(&HeaderExtractor(headers)));
    }
    span
}

/// Records the status of the response.
pub(crate) fn record_status(span: &Span, status: u16) {
    span.record("http.response.status_code", status);
    if status >= 500 {
        span.record("otel.status_code", "ERROR");
    }
}

/// An HTTP client for the exporter, which has a thread of its own, on the runtime of the broker.
#[derive(Debug)]
struct OnRuntime {
    client: reqwest::Client,
    runtime: Handle,
}

#[async_trait]
impl HttpClient for OnRuntime {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let client = self.client.clone();
        let sending = self.runtime.spawn(async move {
            let received = client.execute(request.try_into()?).await?;
            let status = received.status();
            let body = received.bytes().await?;
            let mut response = Response::new(body);
            *response.status_mut() = status;
            Ok::<_, reqwest::Error>(response)
        });
        Ok(sending.await??)
    }
}
