//! Both forms for Bitbucket elevate and revoke, run as Bitbucket runs a step and a pipe.

use std::collections::BTreeSet;
use std::fs;

use serde_json::{Value, json};
use system_tests::wrappers::root;

use super::bitbucket_step::{WAITS, line, machine_of, page, pipe, script, steps};
use super::platform::{BITBUCKET, PlatformFixture};
use super::{inputs, readme, yaml};

const SCHEMA: &str = "vendor.bitbucket-pipelines";

#[test]
fn page_examples_are_accepted_by_schema_and_broker() {
    readme::assert_registers(&PlatformFixture::start(&BITBUCKET), &page());
    let blocks = readme::blocks(&page(), "yaml");
    assert_eq!(blocks.len(), 4);
    for block in blocks {
        let value = readme::value(&block);
        let pipeline = if value.is_array() {
            json!({"pipelines": {"default": [{"step": {"script": value}}]}})
        } else {
            value
        };
        // The schema is older than `audiences:` (Atlassian's blog, "OIDC now supports multiple audiences").
        let mut known = pipeline.clone();
        if let Some(oidc) = known.pointer_mut("/pipelines/branches/main/0/step/oidc") {
            assert_eq!(*oidc, json!({"audiences": ["cloudanix-jit"]}));
            *oidc = json!(true);
        }
        yaml::assert_follows(SCHEMA, &block, &known);
    }
    let own = yaml::document(&root().join("bitbucket-pipe/bitbucket-pipelines.yml"));
    yaml::assert_follows(SCHEMA, "the pipe's own pipeline", &own);
}

