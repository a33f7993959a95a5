//! The orb passes its schema and the review rules of CircleCI's `orb-tools`, with their numbers.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::platform::{CIRCLECI, PlatformFixture};
use super::{inputs, orb, readme, yaml};

const COMPONENTS: [&str; 4] = ["commands", "jobs", "executors", "examples"];

fn components(packed: &Value) -> Vec<(String, &Value)> {
    let named = |kind: &'static str| {
        packed[kind].as_object().unwrap().iter().map(move |(name, value)| (format!("{kind}/{name}"), value))
    };
    COMPONENTS.into_iter().flat_map(named).collect()
}

#[test]
fn rc001_and_rc005_to_rc007_the_orb_says_what_it_is_and_where_it_comes_from() {
    let packed = orb::packed();
    assert!(packed["description"].as_str().unwrap().len() >= 64);
    for url in ["home_url", "source_url"] {
        // Whether the URLs answer is not tested here, because that needs the internet.
        assert!(packed["display"][url].as_str().unwrap().starts_with("https://"), "{url}");
    }
}

#[test]
fn rc002_and_rc010_every_component_and_parameter_is_described_and_snake_cased() {
    let packed = orb::packed();
    let snake = |name: &str| name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    let described = |value: &Value| value["description"].as_str().is_some_and(|text| text.len() > 10);
    for (name, component) in components(&packed) {
        assert!(described(component) && snake(name.split('/').nth(1).unwrap()), "{name}");
        for (parameter, definition) in component["parameters"].as_object().into_iter().flatten() {
            assert!(described(definition) && snake(parameter), "{name}: {parameter}");
        }
    }
}

#[test]
fn rc003_and_rc004_there_are_examples_with_names_that_say_something() {
    let packed = orb::packed();
    let examples = packed["examples"].as_object().unwrap();
    assert!(!examples.is_empty() && examples.keys().all(|name| !name.contains("example")));
}

#[test]
fn rc008_and_rc009_every_run_step_has_a_name_and_its_command_is_a_file() {
    for folder in ["commands", "jobs"] {
        for path in yaml::files(&orb::source().join(folder), "yml") {
            let component = yaml::document(&path);
            let steps = component["steps"].as_array().unwrap();
            for run in steps.iter().filter_map(|step| step.get("run")) {
                assert!(run["name"].as_str().is_some_and(|name| !name.is_empty()), "{}", path.display());
                let command = run["command"].as_str().unwrap();
                assert!(command.starts_with("<<include(scripts/"), "{}: {command}", path.display());
            }
        }
    }
}

#[test]
fn the_packed_orb_and_every_example_expanded_or_not_follow_circlecis_schema() {
    let packed = orb::packed();
    yaml::assert_follows("vendor.circle-ci", "the packed orb", &packed);
    // An orb inside a configuration, which another part of the schema describes.
    let mut inline = packed.clone();
    for own in ["version", "description", "display", "examples"] {
        inline.as_object_mut().unwrap().remove(own);
    }
    for (name, example) in packed["examples"].as_object().unwrap() {
        let usage = &example["usage"];
        yaml::assert_follows("vendor.circle-ci", name, usage);
        let mut with_orb = usage.clone();
        with_orb["orbs"] = json!({ "cloudanix": inline });
        yaml::assert_follows("vendor.circle-ci", &format!("{name}, orb inside"), &with_orb);
        let expanded = expanded(&packed, usage);
        yaml::assert_follows("vendor.circle-ci", &format!("{name}, expanded"), &expanded);
        assert!(!expanded.to_string().contains("<< parameters."), "{name}: {expanded}");
        assert!(!expanded.to_string().contains("\"cloudanix/"), "{name}: {expanded}");
    }
}

