//! Both definition files have the inputs of the table, follow GitLab's schema and parse with its readers.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use serde_json::{Map, Value};
use system_tests::broker::Broker;
use system_tests::wrappers::{python_program, root};

use super::project::{PATIENCE, Project, yaml};

pub(crate) const COMPONENT: &str = "gitlab/templates/elevate/template.yml";
pub(crate) const CLASSIC: &str = "gitlab/cloudanix-jit.gitlab-ci.yml";
/// A pattern for one line. In RE2 `$` does not match before a line break at the end of the text, so the pattern
/// names the break. The class has the breaks literally, because RE2 and JavaScript have different escapes for them.
const ONE_LINE: [&str; 2] = ["^[^\r\n\u{85}\u{2028}\u{2029}]*\n?$", "^[^\r\n\u{85}\u{2028}\u{2029}]+\n?$"];
/// A pattern that also excludes what would end the surrounding double quotes.
const QUOTED: &str = "^[^\"\\\\\r\n\u{85}\u{2028}\u{2029}]+$";

pub(crate) fn text(file: &str) -> String {
    fs::read_to_string(root().join(file)).unwrap()
}

/// Every YAML file of the wrapper.
fn yaml_files() -> Vec<String> {
    let mut files = vec![COMPONENT.to_owned(), CLASSIC.to_owned(), "gitlab/.gitlab-ci.yml".to_owned()];
    let examples = fs::read_dir(root().join("gitlab/examples")).unwrap();
    files.extend(
        examples.map(|entry| format!("gitlab/examples/{}", entry.unwrap().file_name().to_str().unwrap())),
    );
    assert!(files.len() > 5, "{files:?}");
    files
}

/// The table's inputs that GitLab has.
fn table() -> Vec<Map<String, Value>> {
    let read = "import json, sys, tomllib\njson.dump(tomllib.load(open(sys.argv[1], 'rb')), sys.stdout)";
    let file = root().join("wrappers/inputs.toml");
    let output = Command::new(python_program("python")).args(["-c", read]).arg(file).output().unwrap();
    let table: Value = serde_json::from_slice(&output.stdout).unwrap();
    let inputs = table["input"].as_array().unwrap().iter().map(|input| input.as_object().unwrap().clone());
    let ours = |input: &Map<String, Value>| {
        input.get("only").is_none_or(|only| only == "gitlab")
            && input.get("on").and_then(|on| on.pointer("/gitlab/none")).is_none()
    };
    inputs.filter(ours).collect()
}

fn of<'a>(input: &'a Map<String, Value>, key: &str) -> &'a str {
    input.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn is_required(input: &Map<String, Value>) -> bool {
    let here = input.get("on").and_then(|on| on.pointer("/gitlab/required"));
    here.or(input.get("required")).and_then(Value::as_bool).unwrap_or_default()
}

/// The CI/CD variable of an input, which both files read.
fn variable(input: &Map<String, Value>) -> String {
    match of(input, "variable") {
        "" => format!("CLOUDANIX_{}", of(input, "name").to_uppercase().replace('-', "_")),
        named => named.to_owned(),
    }
}

#[test]
fn the_component_takes_the_inputs_of_the_table_with_its_defaults_and_words() {
    let header = yaml(&text(COMPONENT)).remove(0);
    let defined = header.pointer("/spec/inputs").and_then(Value::as_object).unwrap();
    let table = table();
    assert_eq!(defined.len(), table.len());
    for input in &table {
        let name = of(input, "name");
        let found = &defined[name];
        assert_eq!(found["description"], input["help"], "{name}");
        let words = |default: &Value| default.as_str().map_or_else(|| default.to_string(), str::to_owned);
        let default = found.get("default").map(words);
        assert_eq!(default.is_none(), is_required(input), "{name}");
        assert_eq!(default.unwrap_or_default(), of(input, "default"), "{name}");
        if found.get("type").is_none() {
            let regex = found["regex"].as_str().unwrap();
            let quoted = input.contains_key("only") || name == "audience";
            assert!(if quoted { regex == QUOTED } else { ONE_LINE.contains(&regex) }, "{name}: {regex}");
        }
    }
}

#[test]
fn every_input_becomes_the_variable_or_the_flag_that_the_table_names() {
    let component = text(COMPONENT);
    for input in table().iter().filter(|input| !input.contains_key("only")) {
        let (name, variable) = (of(input, "name"), variable(input));
        let line = format!("      {variable}=$[[ inputs.{name} ]]\n");
        assert_eq!(component.matches(&line).count(), 1, "{line}");
        for file in [COMPONENT, CLASSIC] {
            let text = text(file);
            let flag = of(input, "flag");
            let given = match (flag, of(input, "default")) {
                ("", _) | ("--", _) => continue,
                ("--no-live-actions" | "--observe", default) => format!("\"${{{variable}:-{default}}}\" in"),
                (_, "") => format!("\"{flag}=${variable}\""),
                (_, default) => format!("\"{flag}=${{{variable}:-{default}}}\""),
            };
            assert_eq!(text.matches(&given).count(), 1, "{file}: {given}");
        }
    }
}

