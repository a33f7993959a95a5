//! Signing keys: there is always one, and a new one in time.

use std::time::Duration;

use signing::{PUBLISHED_FIRST, SigningKey};
use store::StoredKey;

use crate::clock::random;
use crate::{Engine, Refusal};

/// How long a key stays in the JWKS once another signs: the longest grant and an hour.
const KEPT: Duration = Duration::from_secs(25 * 60 * 60);

impl Engine {
    /// Makes the first key, makes the next one when the newest is old, forgets those whose signatures are all
    /// dead, and uses what is in the store (another broker may have made it).
    pub(crate) async fn tend_signing_keys(&self) -> Result<(), Refusal> {
        let now = self.clock.now();
        let stored = self.store.signing_keys().await?;
        let newest = stored.last();
        if newest.is_none_or(|key| now.since(key.created_at) >= self.settings.get().signing_key_age) {
            let (key, private_pem) =
                SigningKey::from_random(random(self.random.as_ref())?, now).map_err(internal)?;
            let new = StoredKey { kid: key.kid().to_owned(), private_pem, created_at: now };
            self.store.add_signing_key(&new, newest.map(|key| key.kid.as_str())).await?;
        }
        // Since this one signs, no older one does; what those signed has expired by now. It need not be the
        // newest: where keys are made every day, the newest never comes to that age.
        let signed_for_long = |key: &&StoredKey| now.since(key.created_at) >= KEPT + PUBLISHED_FIRST;
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