/// The configuration with its orb expanded.
fn expanded(packed: &Value, usage: &Value) -> Value {
    let mut config = usage.clone();
    config.as_object_mut().unwrap().remove("orbs");
    let own = |step: &Value| {
        let (name, given) = step.as_object()?.iter().next()?;
        let command = name.strip_prefix("cloudanix/")?;
        Some(orb::expand_steps(packed, &packed["commands"][command], given))
    };
    for (_, job) in config["jobs"].as_object_mut().into_iter().flatten() {
        let steps = job["steps"].as_array().unwrap();
        let steps: Vec<Value> =
            steps.iter().flat_map(|step| own(step).unwrap_or(vec![step.clone()])).collect();
        job["steps"] = json!(steps);
    }
    let of_the_orb = config["workflows"]["deploy"]["jobs"].as_array_mut().unwrap();
    let mut jobs = Vec::new();
    for job in of_the_orb {
        let Some(mut given) = job.as_object_mut().unwrap().remove("cloudanix/run") else { continue };
        let of_the_workflow = ["name", "context", "filters"];
        let kept: serde_json::Map<String, Value> = given
            .as_object()
            .unwrap()
            .iter()
            .filter(|(name, _)| of_the_workflow.contains(&name.as_str()))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        given.as_object_mut().unwrap().retain(|name, _| !of_the_workflow.contains(&name.as_str()));
        let steps = orb::expand_steps(packed, &packed["jobs"]["run"], &given);
        jobs.push((
            kept["name"].as_str().unwrap().to_owned(),
            json!({"executor": given["executor"], "steps": steps}),
        ));
        *job = json!({ kept["name"].as_str().unwrap(): kept });
    }
    for (name, job) in jobs {
        config["jobs"][name] = job;
    }
    config
}

#[test]
fn the_job_runs_the_very_step_that_the_command_runs() {
    let packed = orb::packed();
    let run = |of: &Value| {
        of["steps"].as_array().unwrap().iter().filter(|step| step.is_object()).cloned().collect::<Vec<_>>()
    };
    assert_eq!(run(&packed["jobs"]["run"]), run(&packed["commands"]["run"]));
}

#[test]
fn the_commands_take_the_inputs_of_the_table_with_its_defaults_and_no_others() {
    let packed = orb::packed();
    let mut expected = BTreeSet::new();
    for input in inputs::all() {
        let Some(name) = inputs::name_on(&input, "circleci", |name| name.replace('-', "_")) else { continue };
        let parameter = &packed["commands"]["run"]["parameters"][&name];
        assert!(parameter.is_object(), "`run` does not take `{name}`");
        let default = parameter.get("default").map(|default| default.to_string().replace('"', ""));
        let wanted = match input["default"].as_str() {
            _ if name == "auth_token" => Some("CLOUDANIX_AUTH_TOKEN"),
            _ if input["required"] == true || name == "command" => None,
            default => Some(default.unwrap_or_default()),
        };
        assert_eq!(default.as_deref(), wanted, "{name}");
        expected.insert(name);
    }
    let taken = |kind: &str, of: &str| -> BTreeSet<String> {
        packed[kind][of]["parameters"].as_object().unwrap().keys().cloned().collect()
    };
    assert_eq!(taken("commands", "run"), expected);
    let with = |name: &str, without: &[&str]| {
        let mut names = expected.clone();
        names.retain(|name| !without.contains(&name.as_str()));
        names.insert(name.to_owned());
        names
    };
    assert_eq!(taken("jobs", "run"), with("executor", &[]));
    // `elevate` has no command of the job: there is nothing to redact and nothing to observe.
    assert_eq!(taken("commands", "elevate"), with("steps", &["command", "redact", "observe"]));
    for (command, names) in [
        ("install", &["version", "sha256", "mirror", "binary"][..]),
        ("revoke", &["url", "agent_id", "auth_token", "ca_file"]),
    ] {
        assert_eq!(taken("commands", command), names.iter().map(|name| (*name).to_owned()).collect());
        for name in names {
            let of = |command: &str| packed["commands"][command]["parameters"][name].clone();
            assert_eq!(of(command), of("run"), "{command}: {name}");
        }
    }
    for name in taken("commands", "elevate").iter().filter(|name| *name != "steps") {
        let of = |command: &str| packed["commands"][command]["parameters"][name].clone();
        assert_eq!(of("elevate"), of("run"), "{name}");
    }
}

#[test]
fn broker_and_circleci_accept_the_page_examples() {
    let page = orb::source().with_file_name("README.md");
    readme::assert_registers(&PlatformFixture::start(&CIRCLECI), &page);
    let blocks = readme::blocks(&page, "yaml");
    let packed = orb::packed();
    let whole = readme::value(&blocks[0]);
    yaml::assert_follows("vendor.circle-ci", "the page's configuration", &whole);
    yaml::assert_follows(
        "vendor.circle-ci",
        "the page's configuration, expanded",
        &expanded(&packed, &whole),
    );
    let elevate = readme::value(&blocks[1])[0]["cloudanix/elevate"].clone();
    assert!(orb::expand_steps(&packed, &packed["commands"]["elevate"], &elevate).len() > 5);
}
