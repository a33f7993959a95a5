//! What does the broker say while it runs? Ids and codes; never a token, a claim or a body.

use tracing_subscriber::EnvFilter;

/// How lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Writes to standard error from here on; `RUST_LOG` sets what is said.
pub fn start(form: Form) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info,sqlx=warn"));
    let lines =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false);
    // A second start in one process (a test) keeps the first.
    let _ = match form {
        Form::Text => lines.try_init(),
        Form::Json => lines.json().try_init(),
    };
}
