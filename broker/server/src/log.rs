//! What does the broker say while it runs? Ids and codes; never a token, a claim or a body.

use tracing::Level;
use tracing_subscriber::filter::{FilterExt as _, LevelFilter, filter_fn};
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, registry};

use crate::traces::Traces;

/// How lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Writes to standard error from here on; `RUST_LOG` sets what is said. Spans go where traces go, if they go anywhere.
pub(crate) fn start(form: Form, traces: Option<&Traces>) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info,sqlx=warn"));
    let may_be_said = filter_fn(|line| may_be_said(line.target(), *line.level()));
    // Without this hint the level of the whole process would be TRACE, and every line of every library a question.
    let said = filter.and(may_be_said.with_max_level_hint(LevelFilter::TRACE));
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_target(false);
    // A second start in one process (a test) keeps the first.
    let _ = match form {
        Form::Text => registry().with(lines.with_filter(said)).with(traces.map(Traces::layer)).try_init(),
        Form::Json => {
            registry().with(lines.json().with_filter(said)).with(traces.map(Traces::layer)).try_init()
        }
    };
}

/// Whatever `RUST_LOG` says: what is for traces is not for the log, and below `info`, AWS's SDK prints requests and answers, and with
/// `LOG_SENSITIVE_BODIES` in the environment the keys in them.
fn may_be_said(target: &str, level: Level) -> bool {
    target != engine::TRACES && (level <= Level::INFO || !target.starts_with("aws_"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_is_told_is_not_even_asked_for() {
        if std::env::var_os(EnvFilter::DEFAULT_ENV).is_none() {
            start(Form::Text, None);
            assert_eq!(LevelFilter::current(), LevelFilter::INFO);
        }
    }

    #[test]
    fn what_the_sdk_says_of_requests_and_answers_is_not_said() {
        for level in [Level::TRACE, Level::DEBUG] {
            assert!(!may_be_said("aws_smithy_runtime::client::orchestrator::http", level));
            assert!(!may_be_said("aws_sigv4::http_request::sign", level));
            assert!(may_be_said("cloudanix_jit_broker::serve", level));
        }
        assert!(may_be_said("aws_config::default_provider", Level::WARN));
    }
}
