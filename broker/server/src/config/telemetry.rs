//! `[telemetry]`: the collector of traces.

use serde::Deserialize;

/// The collector of traces.
#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Telemetry {
    /// The URL of an OpenTelemetry collector that accepts OTLP over HTTP.
    pub otlp_endpoint: String,
}

impl Telemetry {
    pub(super) fn check(&self) -> anyhow::Result<()> {
        let found = &self.otlp_endpoint;
        let rest = found.strip_prefix("http://").or_else(|| found.strip_prefix("https://"));
        let is_good = rest.is_some_and(|rest| {
            !rest.is_empty() && !rest.ends_with('/') && !rest.contains(['@', '?', '#', ' '])
        });
        // The part before `@` is not shown: it would contain a password.
        let shown = found.rsplit('@').next().unwrap_or_default();
        anyhow::ensure!(
            is_good,
            "`telemetry.otlp_endpoint`: expected a URL like `http://127.0.0.1:4318`, without user, query or slash at the \
             end (a collector's credentials go into the environment, OTEL_EXPORTER_OTLP_HEADERS), found `{shown}`"
        );
        Ok(())
    }
}
