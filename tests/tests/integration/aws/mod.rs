//! Tests the AWS target against emulators of AWS.

use std::sync::LazyLock;

use system_tests::aws::ministack::Ministack;

mod account_role;
mod accounts;
mod calls;
mod deadlines;
mod emulators;
mod fault_proxy;
mod kill_matrix;
mod leaks;
mod modes;
mod moto;
mod quotas;
mod reconcile;
mod run;
mod terraform;

/// One emulator for every test that does not move the clock; each test has its own account in it.
pub(crate) static SHARED: LazyLock<Ministack> = LazyLock::new(Ministack::shared);
