//! The end of the process that started this one, which Windows reports only to unsafe code.

use jit_client::Env;

use crate::args::DieWithParent;
use crate::error::CliError;

/// The process that started this one.
pub(crate) struct Parent;

/// Watches nothing.
pub(crate) enum Watch {
    /// The parent is not watched.
    Off,
}

impl Parent {
    /// Reads nothing.
    pub(crate) fn of_this_process() -> Self {
        Self
    }

    /// Fails if the command line requires a watch.
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
