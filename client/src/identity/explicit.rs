//! An OIDC token that the environment names explicitly.

use protocol::Secret;

use super::error::IdentityError;
use super::token_source::TokenSource;
use crate::environment::Env;

/// The platform's name where no platform is detected.
pub(super) const NAME: &str = "explicit";

pub(super) const AUDIENCE_HINT: &str = "mint the token for the audience that the agent's trust rule names, or set `CLOUDANIX_AUDIENCE` to the one it has";

/// The token of `CLOUDANIX_OIDC_TOKEN` or `CLOUDANIX_OIDC_TOKEN_FILE`.
pub(super) fn source(env: &Env) -> Result<Option<TokenSource>, IdentityError> {
    match (env.get("CLOUDANIX_OIDC_TOKEN"), env.get("CLOUDANIX_OIDC_TOKEN_FILE")) {
        (None, None) => Ok(None),
        (Some(token), None) => Ok(Some(TokenSource::Variable {
            name: "CLOUDANIX_OIDC_TOKEN".to_owned(),
            token: Secret::new(token.trim()),
        })),
        (None, Some(path)) => Ok(Some(TokenSource::File(path.into()))),
        (Some(_), Some(_)) => Err(IdentityError::TwoOverrides),
    }
}

/// The variable that holds the token on GitLab and Jenkins: its name is the user's choice.
pub(super) fn chosen_variable(env: &Env) -> &str {
    env.get("CLOUDANIX_OIDC_TOKEN_VARIABLE").unwrap_or("CLOUDANIX_ID_TOKEN")
}

/// The token in the variable of the user's choice.
pub(super) fn chosen_token(env: &Env) -> Option<TokenSource> {
    let name = chosen_variable(env);
    let token = Secret::new(env.get_named_by_user(name)?.trim());
    Some(TokenSource::Variable { name: name.to_owned(), token })
}
