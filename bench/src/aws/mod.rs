//! What does a grant in AWS cost on top of what AWS takes, and how soon is it gone?
//!
//! Before the emulator of the tests, and seen from where a user stands. `refused` can be taken to a real account.

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

/// All figures of the AWS target. Needs what `cargo xtask test` sets up.
pub(crate) fn measure(programs: Programs, effort: Effort, report: &mut Report) -> Result<()> {
    system_tests::programs::use_these(programs.client, programs.broker);
    let emulator = Ministack::start();
    let proxy = Proxy::in_front_of(&emulator.url())?;
    report.section("aws");
    own_cost::measure(&emulator, &proxy, effort, report)?;
    refused::measure(&emulator, &proxy, effort, report)?;
    whole_run::measure(&emulator, &proxy, effort, report)
}

/// A broker before the proxy, and a new account. What it does later (reading back, sweeping) it does long after
/// everything was measured, and is not taken for the cost of something else.
fn fixture<'a>(emulator: &'a Ministack, proxy: &Proxy) -> AwsFixture<'a> {
    AwsFixture::with(emulator, &Setting { settle: "10m", late: "10m", ..Setting::in_front_of(&proxy.url) })
}

/// What is measured of each mode, in the words of docs/book/src/targets/aws.md.
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
