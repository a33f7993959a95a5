//! Compares the committed reference pages with what the code says. `CLOUDANIX_WRITE_DOCS=1` writes them.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "the functions around the tests fail as the tests do"
)]

mod configuration;
mod error_codes;
mod http_api;
mod metrics;

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use protocol::timeline::EventKind;

/// Writes a page if `CLOUDANIX_WRITE_DOCS` is set, and compares it otherwise.
#[track_caller]
fn keep(name: &str, page: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/book/src/reference").join(name);
    if std::env::var_os("CLOUDANIX_WRITE_DOCS").is_some_and(|value| value == "1") {
        fs::write(&file, page).unwrap();
    }
    let committed = fs::read_to_string(&file).unwrap_or_default();
    assert!(committed == page, "{name} is not what the code says: run `cargo xtask docs`");
}

#[test]
fn openapi_is_up_to_date() {
    keep("openapi.json", &format!("{}\n", server::openapi()));
}

#[test]
fn http_api_page_is_up_to_date() {
    keep("http-api.md", &http_api::page());
}

#[test]
fn error_codes_page_is_up_to_date() {
    keep("error-codes.md", &error_codes::page());
}

#[test]
fn configuration_page_is_up_to_date() {
    keep("configuration.md", &configuration::page());
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_page_is_up_to_date() {
    keep("metrics.md", &metrics::page().await);
}

#[test]
fn events_page_is_up_to_date() {
    let mut page = String::from(
        "# Timeline events\n\n\
         <!-- Generated from protocol/src/timeline.rs: change it there. -->\n\n\
         The kinds of events on [the timeline](../guarantees/timeline.md) of a grant. `kind` is the word in JSON, \
         the label is the word in the text form.\n\n\
         | kind | label | what happened |\n|---|---|---|\n",
    );
    for kind in EventKind::ALL {
        let _ = writeln!(page, "| `{}` | `{}` | {} |", kind.as_str(), kind.label(), kind.meaning());
    }
    keep("events.md", &page);
}

#[test]
fn broker_commands_page_is_up_to_date() {
    let mut page = String::from(
        "# Broker commands\n\n\
         <!-- Generated from broker/server/src/command_line.rs: change it there. -->\n\n\
         What `--help` prints for each command. `RUST_LOG` sets how much is logged. The exit code is 0, or 1 after an \
         error, or 2 for a wrong command line.\n",
    );
    for (name, help) in server::command_line::help() {
        let help: Vec<&str> = help.lines().map(str::trim_end).collect();
        let _ = write!(page, "\n## `{name}`\n\n```text\n{}\n```\n", help.join("\n").trim_end());
    }
    keep("broker-cli.md", &page);
}
