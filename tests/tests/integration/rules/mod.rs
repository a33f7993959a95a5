//! Tests of rules through real brokers: the seeds' own cases, replicas that are killed, folders, posture, security events.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use reqwest::Method;
use serde_json::{Value, json};
use system_tests::broker::Broker;
use system_tests::http::{self, Answer};

mod folder;
mod live_grants;
mod offline;
mod replicas;
mod sample;
mod security_events;

const PERMIT: &str = r#"@id("all") permit (principal, action, resource);"#;
const SHORT: &str = r#"@id("all") permit (principal, action, resource);
@id("short") @hint("ask for five minutes")
forbid (principal, action, resource) when { context.request.ttl > duration("5m") };"#;
const SCANNED: &str = r#"@id("all") permit (principal, action, resource);
@id("scanned") forbid (principal, action, resource)
unless { context.posture.hasTag("scanner") && context.posture.getTag("scanner").ok };"#;

/// Posts a body as the operator.
fn post(broker: &Broker, path: &str, body: &Value) -> Answer {
    http::send(broker.request(Method::POST, path).bearer_auth(broker.operator_token()).json(body))
}

/// Makes these rules the active set.
#[track_caller]
fn apply(broker: &Broker, rules: &str) -> Value {
    let body = json!({ "files": { "rules.cedar": rules }, "role": "active" });
    post(broker, "/v2/rules", &body).expect(200).json
}

/// The files with this extension in a folder, by name.
fn texts(folder: &Path, extension: &str) -> BTreeMap<String, String> {
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let files = files.filter(|path| path.extension().is_some_and(|found| found == extension));
    files
        .map(|path| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            (name, fs::read_to_string(path).unwrap())
        })
        .collect()
}
