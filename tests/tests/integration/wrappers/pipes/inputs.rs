//! Reads `wrappers/inputs.toml` with an independent library.

use std::process::Command;

use serde_json::Value;
use system_tests::wrappers::{python_program, root};

/// Every input of the table.
pub(crate) fn all() -> Vec<Value> {
    let script = "import json, sys, tomllib; json.dump(tomllib.load(open(sys.argv[1], 'rb')), sys.stdout)";
    let table = root().join("wrappers/inputs.toml");
    let output = Command::new(python_program("python")).args(["-c", script]).arg(table).output().unwrap();
    let table: Value = serde_json::from_slice(&output.stdout).unwrap();
    table["input"].as_array().unwrap().clone()
}

/// The platform's name for an input: the table's exception, or `written`; `None` if the platform does not have it.
pub(crate) fn name_on(input: &Value, platform: &str, written: impl Fn(&str) -> String) -> Option<String> {
    let on = &input["on"][platform];
    let elsewhere = input["only"].as_str().is_some_and(|only| only != platform);
    if elsewhere || on.get("none").is_some() {
        return None;
    }
    Some(on["name"].as_str().map_or_else(|| written(input["name"].as_str().unwrap()), str::to_owned))
}
