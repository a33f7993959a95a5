//! A store at which the process can die: before a transaction, or after its commit and before the broker knows of it.

use std::sync::Arc;

use store::{Store, StoreError};
use testkit::decorate_store;

use super::Gate;

/// At these no process dies: they change no grant, no agent and no lock.
const WITHOUT_BOUNDARY: [&str; 14] = [
    "ping",
    "agent",
    "agents",
    "credential",
    "tokens",
    "grant",
    "grant_by_key",
    "list",
    "count_by_status",
    "events",
    "signing_keys",
    "add_signing_key",
    "remove_signing_keys",
    "forget",
];

pub(crate) struct GatedStore {
    pub(crate) inner: Arc<dyn Store>,
    pub(crate) gate: Arc<Gate>,
}

decorate_store!(GatedStore, inner, around);

impl GatedStore {
    fn inner(&self) -> &dyn Store {
        &*self.inner
    }

    async fn around<T>(
        &self,
        method: &str,
        call: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> Result<T, StoreError> {
        if WITHOUT_BOUNDARY.contains(&method) {
            return self.gate.working(call).await;
        }
        // A read: what happens before it, happens before the call that came before.
        if method != "shared_with" {
            self.gate.pass().await;
        }
        let done = self.gate.working(call).await;
        self.gate.pass().await;
        done
    }
}
