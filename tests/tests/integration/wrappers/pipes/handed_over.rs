//! Each input of the orb and of the pipe reaches the client as the flag or variable of the table.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use serde_json::{Value, json};
use system_tests::wrappers::root;

use super::circleci_job::Job;
use super::inputs;
use super::machine::Machine;

/// A client that only records its arguments and environment.
const WRITES_DOWN: &str = "#!/bin/sh\n[ \"$1\" != --version ] || exit 0\nprintf '%s\\n' \"$@\" >arguments\n\
                           env | grep ^CLOUDANIX_ >environment\n";

/// A value for an input of the table that differs from its default.
fn value(name: &str) -> &'static str {
    match name {
        "policy" => "orders-read,orders-write",
        "ttl" => "7m",
        "run" => "echo one\necho 'two'",
        "url" => "https://jit.example.com",
        "agent-id" => "another-agent",
        "audience" => "another-audience",
        "target" => "token",
        "reason" => "it's \"time\" $HOME",
        "timeout" => "11s",
        "wait" => "3m",
        "redact" => "always",
        "aws-credentials" => "endpoint",
        "live-actions" => "false",
        "observe" => "true",
        "ca-file" => "ca.pem",
        other => panic!("`{other}` is in the table, and has no value here"),
    }
}

fn machine() -> Machine {
    let machine = Machine::new();
    machine.program("cloudanix-jit", WRITES_DOWN);
    machine
}

/// Asserts that the client received these inputs as the table says.
#[track_caller]
fn assert_handed_over(machine: &Machine, given: &[Value]) {
    let text = |name: &str| fs::read_to_string(machine.path("workspace").join(name)).unwrap();
    let (arguments, environment) = (text("arguments"), text("environment"));
    for input in given {
        let name = input["name"].as_str().unwrap();
        let value = value(name);
        match (input["flag"].as_str(), input["variable"].as_str()) {
            (Some("--"), _) => assert!(
                arguments.contains(&format!("\n--\n/bin/bash\n-eo\npipefail\n-c\n{value}\n"))
                    || arguments.contains(&format!("\n--\nbash\n-eo\npipefail\n-c\n{value}\n")),
                "{arguments}"
            ),
            (Some("--no-live-actions"), _) => {
                assert!(arguments.contains("\n--no-live-actions\n"), "{arguments}")
            }
            (Some("--observe"), _) => assert!(arguments.contains("\n--observe\n"), "{arguments}"),
            (Some(flag), _) => {
                assert!(arguments.contains(&format!("\n{flag}\n{value}\n")), "{flag}: {arguments}")
            }
            (None, Some(variable)) => {
                assert!(environment.contains(&format!("{variable}={value}\n")), "{variable}: {environment}");
            }
            (None, None) => panic!("{input}"),
        }
    }
    assert!(environment.contains("CLOUDANIX_AUTH_TOKEN=cjat_of_this_test\n"), "{environment}");
}

/// The inputs that do not select the client, with their names on a platform.
fn asked(platform: &str, written: impl Fn(&str) -> String) -> Vec<(String, Value)> {
    let of_the_client = ["version", "sha256", "mirror", "binary", "auth-token"];
    let inputs = inputs::all().into_iter();
    let named = inputs.filter(|input| !of_the_client.contains(&input["name"].as_str().unwrap()));
    named.filter_map(|input| Some((inputs::name_on(&input, platform, &written)?, input))).collect()
}

#[test]
fn every_parameter_of_the_orb_reaches_the_client() {
    let inputs = asked("circleci", |name| name.replace('-', "_"));
    let machine = {
        let mut machine = machine();
        machine.set("CLOUDANIX_AUTH_TOKEN", "cjat_of_this_test");
        machine.set("CLOUDANIX_JIT_BINARY", machine.path("bin/cloudanix-jit").display().to_string());
        machine
    };
    let given: BTreeMap<&str, &str> =
        inputs.iter().map(|(name, input)| (name.as_str(), value(input["name"].as_str().unwrap()))).collect();
    let codes = Job::of(&machine, &[json!({ "run": given })]).finish();
    assert_eq!(codes["Run with a grant"], Some(0), "{}", machine.logs());
    let all: Vec<Value> = inputs.iter().map(|(_, input)| input.clone()).collect();
    assert_handed_over(&machine, &all);

    // The holder has its own command, which prints nothing to redact and cannot be observed.
    let mut held = json!({ "elevate": given });
    for own in ["command", "redact", "observe"] {
        held["elevate"].as_object_mut().unwrap().remove(own);
    }
    held["elevate"]["steps"] = json!([]);
    fs::remove_file(machine.path("workspace/arguments")).unwrap();
    Job::of(&machine, &[held]).finish();
    let held: Vec<Value> = all
        .into_iter()
        .filter(|input| !["run", "redact", "observe"].contains(&input["name"].as_str().unwrap()))
        .collect();
    assert_handed_over(&machine, &held);
}

#[test]
fn every_variable_of_the_pipe_reaches_the_client() {
    let inputs = asked("bitbucket", |name| name.replace('-', "_").to_uppercase());
    let mut machine = machine();
    machine.set("BITBUCKET_STEP_OIDC_TOKEN", "of this step");
    machine.set("CLOUDANIX_AUTH_TOKEN", "cjat_of_this_test");
    let variables = inputs
        .iter()
        .map(|(name, input)| (name.clone(), value(input["name"].as_str().unwrap()).to_owned()))
        .collect();
    let entry = root().join("bitbucket-pipe/pipe/pipe.sh").display().to_string();
    assert_eq!(machine.start("pipe", &[&entry], &variables).finish(), Some(0), "{}", machine.logs());
    let all: Vec<Value> = inputs.into_iter().map(|(_, input)| input).collect();
    assert_handed_over(&machine, &all);
}

#[test]
fn the_orb_fetches_the_version_that_is_named_and_runs_nothing_unchecked() {
    let mut machine = Machine::new();
    machine.set("CLOUDANIX_JIT_BINARY", "");
    let arch = std::env::consts::ARCH;
    let release = machine.path("releases/v9.9.9");
    fs::create_dir_all(&release).unwrap();
    let file = release.join(format!("cloudanix-jit-{arch}-unknown-linux-musl"));
    fs::write(&file, "#!/bin/sh\ntouch ran\n").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    let sum = Command::new("sha256sum").arg(&file).output().unwrap();
    let sum = String::from_utf8(sum.stdout).unwrap().split(' ').next().unwrap().to_owned();
    let install = |sha256: &str| {
        let mirror = format!("file://{}", machine.path("releases").display());
        let named = json!({"install": {"version": "9.9.9", "sha256": sha256, "mirror": mirror}});
        Job::of(&machine, &[named]).finish()["Install cloudanix-jit"]
    };
    assert_eq!(install(&sum.replace(|digit: char| digit.is_ascii_digit(), "0")), Some(125));
    assert!(machine.logs().contains("not what was expected") && !machine.path("workspace/ran").exists());
    assert_eq!(install(&sum), Some(0), "{}", machine.logs());
    assert!(machine.path("workspace/ran").exists());
}
