//! Housekeeping: rotates signing keys, ends the grants of disabled agents, purges records whose time is over.

use std::time::Duration;

use signing::{PUBLISHED_FIRST, SigningKey};
use store::StoredKey;

use crate::clock::random;
use crate::{Engine, Refusal};

/// How long a key stays in the JWKS after another one signs: the longest grant, and an hour.
const PUBLISHED_AFTER: Duration = Duration::from_secs(25 * 60 * 60);

impl Engine {
    /// The worker calls this every 30 s.
    pub async fn housekeeping(&self) -> Result<(), Refusal> {
        self.rotate_signing_keys().await?;
        self.end_grants_of_disabled().await?;
        Ok(self.store.purge(self.clock.now(), self.settings.load().keep_decisions).await?)
    }

    /// Creates the first key, creates the next one when the newest is old, removes keys whose signatures have all
    /// expired, and loads the keys of the store: another replica may have created one.
    pub(crate) async fn rotate_signing_keys(&self) -> Result<(), Refusal> {
        let now = self.clock.now();
        let stored = self.store.signing_keys().await?;
        let newest = stored.last();
        if newest.is_none_or(|key| now.since(key.created_at) >= self.settings.load().signing_key_age) {
            let (key, private_pem) =
                SigningKey::from_random(random(self.random.as_ref())?, now).map_err(internal)?;
            let new = StoredKey { kid: key.kid().to_owned(), private_pem, created_at: now };
            self.store.add_signing_key(&new, newest.map(|key| key.kid.as_str())).await?;
        }
        // No key older than this one has signed since, and what those signed has expired. Not necessarily the newest
        // key: with a new key every day, the newest never reaches that age.
        let signed_for_long =
            |key: &&StoredKey| now.since(key.created_at) >= PUBLISHED_AFTER + PUBLISHED_FIRST;
        if let Some(youngest) = stored.iter().rfind(signed_for_long) {
            self.store.remove_signing_keys(youngest.created_at).await?;
        }
        let keys = self
            .store
            .signing_keys()
            .await?
            .iter()
            .map(|key| SigningKey::from_pem(&key.kid, &key.private_pem, key.created_at))
            .collect::<Result<Vec<_>, _>>()
            .map_err(internal)?;
        self.issuer.set_keys(keys);
        Ok(())
    }
}

fn internal(error: signing::SigningError) -> Refusal {
    Refusal::new(protocol::ErrorCode::Internal, "a signing key cannot be used").because(error)
}
