//! Did somebody press Ctrl-C, or ask us to end, while a grant was being asked for?

use std::sync::Arc;

use tokio::sync::Notify;

use crate::error::CliError;

/// Becomes ready when an interrupt comes, also when it came before anybody waited.
#[derive(Clone)]
pub(crate) struct Interrupt(Arc<Notify>);

impl Interrupt {
    /// Takes Ctrl-C, and on Unix TERM and HUP, from here on. Once per process.
    pub(crate) fn listen() -> Result<Self, CliError> {
        let notify = Arc::new(Notify::new());
        let told = Arc::clone(&notify);
        ctrlc::set_handler(move || told.notify_one())
            .map_err(|error| CliError::unexpected(format!("interrupts cannot be taken: {error}")))?;
        Ok(Self(notify))
    }

    pub(crate) async fn came(&self) {
        self.0.notified().await;
    }
}
