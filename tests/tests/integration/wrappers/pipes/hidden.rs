//! A command that inspects all processes of its user finds no credential that it could elevate with.

use std::fs;

use system_tests::onlooker::{look, seen};

use super::bitbucket_step::{machine_of as bitbucket_machine_of, pipe};
use super::circleci_job::{Job, machine_of, run};
use super::machine::Machine;
use super::platform::{BITBUCKET, CIRCLECI, PlatformFixture};

#[track_caller]
fn assert_hidden(platform: &PlatformFixture, machine: &Machine, oidc_token: Option<&str>) {
    let file = machine.path("workspace/seen");
    let mut secrets = vec![("auth token", platform.agent.auth_token.as_str())];
    secrets.extend(oidc_token.map(|token| ("OIDC token", token)));
    let seen = seen(&file, &secrets).unwrap();
    assert_eq!(seen.finds, Vec::<String>::new());
    assert!(!seen.readable.is_empty(), "the command could not inspect a process: {seen:?}");
    fs::remove_file(file).unwrap();
}

#[test]
fn a_command_of_the_orb_that_reads_every_environment_finds_no_auth_token() {
    let mut platform = PlatformFixture::start(&CIRCLECI);
    let machine = machine_of(&mut platform, "job-1");
    let codes = Job::of(&machine, &[run(&look("seen"))]).finish();
    assert_eq!(codes["Run with a grant"], Some(0), "{}", machine.logs());
    assert_hidden(&platform, &machine, None);
    platform.assert_ended("step finished · exit 0");
}

#[test]
fn a_command_of_the_pipe_that_reads_every_environment_finds_neither_token() {
    let mut platform = PlatformFixture::start(&BITBUCKET);
    let machine = bitbucket_machine_of(&mut platform, "{step}");
    let command = look("seen");
    let step = pipe(&machine, &[("POLICY", "orders-read"), ("COMMAND", &command)]);
    assert_eq!(step.finish(), Some(0), "{}", machine.logs());
    let oidc_token = machine.variable("BITBUCKET_STEP_OIDC_TOKEN").to_owned();
    assert_hidden(&platform, &machine, Some(&oidc_token));
    platform.assert_ended("step finished · exit 0");
}
