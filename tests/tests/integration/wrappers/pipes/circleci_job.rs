//! Runs a job as CircleCI does: each step in its own shell until one fails, steps with `when: always` in any case, and
//! background steps in parallel.

use std::collections::BTreeMap;
use std::fs;

use serde_json::{Value, json};

use super::machine::{Machine, Step as Started};
use super::orb::{self, Step};
use super::platform::{PlatformFixture, circleci_claims};

/// A job's machine, with a program `circleci` that mints tokens.
pub(crate) fn machine_of(platform: &mut PlatformFixture, job: &str) -> Machine {
    let mut machine = platform.machine();
    as_job(platform, &mut machine, job);
    machine
}

pub(crate) fn as_job(platform: &mut PlatformFixture, machine: &mut Machine, job: &str) {
    let token = platform.mint(&circleci_claims(job), "cloudanix-jit");
    let kept = machine.aside("oidc-token");
    fs::write(&kept, token).unwrap();
    machine.program(
        "circleci",
        &format!(
            "#!/bin/sh\n[ \"$*\" = 'run oidc get --claims {{\"aud\":\"cloudanix-jit\"}}' ] && cat {}\n",
            kept
        ),
    );
    for (name, value) in [
        ("CIRCLECI", "true"),
        ("CIRCLE_WORKFLOW_JOB_ID", job),
        ("CIRCLE_WORKFLOW_ID", "w-1"),
        ("CIRCLE_BUILD_NUM", "142"),
        ("CIRCLE_JOB", "deploy"),
        ("CIRCLE_SHA1", "a7c1f24"),
        ("CIRCLE_BRANCH", "main"),
        ("CIRCLE_PROJECT_USERNAME", "octo"),
        ("CIRCLE_PROJECT_REPONAME", "my-app"),
        ("CIRCLE_OIDC_TOKEN_V2", "the organisation's own token"),
    ] {
        machine.set(name, value);
    }
    let bash_env = machine.path("tmp").join(format!("bash-env-{job}"));
    fs::write(&bash_env, "").unwrap();
    machine.set("BASH_ENV", bash_env.display().to_string());
}

/// Starts one step in its own shell with `-eo pipefail`.
pub(crate) fn start(machine: &Machine, number: usize, step: &Step) -> Started {
    let script = machine.aside(&format!("{number}.sh"));
    fs::write(&script, &step.command).unwrap();
    let line = ["bash", "-eo", "pipefail", &script];
    machine.start(&format!("{number:02} {}", step.name), &line, &step.environment)
}

/// A running job.
pub(crate) struct Job<'a> {
    machine: &'a Machine,
    pub(crate) steps: std::vec::IntoIter<Step>,
    /// The exit code of each finished step, by name; background steps are not waited for.
    codes: Vec<(String, Option<i32>)>,
    pub(crate) background: Vec<Started>,
    failed: bool,
}

impl<'a> Job<'a> {
    pub(crate) fn of(machine: &'a Machine, steps: &[Value]) -> Self {
        let packed = orb::packed();
        let steps: Vec<Step> = steps
            .iter()
            .flat_map(|step| orb::expand(&packed, step))
            .filter_map(|step| Step::of(&step))
            .collect();
        Self { machine, steps: steps.into_iter(), codes: Vec::new(), background: Vec::new(), failed: false }
    }

    /// Starts the next due step; `None` when the job is over.
    fn next(&mut self) -> Option<(String, Started)> {
        loop {
            let step = self.steps.next()?;
            if self.failed && !step.always {
                continue;
            }
            let started = start(self.machine, self.codes.len() + self.background.len(), &step);
            if !step.background {
                return Some((step.name, started));
            }
            self.background.push(started);
        }
    }

    /// Runs all steps before the one with this name, and starts that one.
    #[track_caller]
    pub(crate) fn until(&mut self, name: &str) -> Started {
        loop {
            let (started, step) =
                self.next().unwrap_or_else(|| panic!("no step `{name}`: {}", self.machine.logs()));
            if started == name {
                return step;
            }
            self.ended(started, step);
        }
    }

    pub(crate) fn ended(&mut self, name: String, step: Started) {
        let code = step.finish();
        self.failed |= code != Some(0);
        self.codes.push((name, code));
    }

    /// Runs the remaining steps and returns the exit codes of all steps.
    pub(crate) fn finish(mut self) -> BTreeMap<String, Option<i32>> {
        while let Some((name, step)) = self.next() {
            self.ended(name, step);
        }
        for holder in self.background {
            holder.finish();
        }
        self.codes.into_iter().collect()
    }
}

pub(crate) fn run(command: &str) -> Value {
    json!({"run": {"policy": "orders-read", "command": command, "reason": "deploys main"}})
}

pub(crate) fn elevate(steps: &[(&str, &str)]) -> Value {
    let steps: Vec<Value> =
        steps.iter().map(|(name, command)| json!({"run": {"name": name, "command": command}})).collect();
    json!({"elevate": {"policy": "orders-read", "steps": steps}})
}

/// Writes its grant's id and waits.
pub(crate) const WAITS: &str = "echo $CLOUDANIX_GRANT_ID >grant; until test -e go; do sleep 0.05; done";
