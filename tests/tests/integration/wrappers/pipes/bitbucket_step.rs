//! Runs a step as Bitbucket does: its lines in one shell of a container, and a pipe in another container.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};
use system_tests::programs;
use system_tests::wrappers::root;

use super::machine::{Machine, Step};
use super::platform::{PlatformFixture, bitbucket_claims};
use super::readme;

pub(crate) fn page() -> PathBuf {
    root().join("bitbucket-pipe/README.md")
}

/// The steps of the page's complete pipelines: one with a script, one with the pipe.
pub(crate) fn steps() -> (Value, Value) {
    let pipelines =
        readme::blocks(&page(), "yaml").into_iter().filter(|block| block.starts_with("pipelines:"));
    let mut steps =
        pipelines.map(|block| readme::value(&block)["pipelines"]["branches"]["main"][0]["step"].clone());
    (steps.next().unwrap(), steps.next().unwrap())
}

/// A step's container, with the two scripts in the repository and the client of the pipe's image.
pub(crate) fn machine_of(platform: &mut PlatformFixture, step: &str) -> Machine {
    let mut machine = platform.machine();
    // Bitbucket writes a chosen audience as a list.
    let token = platform.mint(&bitbucket_claims(step), json!(["cloudanix-jit"]));
    for (name, value) in [
        ("BITBUCKET_BUILD_NUMBER", "142"),
        ("BITBUCKET_STEP_OIDC_TOKEN", &token),
        ("BITBUCKET_REPO_FULL_NAME", "octo/my-app"),
        ("BITBUCKET_STEP_UUID", step),
        ("BITBUCKET_COMMIT", "a7c1f24"),
        ("BITBUCKET_BRANCH", "main"),
    ] {
        machine.set(name, value);
    }
    fs::create_dir(machine.path("workspace/ci")).unwrap();
    for script in ["fetch.sh", "cloudanix-jit.sh"] {
        fs::copy(root().join("bitbucket-pipe").join(script), machine.path("workspace/ci").join(script))
            .unwrap();
    }
    std::os::unix::fs::symlink(programs::client(), machine.path("bin/cloudanix-jit")).unwrap();
    machine
}

/// Runs the lines of a step in one shell, which ends at the first line that fails.
pub(crate) fn script(machine: &Machine, name: &str, lines: &Value) -> Step {
    let lines: Vec<&str> = lines.as_array().unwrap().iter().map(|line| line.as_str().unwrap()).collect();
    let file = machine.aside("script.sh");
    fs::write(&file, lines.join("\n")).unwrap();
    machine.start(name, &["bash", "-e", &file], &BTreeMap::new())
}

/// The page's line, with this command in it.
pub(crate) fn line(step: &Value, command: &str) -> Value {
    let line = step["script"][0].as_str().unwrap();
    let (before, _) = line.split_once(" -- ").unwrap();
    json!([format!("{} -- {command}", before), "echo went on >went-on"])
}

pub(crate) fn pipe(machine: &Machine, variables: &[(&str, &str)]) -> Step {
    let entry = root().join("bitbucket-pipe/pipe/pipe.sh").display().to_string();
    let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    machine.start("pipe", &[&entry], &variables)
}

pub(crate) const WAITS: &str = "echo $CLOUDANIX_GRANT_ID >grant; until test -e go; do sleep 0.05; done";
