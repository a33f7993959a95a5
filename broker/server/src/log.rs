//! The log: ids and codes, never a token, a claim or a body.
//!
//! An event is one line, whatever text of a client it contains: line breaks, escape sequences and invisible characters
//! are escaped.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::{self, IsTerminal as _};

use protocol::printable::is_seen;
use tracing::Level;
use tracing_subscriber::filter::{FilterExt as _, LevelFilter, filter_fn};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, registry};

use crate::traces::Traces;

/// The form of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Text for people.
    Text,
    /// One JSON object per line.
    Json,
}

/// Starts the log on standard error, with the filter in `RUST_LOG`. Spans go to `traces`.
pub(crate) fn start(form: Form, traces: Option<&Traces>) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info,sqlx=warn"));
    let loggable = filter_fn(|event| is_loggable(event.target(), *event.level()));
    // Without this hint the level of the process would be TRACE, and every event of every library would be evaluated.
    let filter = filter.and(loggable.with_max_level_hint(LevelFilter::TRACE));
    let colours = match form {
        Form::Text if io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none() => Colours::Some,
        Form::Text | Form::Json => Colours::None,
    };
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(Lines { form, colours })
        .with_ansi(colours == Colours::Some)
        .with_target(false);
    // A second start in the same process, as in tests, keeps the first.
    let _ = match form {
        Form::Text => registry().with(lines.with_filter(filter)).with(traces.map(Traces::layer)).try_init(),
        Form::Json => {
            registry().with(lines.json().with_filter(filter)).with(traces.map(Traces::layer)).try_init()
        }
    };
}

/// Whether the formatter writes escape sequences. It escapes those in a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Colours {
    Some,
    None,
}

/// Writes lines to standard error.
#[derive(Debug, Clone, Copy)]
struct Lines {
    form: Form,
    colours: Colours,
}

impl MakeWriter<'_> for Lines {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        *self
    }
}

impl io::Write for Lines {
    /// Writes one event: the formatter passes each event whole, with its line break.
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(event);
        io::stderr().write_all(self.one_line(&text).as_bytes())?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

impl Lines {
    fn one_line<'a>(self, event: &'a str) -> Cow<'a, str> {
        let line = event.strip_suffix('\n').unwrap_or(event);
        if !line.contains(|c| self.is_misleading(c)) {
            return Cow::Borrowed(event);
        }
        let mut out = String::with_capacity(event.len() + 16);
        for c in line.chars() {
            match (self.is_misleading(c), self.form) {
                (false, _) => out.push(c),
                (true, Form::Text) => out.extend(c.escape_unicode()),
                (true, Form::Json) => {
                    for unit in c.encode_utf16(&mut [0; 2]) {
                        let _ = write!(out, "\\u{unit:04x}");
                    }
                }
            }
        }
        out.push('\n');
        Cow::Owned(out)
    }

    fn is_misleading(self, c: char) -> bool {
        let is_colour = c == '\u{1b}' && self.colours == Colours::Some;
        !is_seen(c) && !is_colour
    }
}

/// Whether an event may be logged, whatever `RUST_LOG` says. Spans for traces may not. The AWS SDK may not below `info`:
/// it prints requests and responses there, and with `LOG_SENSITIVE_BODIES` in the environment their keys.
fn is_loggable(target: &str, level: Level) -> bool {
    target != engine::TRACES && (level <= Level::INFO || !target.starts_with("aws_"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn disabled_levels_are_not_evaluated() {
        if std::env::var_os(EnvFilter::DEFAULT_ENV).is_none() {
            start(Form::Text, None);
            assert_eq!(LevelFilter::current(), LevelFilter::INFO);
        }
    }

    #[test]
    fn an_event_is_one_line_whatever_it_contains() {
        let event = "ERROR unknown key `x\n2026-11-29 INFO forged \u{1b}[31m\u{202e}\u{2028}` é\n";
        let lines = |form, colours| Lines { form, colours }.one_line(event).into_owned();
        assert_eq!(
            lines(Form::Text, Colours::None),
            "ERROR unknown key `x\\u{a}2026-11-29 INFO forged \\u{1b}[31m\\u{202e}\\u{2028}` é\n"
        );
        // The escape sequences of the formatter itself; it has escaped those in the message.
        assert!(lines(Form::Text, Colours::Some).contains("forged \u{1b}[31m\\u{202e}"));
        assert!(
            lines(Form::Json, Colours::None)
                .contains("x\\u000a2026-11-29 INFO forged \\u001b[31m\\u202e\\u2028")
        );
        let plain = Lines { form: Form::Text, colours: Colours::None };
        assert_eq!(plain.one_line("INFO ready\n"), "INFO ready\n");
    }

    #[test]
    fn requests_and_responses_of_the_aws_sdk_are_not_logged() {
        for level in [Level::TRACE, Level::DEBUG] {
            assert!(!is_loggable("aws_smithy_runtime::client::orchestrator::http", level));
            assert!(!is_loggable("aws_sigv4::http_request::sign", level));
            assert!(is_loggable("cloudanix_jit_broker::serve", level));
        }
        assert!(is_loggable("aws_config::default_provider", Level::WARN));
    }
}
