//! `cargo xtask test`: checks everything from a fresh clone.

use anyhow::Result;

use crate::machine::{self, StaticTarget};
use crate::process::{cargo, run};
use crate::python::{self, Environment};
use crate::steps::Steps;
use crate::{client_gate, documents, gitea};

/// Runs `cargo xtask test`.
pub(crate) fn run_command() -> Result<()> {
    let mut steps = Steps::of("test");
    steps.step("node and npm are there", machine::node)?;
    steps.step("OIDC providers and a driver of browsers, from npm", || machine::npm_ci("tests/node"))?;
    steps.step("an AWS emulator, the AWS CLI and boto3", || python::ready(Environment::Aws))?;
    steps.step("the AWS SDK for JavaScript", || machine::npm_ci("tests/aws/js"))?;
    steps.step("runners for the wrappers, from npm", || machine::npm_ci("tests/wrappers"))?;
    steps.step("runners, schemas and linters for the wrappers, from PyPI", || {
        python::ready(Environment::Wrappers)
    })?;
    steps.step("a solver for rules, from PyPI", python::solver)?;
    steps.step("the Jenkins library, on Jenkins' own engine", machine::jenkins_library)?;
    steps.step("PostgreSQL", machine::postgres)?;
    steps.step("a browser", machine::chromium)?;
    if cfg!(target_os = "linux") {
        steps.step("rsync, for a runner of GitLab's pipelines", || {
            machine::debian_package("rsync", "rsync")
        })?;
        steps.step("the shell of Alpine's images", || machine::debian_package("busybox", "busybox"))?;
        steps.step("a clock that tests can move", python::faketime)?;
    }
    let gitea = steps.step("a Gitea server and its runner, from Go modules", gitea::ready)?;
    steps.step("the two programs", || run(cargo().args(["build", "--locked"])))?;
    client(&mut steps)?;
    // Many tests wait for processes: two at once on each processor took two thirds of the time.
    let threads = 2 * std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
    // A failure does not stop the other tests.
    let mut all = cargo();
    all.args(["test", "--locked", "--workspace", "--no-fail-fast"]);
    if std::env::var_os("RUST_TEST_THREADS").is_none() {
        all.env("RUST_TEST_THREADS", threads.to_string());
    }
    steps.step("all tests", || run(&mut all))?;
    if let Some(why) = steps.step("the action on Gitea", || gitea.test())? {
        steps.remark(format!("the action was not run on Gitea: {why}"));
    }
    steps.step("generated documents are up to date", documents::are_fresh)?;
    steps.finish();
    Ok(())
}

fn client(steps: &mut Steps) -> Result<()> {
    if !cfg!(target_os = "linux") {
        steps.remark("the client's size and staticness were not checked: that needs Linux".into());
        return Ok(());
    }
    let target = steps.step("a static target", || Ok(machine::static_target()))?;
    if let StaticTarget::StaticGlibc { why, .. } = &target {
        steps.remark(format!(
            "the client was built on static glibc, and its size not checked: no musl here ({why})"
        ));
    }
    steps.step("the client is static, small and lean", || client_gate::check(&target))
}
