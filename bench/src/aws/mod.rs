//! Measures what a grant in AWS adds to AWS's own time, and how soon its access ends.
//!
//! Runs against the emulator of the tests and measures from the client's side. `refused` also runs in a real account.

mod own_cost;
mod proxy;
mod refused;
mod whole_run;

use anyhow::Result;
use system_tests::aws::fixture::{AwsFixture, Mode, Setting};
use system_tests::aws::ministack::Ministack;

use crate::Effort;
use crate::figures::Report;
use crate::programs::Programs;
use proxy::Proxy;

pub(crate) use refused::Real;

/// All figures of the AWS target. Needs the tools that `cargo xtask test` installs.
pub(crate) fn measure(programs: Programs, effort: Effort, report: &mut Report) -> Result<()> {
    system_tests::programs::use_these(programs.client, programs.broker);
    let emulator = Ministack::start();
    let proxy = Proxy::in_front_of(&emulator.url())?;
    report.section("aws");
    own_cost::measure(&emulator, &proxy, effort, report)?;
    refused::measure(&emulator, &proxy, effort, report)?;
    whole_run::measure(&emulator, &proxy, effort, report)
}

/// A new account, and a broker that calls AWS through the proxy. Verification and sweeps run long after the
/// measurement, so that their calls are not counted.
fn fixture<'a>(emulator: &'a Ministack, proxy: &Proxy) -> AwsFixture<'a> {
    AwsFixture::with(emulator, &Setting { settle: "10m", late: "10m", ..Setting::in_front_of(&proxy.url) })
}

/// Name of each mode in docs/book/src/targets/aws.md.
fn name(mode: Mode) -> &'static str {
    match mode {
        Mode::StaticInline => "static-principal, inline",
        Mode::StaticAttached => "static-principal, attached",
        Mode::UserInline => "static-access-keys, inline",
        Mode::UserAttached => "static-access-keys, attached",
        Mode::Session => "dynamic-access-keys",
        Mode::Role => "dynamic-role",
        Mode::Pod => "pod-identity",
    }
}
