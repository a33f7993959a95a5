//! How is the broker asked something while a step runs, without keeping the revoke waiting? By connections of
//! our own.

use protocol::actions::Action;
use protocol::{GrantId, IdempotencyKey};

use crate::api::{Broker, Renewed, Reported};
use crate::error::CliError;

/// The broker, for one grant.
pub(crate) struct Aside {
    broker: Broker,
    grant: GrantId,
    key: IdempotencyKey,
}

impl Aside {
    /// By `broker`'s settings, not its connections.
    pub(crate) fn of(broker: &Broker, grant: &GrantId, key: &IdempotencyKey) -> Result<Self, CliError> {
        Ok(Self { broker: broker.beside()?, grant: grant.clone(), key: key.clone() })
    }

    /// New credentials.
    pub(crate) async fn renew(&self) -> Result<Renewed, CliError> {
        self.broker.renew(&self.grant, &self.key).await
    }

    /// What the step was seen to do.
    pub(crate) async fn report(&self, actions: Vec<Action>) -> Result<Reported, CliError> {
        self.broker.report(&self.grant, &self.key, actions).await
    }
}
