//! How is a call got ready before it may go? The SDK makes and signs it, and its client holds it back.
//!
//! Two things are waited for: the leave to do the step at all, and the account's gate. Only then does a call take its
//! turn, so one that never gets leave takes nobody else's.
//!
//! The last thing before a request goes to the HTTP client is a look at the claim: a driver that lost it sends nothing.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::connector_metadata::ConnectorMetadata;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient,
    SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::{RuntimeComponents, RuntimeComponentsBuilder};
use aws_smithy_types::config_bag::ConfigBag;

use crate::claim::Claim;
use crate::leave::Leave;

/// IAM answers within a second or two or not at all; a worker must not hang on one that does not.
pub(super) const ANSWERED_WITHIN: Duration = Duration::from_secs(5);

/// The call was not sent: its claim ends before it could be answered.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the claim under which it was to be sent has lapsed")]
pub(super) struct Lapsed;

tokio::task_local! {
    /// What every call of a step waits for.
    static STEP: Leave;
    /// What the call that is being made waits for.
    static CALL: Leave;
}

/// Does a step; none of its calls goes before it has leave. Boxed, as the calls are: the SDK's futures are large, and a
/// step in its use case took more than the two megabytes of a thread's stack in a debug build.
pub(super) async fn step<T>(leave: Leave, doing: impl Future<Output = T>) -> T {
    STEP.scope(leave, Box::pin(doing)).await
}

/// Comes back when the step of this call has leave, with the claim for it; at once where none is needed.
pub(super) async fn step_has_leave() -> Claim {
    match STEP.try_with(Leave::clone) {
        Ok(leave) => leave.had().await,
        Err(_) => Claim::not_needed(),
    }
}

/// Makes a call; it does not go before it has leave.
pub(super) async fn call<T>(leave: Leave, sending: impl Future<Output = T>) -> T {
    CALL.scope(leave, Box::pin(sending)).await
}

/// Goes on with a call only as long as its claim lasts; nothing if it was dropped. A machine that was paused while the
/// connection was being made does not send the request when it goes on.
pub(super) async fn while_claimed<F: Future>(claim: &Claim, mut sending: Pin<&mut F>) -> Option<F::Output> {
    poll_fn(|context| match claim.lasts_for(Duration::ZERO) {
        true => sending.as_mut().poll(context).map(Some),
        false => Poll::Ready(None),
    })
    .await
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
            let claim = step_has_leave().await;
            if let Ok(leave) = CALL.try_with(Leave::clone) {
                leave.had().await;
            }
            if !claim.lasts_for(ANSWERED_WITHIN) {
                return Err(ConnectorError::user(Lapsed.into()));
            }
            connector.call(request).await
        })
    }
}
