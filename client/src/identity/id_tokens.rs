//! Variables that hold an OIDC token for the broker under a name of the user's choice.

use protocol::Secret;

use super::unverified::UnverifiedClaims;
use crate::environment::Env;

/// The variables `…_ID_TOKEN` that hold a token for this audience.
pub(super) fn id_tokens_for<'a>(env: &'a Env, audience: &str) -> Vec<&'a str> {
    env.names().filter(|name| holds_id_token_for(env, name, audience)).collect()
}

/// Whether the variable is an `…_ID_TOKEN` with a token for this audience.
pub(crate) fn holds_id_token_for(env: &Env, name: &str, audience: &str) -> bool {
    name.ends_with("_ID_TOKEN")
        && env
            .get_named_by_user(name)
            .and_then(|value| UnverifiedClaims::read(&Secret::new(value)).ok())
            .is_some_and(|claims| claims.audiences().contains(&audience))
}
