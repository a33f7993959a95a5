//! A command that inspects all processes of its user finds no credential that it could elevate with.

use std::fs;

use system_tests::broker::Broker;
use system_tests::fixture::Fixture;
use system_tests::onlooker::{look, seen};

use super::project::Project;
use super::runner_job::Job;

const PIPELINE: &str = r#"
include:
  - component: $CI_SERVER_FQDN/$CI_PROJECT_PATH/elevate@$CI_COMMIT_SHA
    inputs: { job-name: component, stage: test, image: unused, policy: orders-read, run: "sh $LOOK" }
  - local: cloudanix-jit.gitlab-ci.yml
one-command:
  extends: .cloudanix-elevate
  variables: { CLOUDANIX_POLICY: orders-read }
  script: ["cloudanix_run sh $LOOK"]
"#;

/// In the `docker` executor the container's own environment has all variables of the job: see README.md.
#[test]
fn shell_executor_shows_neither_token_in_any_environment() {
    let jobs = Project::with(Some(PIPELINE)).preview();
    for name in ["component", "one-command"] {
        let fixture = Fixture::with(Broker::start());
        let script = tempfile::NamedTempFile::new().unwrap();
        fs::write(script.path(), look("seen")).unwrap();
        let job =
            Job::taken(&jobs[name], "bash", &fixture, &[("LOOK", &script.path().display().to_string())]);
        let mut working = job.start_in_shell_executor();
        assert!(working.wait().success(), "{}", working.printed());
        let secrets = [
            ("auth token", fixture.agent.auth_token.as_str()),
            ("OIDC token", job.variable("CLOUDANIX_ID_TOKEN")),
        ];
        let seen = seen(&job.in_project("seen"), &secrets).unwrap();
        assert_eq!(seen.finds, Vec::<String>::new(), "{name}");
        assert!(
            seen.readable.contains(&working.entry()),
            "the command could not inspect the runner's shell: {seen:?}"
        );
    }
}
