//! How can a connection be made while what has to come before the first request is still being made?

use tokio::sync::watch;
use tower::BoxError;

/// Connections are made before it is opened, and nothing is sent on them.
#[derive(Clone)]
pub(crate) struct Gate(watch::Sender<bool>);

impl Gate {
    pub(crate) fn closed() -> Self {
        Self(watch::Sender::new(false))
    }

    /// From now on requests go out.
    pub(crate) fn open(&self) {
        self.0.send_replace(true);
    }

    /// Whether a request can have gone out.
    pub(crate) fn is_open(&self) -> bool {
        *self.0.borrow()
    }

    /// Hands out what `connecting` comes to, but not before it is open.
    pub(super) async fn hold<T>(
        self,
        connecting: impl Future<Output = Result<T, BoxError>>,
    ) -> Result<T, BoxError> {
        let connected = connecting.await?;
        self.0.subscribe().wait_for(|open| *open).await?;
        Ok(connected)
    }
}