#[test]
fn pipe_takes_the_inputs_of_the_table_and_its_page_lists_them() {
    let pipe = yaml::document(&root().join("bitbucket-pipe/pipe.yml"));
    let text = fs::read_to_string(page()).unwrap();
    let entry = fs::read_to_string(root().join("bitbucket-pipe/pipe/pipe.sh")).unwrap();
    let mut expected = BTreeSet::new();
    for input in inputs::all() {
        let Some(name) = inputs::name_on(&input, "bitbucket", |name| name.replace('-', "_").to_uppercase())
        else {
            continue;
        };
        let variables = pipe["variables"].as_array().unwrap();
        let variable = variables.iter().find(|variable| variable["name"] == name.as_str());
        let variable = variable.unwrap_or_else(|| panic!("`{name}` is not in pipe.yml"));
        if let Some(default) = input["default"].as_str() {
            assert_eq!(variable["default"], default, "{name}");
            assert!(entry.contains(&format!("${{{name}:-{default}}}")), "{name} in pipe.sh");
            assert!(
                text.lines().any(|line| line.starts_with(&format!("| {name} ")) && line.contains(default)),
                "{name}"
            );
        }
        let required = input["required"] == true || name == "COMMAND";
        assert_eq!(variable["required"] == true, required, "{name}");
        assert!(text.contains(&format!("| {name} ")), "{name} is not on the page");
        assert!(text.contains(&format!(" {name}: ")), "{name} is not in the definition on the page");
        expected.insert(name);
    }
    let taken: BTreeSet<String> = pipe["variables"]
        .as_array()
        .unwrap()
        .iter()
        .map(|variable| variable["name"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(taken, expected);
    let version = pipe["image"].as_str().unwrap();
    assert!(text.matches(version).count() >= 3, "the page names another version than {version}");
    assert!(
        fs::read_to_string(root().join("bitbucket-pipe/CHANGELOG.md"))
            .unwrap()
            .contains(version.split_once(':').unwrap().1)
    );
}

#[test]
fn the_pages_own_step_deploys_and_leaves_nothing() {
    let mut platform = PlatformFixture::start(&BITBUCKET);
    let machine = machine_of(&mut platform, "{step-1}");
    let (step, _) = steps();
    let deploy = step["script"][0].as_str().unwrap().split_once(" -- ").unwrap().1;
    assert_eq!(script(&machine, "script", &line(&step, deploy)).finish(), Some(0), "{}", machine.logs());
    let timeline = platform.assert_ended("step finished · exit 0").to_string();
    for fact in ["{repository}", "{step-1}", "octo/my-app", "a7c1f24", "142"] {
        assert!(timeline.contains(fact), "`{fact}` is not in {timeline}");
    }
    assert!(machine.path("workspace/went-on").exists());
    let calls = fs::read_to_string(machine.path("workspace/aws-calls")).unwrap();
    assert_eq!(calls.trim(), deploy);
    assert_eq!(script(&machine, "after", &step["after-script"]).finish(), Some(0));
    assert_eq!(fs::read_dir(machine.path("tmp")).unwrap().count(), 0, "nothing is left");
    platform.assert_no_leak(&machine);
}

#[test]
fn a_command_that_fails_or_is_denied_ends_the_step_in_both_forms() {
    let mut platform = PlatformFixture::start(&BITBUCKET);
    let machine = machine_of(&mut platform, "{step-1}");
    let (step, _) = steps();
    assert_eq!(
        script(&machine, "script", &line(&step, "sh -c 'exit 3'")).finish(),
        Some(3),
        "{}",
        machine.logs()
    );
    platform.assert_ended("step finished · exit 3");
    assert_eq!(
        script(
            &machine,
            "script",
            &json!(["sh ci/cloudanix-jit.sh run --policy admin --ttl 15m -- touch ran"])
        )
        .finish(),
        Some(125)
    );
    assert!(!machine.path("workspace/went-on").exists());
    assert_eq!(script(&machine, "after", &step["after-script"]).finish(), Some(0));
    assert_eq!(
        pipe(&machine, &[("POLICY", "orders-read"), ("COMMAND", "false | true; touch ran")]).finish(),
        Some(1)
    );
    assert_eq!(pipe(&machine, &[("POLICY", "admin"), ("COMMAND", "touch ran")]).finish(), Some(125));
    assert!(!machine.path("workspace/ran").exists() && machine.logs().contains("admin"));
    assert_eq!(platform.fixture.broker.given().len(), 2);
    platform.fixture.broker.wait_until_nothing_is_live();
    platform.assert_no_leak(&machine);
}

#[test]
fn pipe_command_has_the_grant_but_no_identity_and_no_pipe_variables() {
    let mut platform = PlatformFixture::start(&BITBUCKET);
    let machine = machine_of(&mut platform, "{step-1}");
    let (_, step) = steps();
    let given = &step["script"][0]["variables"];
    let command = given["COMMAND"].as_str().unwrap();
    // The environment provides the values that the page passes on; literal values come from the page.
    let look = format!("{command}; env >seen; env");
    let all = [
        ("POLICY", "orders-read"),
        ("COMMAND", look.as_str()),
        ("URL", machine.variable("CLOUDANIX_URL")),
        ("AGENT_ID", machine.variable("CLOUDANIX_AGENT_ID")),
        ("TARGET", ""),
        ("REASON", "deploys main"),
        ("LIVE_ACTIONS", "false"),
        ("TTL", "5m"),
    ];
    assert_eq!(pipe(&machine, &all).finish(), Some(0), "{}", machine.logs());
    let timeline = platform.assert_ended("step finished · exit 0").to_string();
    assert!(timeline.contains("deploys main") && timeline.contains("5m"), "{timeline}");
    let seen = fs::read_to_string(machine.path("workspace/seen")).unwrap();
    let mut names = seen.lines().filter_map(|line| Some(line.split_once('=')?.0));
    let hidden = [
        "CLOUDANIX_AUTH_TOKEN",
        "BITBUCKET_STEP_OIDC_TOKEN",
        "POLICY",
        "COMMAND",
        "URL",
        "REASON",
        "LIVE_ACTIONS",
        "TTL",
    ];
    assert_eq!(names.find(|name| hidden.contains(name)), None, "{seen}");
    let token = seen.lines().find_map(|line| line.strip_prefix("CLOUDANIX_GRANT_TOKEN=")).unwrap();
    platform.scan.secret("grant token", token);
    fs::remove_file(machine.path("workspace/seen")).unwrap();
    assert_eq!(fs::read_to_string(machine.path("workspace/aws-calls")).unwrap().trim(), command);
    platform.assert_no_leak(&machine);
}

#[test]
fn a_pipe_that_is_not_set_up_says_what_to_add() {
    let mut platform = PlatformFixture::start(&BITBUCKET);
    let mut machine = machine_of(&mut platform, "{step-1}");
    let complete = [("POLICY", "orders-read"), ("COMMAND", "touch ran")];
    for one in complete {
        assert_eq!(pipe(&machine, &[one]).finish(), Some(125));
    }
    assert_eq!(pipe(&machine, &[complete[0], complete[1], ("LIVE_ACTIONS", "yes")]).finish(), Some(125));
    machine.set("BITBUCKET_STEP_OIDC_TOKEN", "");
    assert_eq!(pipe(&machine, &complete).finish(), Some(125));
    let log = machine.logs();
    for said in [
        "`POLICY` is not set",
        "`COMMAND` is not set",
        "under `variables:`",
        "`LIVE_ACTIONS` is `yes`",
        "oidc: { audiences: [cloudanix-jit] }",
    ] {
        assert!(log.contains(said), "`{said}` is not in {log}");
    }
    assert!(!machine.path("workspace/ran").exists());
}

/// Two containers that share a temporary folder stand for a self-hosted runner without containers.
#[test]
fn revoke_of_one_step_leaves_the_parallel_step_alone() {
    let mut platform = PlatformFixture::start(&BITBUCKET);
    let (one, mut other) = (machine_of(&mut platform, "{step-1}"), machine_of(&mut platform, "{step-2}"));
    other.set("TMPDIR", one.path("tmp").display().to_string());
    let (step, _) = steps();
    let waits = format!("sh -c '{WAITS}'");
    let (first, second) =
        (script(&one, "script", &line(&step, &waits)), script(&other, "script", &line(&step, &waits)));
    one.line_in("grant");
    let stays = other.line_in("grant");
    assert_eq!(platform.fixture.broker.live().len(), 2);
    fs::write(one.path("workspace/go"), "").unwrap();
    assert_eq!(first.finish(), Some(0));
    assert_eq!(script(&one, "after", &step["after-script"]).finish(), Some(0));
    let live: Vec<Value> = platform.fixture.broker.live().iter().map(|grant| grant["id"].clone()).collect();
    assert_eq!(live, [json!(stays)]);
    fs::write(other.path("workspace/go"), "").unwrap();
    assert_eq!(second.finish(), Some(0));
    platform.fixture.broker.wait_until_nothing_is_live();
}
