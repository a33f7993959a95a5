//! A gate that lets connections be made before the first request may be sent.

use tokio::sync::watch;
use tower::BoxError;

/// Delays requests, not connections, until it is opened.
#[derive(Clone, Debug)]
pub struct Gate(watch::Sender<bool>);

impl Gate {
    /// A closed gate.
    pub fn closed() -> Self {
        Self(watch::Sender::new(false))
    }

    /// Lets requests go out.
    pub fn open(&self) {
        self.0.send_replace(true);
    }

    /// Whether a request may have gone out.
    pub fn is_open(&self) -> bool {
        *self.0.borrow()
    }

    /// Returns the connection when it is made and the gate is open.
    pub(super) async fn wait<T>(
        self,
        connecting: impl Future<Output = Result<T, BoxError>>,
    ) -> Result<T, BoxError> {
        let connected = connecting.await?;
        self.0.subscribe().wait_for(|open| *open).await?;
        Ok(connected)
    }
}
