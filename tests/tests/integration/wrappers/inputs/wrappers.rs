//! Reads the inputs from each wrapper's own definition.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use serde_json::Value;
use system_tests::wrappers::{python_program, root};

use super::table::Platform;

/// The inputs of one definition file.
pub(crate) struct Taken {
    pub(crate) file: String,
    pub(crate) inputs: BTreeMap<String, Found>,
    /// Inputs of the table that this file does not have.
    without: &'static [&'static str],
}

pub(crate) struct Found {
    pub(crate) required: bool,
    pub(crate) default: String,
    /// `None` if the format of the definition has no descriptions.
    pub(crate) description: Option<String>,
}

impl Taken {
    pub(crate) fn is_about(&self, name: &str) -> bool {
        !self.without.contains(&name)
    }

    fn of(file: &str, inputs: impl IntoIterator<Item = (String, Found)>) -> Self {
        Self { file: file.to_owned(), inputs: inputs.into_iter().collect(), without: &[] }
    }

    fn without(mut self, without: &'static [&'static str]) -> Self {
        self.without = without;
        self
    }
}

/// Every definition file of a platform.
pub(crate) fn taken(platform: Platform) -> Vec<Taken> {
    match platform {
        Platform::GitHub => vec![github("action/action.yml"), github_run("action/run/action.yml")],
        Platform::GitLab => vec![gitlab("gitlab/templates/elevate/template.yml")],
        Platform::Jenkins => vec![jenkins("jenkins-library/src/io/cloudanix/jit/Inputs.groovy")],
        Platform::Bitbucket => vec![bitbucket("bitbucket-pipe/pipe.yml")],
        Platform::CircleCi => vec![
            circleci("circleci-orb/src/commands/run.yml"),
            circleci("circleci-orb/src/commands/elevate.yml").without(&["command", "redact", "observe"]),
        ],
    }
}

fn github(file: &str) -> Taken {
    Taken::of(file, yaml(file)["inputs"].as_object().unwrap().iter().map(named))
}

/// The inputs of the action for one command.
fn github_run(file: &str) -> Taken {
    let mut taken = github(file);
    let run = taken.inputs.get_mut("run").unwrap();
    assert!(run.required, "{file}");
    run.required = false;
    taken
}

fn gitlab(file: &str) -> Taken {
    let inputs = &yaml(file)["spec"]["inputs"];
    Taken::of(file, inputs.as_object().unwrap().iter().map(required_without_default))
}

fn circleci(file: &str) -> Taken {
    let parameters = yaml(file);
    let parameters = parameters["parameters"].as_object().unwrap();
    // The parameter `steps` is the use of the grant in place of one command.
    let inputs = parameters.iter().filter(|(name, _)| *name != "steps");
    let mut taken = Taken::of(file, inputs.map(required_without_default));
    if let Some(variable) = taken.inputs.get_mut("auth_token") {
        assert_eq!(variable.default, "CLOUDANIX_AUTH_TOKEN", "{file}");
        variable.default.clear();
    }
    if let Some(command) = taken.inputs.get_mut("command") {
        assert!(command.required, "{file}");
        command.required = false;
    }
    taken
}

fn bitbucket(file: &str) -> Taken {
    let variables = yaml(file);
    let variables = variables["variables"].as_array().unwrap();
    let mut taken = Taken::of(
        file,
        variables.iter().map(|variable| (variable["name"].as_str().unwrap().to_owned(), found(variable))),
    );
    let command = taken.inputs.get_mut("COMMAND").unwrap();
    assert!(command.required, "{file}");
    command.required = false;
    taken
}

/// The inputs in two maps and a list in Groovy, and in a help page.
fn jenkins(file: &str) -> Taken {
    let source = fs::read_to_string(root().join(file)).unwrap();
    let help = fs::read_to_string(root().join("jenkins-library/vars/cloudanixElevate.txt")).unwrap();
    let block = |name: &str, end: &str| -> Vec<(String, String)> {
        let (_, rest) = source.split_once(&format!(" {name} = [")).unwrap();
        let (block, _) = rest.split_once(end).unwrap();
        let lines = block.split(',').map(str::trim).filter(|line| !line.is_empty());
        let pair = |line: &str| {
            let (name, value) = line.split_once(':').unwrap_or((line, ""));
            (name.trim_matches('\'').to_owned(), value.trim().trim_matches('\'').to_owned())
        };
        lines.map(pair).collect()
    };
    let mut defaults: BTreeMap<String, String> = block("DEFAULTS", "]").into_iter().collect();
    for (constant, name) in [("AUTH_TOKEN", "authTokenCredentialsId"), ("OIDC", "oidcCredentialsId")] {
        let (_, rest) = source.split_once(&format!("String {constant} = '")).unwrap();
        defaults.insert(name.to_owned(), rest.split('\'').next().unwrap().to_owned());
    }
    let names = [block("VARIABLES", "]"), block("CREDENTIALS", "]")].concat();
    let inputs = names.into_iter().map(|(name, _)| {
        assert!(help.contains(&name), "`{name}` is not in the help of cloudanixElevate");
        let default = defaults.get(&name).cloned().unwrap_or_default();
        (name.clone(), Found { required: name == "policy", default, description: None })
    });
    Taken::of(file, inputs)
}

fn named((name, definition): (&String, &Value)) -> (String, Found) {
    (name.clone(), found(definition))
}

/// An input without a default, which is required on this platform.
fn required_without_default((name, definition): (&String, &Value)) -> (String, Found) {
    let required = definition.get("default").is_none();
    (name.clone(), Found { required, ..found(definition) })
}

fn found(definition: &Value) -> Found {
    let text = |value: &Value| {
        if value.is_null() { String::new() } else { value.as_str().map_or(value.to_string(), str::to_owned) }
    };
    Found {
        required: definition["required"] == true,
        default: text(&definition["default"]),
        description: Some(text(&definition["description"])),
    }
}

/// The first document of a file.
fn yaml(file: &str) -> Value {
    let read = "import json, sys, ruamel.yaml as yaml\n\
                document = next(iter(yaml.YAML(typ='safe').load_all(open(sys.argv[1]))))\n\
                json.dump(document, sys.stdout)";
    let output = Command::new(python_program("python")).args(["-c", read]).arg(root().join(file)).output();
    let output = output.unwrap();
    assert!(output.status.success(), "{file}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}
