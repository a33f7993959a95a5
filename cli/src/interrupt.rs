//! Interrupts while `elevate` waits for its grant.

use crate::error::CliError;
use crate::run::parent::Watch;
use crate::run::signals::Signals;

/// Completes when an interrupt comes, also if it came before the wait.
pub(crate) struct Interrupt(Signals);

impl Interrupt {
    /// Handles Ctrl-C, and on Unix TERM, HUP and QUIT, from now on; ignored signals stay ignored. Call it once per process,
    /// in the runtime.
    pub(crate) fn listen() -> Result<Self, CliError> {
        let signals = Signals::take(Watch::Off)
            .map_err(|error| CliError::unexpected(format!("interrupts cannot be taken: {error}")))?;
        Ok(Self(signals))
    }

    pub(crate) async fn received(&mut self) {
        self.0.next_that_asks_to_end().await;
    }
}
