//! Has the process that started this one ended? Windows reports it only to unsafe code.

use crate::args::DieWithParent;
use crate::environment::Env;
use crate::error::CliError;

/// The process that started this one.
pub(crate) struct Parent;

/// Watches nothing.
pub(crate) enum Watch {
    /// As it says.
    Off,
}

impl Parent {
    /// Not looked for.
    pub(crate) fn of_this_process() -> Self {
        Self
    }

    /// An error where it was asked for by name.
    pub(crate) fn watch(self, when: DieWithParent, _env: &Env) -> Result<Watch, CliError> {
        match when {
            DieWithParent::Auto | DieWithParent::Never => Ok(Watch::Off),
            DieWithParent::Always => Err(CliError::usage("`--die-with-parent`: expected a Unix system")
                .with_hint(
                    "on Windows the end of the parent process cannot be watched: leave the option out",
                )),
        }
    }
}
