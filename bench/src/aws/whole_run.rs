//! Measures what a grant adds to a step of one AWS CLI call.

use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Result, ensure};
use system_tests::aws::cli::AwsCli;
use system_tests::aws::fixture::Mode;
use system_tests::aws::ministack::Ministack;

use super::fixture;
use super::proxy::Proxy;
use crate::Effort;
use crate::figures::{Figure, Report, Samples, Target, millis};

const CALL: [&str; 2] = ["ecs", "list-clusters"];

pub(super) fn measure(
    emulator: &Ministack,
    proxy: &Proxy,
    effort: Effort,
    report: &mut Report,
) -> Result<()> {
    let fixture = fixture(emulator, proxy);
    let agent = fixture.agent(Mode::StaticInline);
    let keys = fixture.deploy_session();
    let aws = AwsCli::path();
    let folder = tempfile::tempdir()?;
    // The step calls the emulator directly, so that the proxy records only the broker's calls.
    let with_grant = || {
        let mut command = Command::new(system_tests::programs::client());
        command.args(["run", "--policy", "ecs-read", "--ttl", "15m", "--", &aws]).args(CALL).env_clear();
        command.envs(std::env::var_os("PATH").map(|path| ("PATH", path))).env("LC_ALL", "C.UTF-8");
        command.envs(fixture.cli.environment().iter().cloned()).env("TMPDIR", folder.path());
        command.env("AWS_ACCESS_KEY_ID", &keys.id).env("AWS_SECRET_ACCESS_KEY", &keys.secret);
        command.envs(keys.token.iter().map(|token| ("AWS_SESSION_TOKEN", token)));
        command.env("CLOUDANIX_URL", fixture.broker.url()).env("CLOUDANIX_AGENT_ID", &agent.id);
        command.env("CLOUDANIX_AUTH_TOKEN", &agent.auth_token);
        command
    };
    // The baseline: a principal with a standing permission.
    let everything = system_tests::aws::policies::allow(&["ecs:ListClusters"]);
    let bare_keys = fixture.account.user("standing", &everything);
    let (mut ours, mut bare, mut cloud) = (Samples::default(), Samples::default(), Samples::default());
    let runs = effort.pick(30, 1);
    for run in 0..=runs {
        let (from, to) = timed(&mut with_grant())?;
        let (bare_from, bare_to) = timed(&mut fixture.cli.command(&bare_keys, &CALL))?;
        // One run of each is a warm-up and is not counted.
        if run > 0 {
            ours.push(millis(to.saturating_duration_since(from)));
            cloud.push(millis(proxy.at_work(from, to)));
            bare.push(millis(bare_to.saturating_duration_since(bare_from)));
        }
    }
    report.figure(&Figure {
        claim: "`run -- aws ecs list-clusters`, against the bare command and the cloud's calls for the grant",
        ratio: ours.median() / (bare.median() + cloud.median()),
        target: Target::AtMost(1.05),
        ours: format!("{:.0} ms", ours.median()),
        other: format!("bare {:.0} ms, cloud {:.0} ms", bare.median(), cloud.median()),
        runs,
    });
    Ok(())
}

fn timed(command: &mut Command) -> Result<(Instant, Instant)> {
    let begin = Instant::now();
    let output = command.stdin(Stdio::null()).output()?;
    let end = Instant::now();
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok((begin, end))
}
