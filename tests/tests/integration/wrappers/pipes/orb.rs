//! Packs the orb and expands its commands into the steps of a job.
//!
//! `circleci orb pack` is not available here, so this reimplements it: a folder is a map by file name, and a value
//! `<<include(file)>>` is that file with its `<<` escaped. CircleCI expands a command by inserting its parameters and
//! replacing the invocation by the command's steps.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use serde_json::{Map, Value, json};
use system_tests::wrappers::root;

use super::yaml;

/// The folder of the orb's source.
pub(crate) fn source() -> PathBuf {
    root().join("circleci-orb/src")
}

/// The packed orb as one document.
pub(crate) fn packed() -> Value {
    static PACKED: LazyLock<Value> = LazyLock::new(pack);
    PACKED.clone()
}

fn pack() -> Value {
    let mut orb = yaml::document(&source().join("@orb.yml"));
    for folder in ["commands", "jobs", "executors", "examples"] {
        let named = yaml::files(&source().join(folder), "yml").into_iter().map(|path| {
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            (name, yaml::document(&path))
        });
        orb[folder] = Value::Object(named.collect());
    }
    include(&mut orb, &source());
    orb
}

fn include(value: &mut Value, folder: &Path) {
    match value {
        Value::String(text) => {
            let Some((before, rest)) = text.split_once("<<include(") else { return };
            let file = rest.strip_suffix(")>>").filter(|_| before.is_empty());
            let file = file.unwrap_or_else(|| panic!("the whole value has to be the include: `{text}`"));
            *text = fs::read_to_string(folder.join(file)).unwrap().replace("<<", "\\<<");
        }
        Value::Array(values) => values.iter_mut().for_each(|value| include(value, folder)),
        Value::Object(values) => values.values_mut().for_each(|value| include(value, folder)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// One step of a job, as CircleCI runs it.
#[derive(Debug, Clone)]
pub(crate) struct Step {
    pub(crate) name: String,
    pub(crate) command: String,
    pub(crate) environment: BTreeMap<String, String>,
    pub(crate) background: bool,
    pub(crate) always: bool,
}

/// The steps that this invocation of the orb's command (`{"run": {"policy": …}}`) expands to.
#[track_caller]
pub(crate) fn expand(orb: &Value, invocation: &Value) -> Vec<Value> {
    let (name, given) = invocation.as_object().unwrap().iter().next().unwrap();
    let definition = &orb["commands"][name];
    // Within the orb, `run` and every name that the orb does not define are CircleCI's own steps.
    if !definition.is_object() || name == "run" && given.get("policy").is_none() {
        return vec![invocation.clone()];
    }
    expand_steps(orb, definition, given)
}

/// The steps of a command or a job with these parameters.
#[track_caller]
pub(crate) fn expand_steps(orb: &Value, definition: &Value, given: &Value) -> Vec<Value> {
    let mut parameters = Map::new();
    for (name, parameter) in definition["parameters"].as_object().unwrap() {
        let value = given.get(name).or_else(|| parameter.get("default"));
        parameters.insert(name.clone(), value.unwrap_or_else(|| panic!("`{name}` has to be given")).clone());
    }
    for name in given.as_object().unwrap().keys() {
        assert!(parameters.contains_key(name), "there is no parameter `{name}`");
    }
    let mut steps = Vec::new();
    for step in definition["steps"].as_array().unwrap() {
        let mut step = step.clone();
        substitute(&mut step, &parameters);
        if let Some(inner) = step.get("steps") {
            steps.extend(inner.as_array().unwrap().iter().flat_map(|step| expand(orb, step)));
        } else if step.is_string() {
            steps.push(step);
        } else {
            steps.extend(expand(orb, &step));
        }
    }
    steps
}

/// A bare `<< parameters.x >>` keeps the parameter's type; inside a text it becomes text.
fn substitute(value: &mut Value, parameters: &Map<String, Value>) {
    match value {
        Value::String(text) => {
            for (name, parameter) in parameters {
                let place = format!("<< parameters.{name} >>");
                if *text == place {
                    *value = parameter.clone();
                    return;
                }
                *text = text.replace(&place, &plain(parameter));
            }
        }
        Value::Array(values) => values.iter_mut().for_each(|value| substitute(value, parameters)),
        Value::Object(values) => values.values_mut().for_each(|value| substitute(value, parameters)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

impl Step {
    /// The `run` step after expansion; `None` for CircleCI's other steps, such as `checkout`.
    pub(crate) fn of(step: &Value) -> Option<Self> {
        let run = step.get("run")?;
        let text = |name: &str| run[name].as_str().unwrap_or_default().to_owned();
        let none = json!({});
        let environment = run.get("environment").unwrap_or(&none).as_object().unwrap();
        let unescaped = |value: &Value| plain(value).replace("\\<<", "<<");
        Some(Self {
            name: text("name"),
            command: text("command").replace("\\<<", "<<"),
            environment: environment.iter().map(|(name, value)| (name.clone(), unescaped(value))).collect(),
            background: run["background"] == true,
            always: run["when"] == "always",
        })
    }
}