/// GitLab substitutes inputs in the text before it parses the YAML; `gitlab-ci-local` parses first.
#[test]
fn a_value_may_hold_whatever_a_line_may_hold() {
    let whole = text(COMPONENT);
    let (header, jobs) = whole.split_once("\n---\n").unwrap();
    let mut values = BTreeMap::new();
    let mut replaced = jobs.to_owned();
    for (name, input) in yaml(header)[0].pointer("/spec/inputs").and_then(Value::as_object).unwrap() {
        let value = match input["regex"].as_str() {
            Some(QUOTED) => format!("it's {name} # : {{a}} [b]"),
            Some(_) => format!(" {name}: it's \"a\" # b \\n $(c) `d` {{e}} [f] - ="),
            None => "true".to_owned(),
        };
        replaced = replaced.replace(&format!("$[[ inputs.{name} ]]"), &value);
        values.insert(name.clone(), value);
    }
    assert!(!replaced.contains("$[["), "an input that is not defined");
    let jobs = yaml(&replaced).remove(0);
    let job = &jobs[&values["job-name"]];
    assert_eq!(job["stage"], *values["stage"]);
    assert_eq!(job["image"]["name"], *values["image"]);
    assert_eq!(job["id_tokens"]["CLOUDANIX_ID_TOKEN"]["aud"], *values["audience"]);
    let inputs = job["before_script"][0].as_str().unwrap();
    for input in table().iter().filter(|input| !input.contains_key("only")) {
        let line = format!("\n{}={}\n", variable(input), values[of(input, "name")]);
        assert!(inputs.contains(&line), "{line}{inputs}");
    }
}

/// YAML 1.1, which GitLab parses, breaks lines at all of these characters.
#[test]
fn a_value_of_several_lines_is_refused_when_the_pipeline_is_made() {
    for line_break in ["\\n", "\\r", "\\u0085", "\\u2028", "\\u2029"] {
        for (name, value) in [("run", "c"), ("reason", "r"), ("stage", "deploy")] {
            let mut inputs = BTreeMap::from([("image", "a"), ("policy", "b"), ("run", "d")]);
            let broken = format!("{value}{line_break}evil: {{script: [id]}}");
            inputs.insert(name, &broken);
            let inputs: Vec<String> =
                inputs.iter().map(|(name, value)| format!("{name}: \"{value}\"")).collect();
            let pipeline = format!(
                "include:\n  - local: templates/elevate/template.yml\n    inputs: {{ {} }}\n",
                inputs.join(", ")
            );
            let finished = Project::with(Some(&pipeline)).start_with(&[]).finish();
            assert_ne!(finished.code, Some(0), "{name} {line_break}");
            assert!(finished.text.contains("does not match required regex"), "{}", finished.text);
        }
    }
}

#[test]
fn gitlabs_schema_and_yamllint_find_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut documents: Vec<PathBuf> = Vec::new();
    for file in yaml_files() {
        // The schema does not support a file with two documents.
        for (part, document) in text(&file).split("\n---\n").enumerate() {
            let path = folder.path().join(format!("{}.{part}.yml", file.replace('/', "_")));
            fs::write(&path, format!("{document}\n")).unwrap();
            documents.push(path);
        }
    }
    assert!(documents.len() > yaml_files().len());
    let mut schema = Command::new(python_program("check-jsonschema"));
    // This transform resolves `!reference`.
    schema.args(["--builtin-schema", "vendor.gitlab-ci", "--data-transform", "gitlab-ci"]).args(&documents);
    let found = schema.output().unwrap();
    assert!(found.status.success(), "{}", String::from_utf8_lossy(&found.stdout));
    let rules = "{extends: default, rules: {document-start: disable, line-length: {max: 140}, \
                 braces: {max-spaces-inside: 1}, comments: {min-spaces-from-content: 1}}}";
    let mut lint = Command::new(python_program("yamllint"));
    let found = lint.args(["--strict", "-d", rules]).args(yaml_files()).current_dir(root()).output().unwrap();
    assert!(found.status.success(), "{}", String::from_utf8_lossy(&found.stdout));
}

#[test]
fn every_example_is_a_pipeline() {
    for file in yaml_files().iter().filter(|file| file.contains("examples/")) {
        // The published example, with this repository's path in place of its published one.
        let example = text(file)
            .replace("cloudanix/cloudanix-jit/elevate@0.1.0", "$CI_PROJECT_PATH/elevate@$CI_COMMIT_SHA")
            .replace("project: cloudanix/cloudanix-jit\n    ref: 0.1.0\n    file: /", "local: ");
        let jobs = Project::with(Some(&example)).preview();
        let elevated = |job: &Value| job.pointer("/id_tokens/CLOUDANIX_ID_TOKEN").is_some();
        assert!(jobs.as_object().unwrap().values().any(elevated), "{file}: {jobs}");
    }
}

#[test]
fn the_folders_own_pipeline_passes() {
    let project = Project::with(None);
    let finished = project.start_with(&[("CLOUDANIX_ID_TOKEN", "as.gitlab.gives")]).finish();
    assert_eq!(finished.code, Some(0), "within {PATIENCE:?}: {}", finished.text);
    for job in ["component", "one-command", "whole-script", "whole-script-left-open"] {
        assert_eq!(finished.code_of(job), 0, "{job}");
    }
    let revoked = |job: &str| finished.printed_by(job).contains("self-test: revoked");
    assert!(revoked("whole-script") && revoked("whole-script-left-open"), "{}", finished.text);
}

#[test]
fn the_readmes_registration_is_one_that_a_broker_takes() {
    let readme = text("gitlab/README.md");
    let registration = readme.split_once("```toml\n").unwrap().1.split_once("```").unwrap().0;
    // The broker needs a configured AWS account, which this fixture lacks.
    let (trust, _) = registration.split_once("[boundary]").unwrap();
    let boundary = "[boundary]\ntarget = \"token\"\npolicies = { \"ecs-deploy\" = \"orders:deploy\" }\n";
    assert!(Broker::start().register(&format!("{trust}{boundary}")).starts_with("cjat_"));
}

#[test]
fn the_readme_names_every_variable_of_the_table() {
    let readme = text("gitlab/README.md");
    for input in table().iter().filter(|input| !input.contains_key("only") && of(input, "name") != "run") {
        assert!(readme.contains(&format!("`{}`", variable(input))), "{}", variable(input));
    }
}
