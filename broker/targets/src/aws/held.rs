//! How is a call got ready before it may go? The SDK makes and signs it, and its client holds it back.
//!
//! Two things are waited for: the leave to do the step at all, and the account's gate. Only then does a call take its
//! turn, so one that never gets leave takes nobody else's.

use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::connector_metadata::ConnectorMetadata;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient,
    SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::runtime_components::{RuntimeComponents, RuntimeComponentsBuilder};
use aws_smithy_types::config_bag::ConfigBag;

use crate::leave::Leave;

tokio::task_local! {
    /// What every call of a step waits for.
    static STEP: Leave;
    /// What the call that is being made waits for.
    static CALL: Leave;
}

/// Does a step; none of its calls goes before it has leave.
pub(super) async fn step<T>(leave: Leave, doing: impl Future<Output = T>) -> T {
    STEP.scope(leave, doing).await
}

/// Comes back when the step of this call has leave; at once where nobody has to give any.
pub(super) async fn step_has_leave() {
    if let Ok(leave) = STEP.try_with(Leave::clone) {
        leave.had().await;
    }
}

/// Makes a call; it does not go before it has leave.
pub(super) async fn call<T>(leave: Leave, sending: impl Future<Output = T>) -> T {
    CALL.scope(leave, sending).await
}

/// The SDK's client, behind the leave.
#[derive(Debug)]
pub(super) struct HeldClient(pub(super) SharedHttpClient);

#[derive(Debug)]
struct HeldConnector(SharedHttpConnector);

impl HttpClient for HeldClient {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(HeldConnector(self.0.http_connector(settings, components)))
    }

    fn validate_base_client_config(
        &self,
        components: &RuntimeComponentsBuilder,
        config: &ConfigBag,
    ) -> Result<(), BoxError> {
        self.0.validate_base_client_config(components, config)
    }

    fn validate_final_config(
        &self,
        components: &RuntimeComponents,
        config: &ConfigBag,
    ) -> Result<(), BoxError> {
        self.0.validate_final_config(components, config)
    }

    fn connector_metadata(&self) -> Option<ConnectorMetadata> {
        self.0.connector_metadata()
    }
}

impl HttpConnector for HeldConnector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let connector = self.0.clone();
        HttpConnectorFuture::new(async move {
            // Also one that is sent past `call`.
            step_has_leave().await;
            if let Ok(leave) = CALL.try_with(Leave::clone) {
                leave.had().await;
            }
            connector.call(request).await
        })
    }
}
