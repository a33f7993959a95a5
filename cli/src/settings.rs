//! The library's settings, with its warnings printed.

use jit_client::{Env, Settings, Warning, auth_token_is_set};
use protocol::Secret;

use crate::error::CliError;
use crate::output::{Mark, Output};
use crate::session;

/// For the commands of an agent.
pub(crate) fn for_agent(env: &Env) -> Result<Settings, CliError> {
    Ok(warned(Settings::for_agent(env)?, env))
}

/// For the commands of operators and persons: the operator token if there is one, else the session.
pub(crate) fn for_operator(env: &Env) -> Result<Settings, CliError> {
    match person(env)? {
        Some(session) => Ok(session),
        None => Ok(Settings::for_operator(env)?),
    }
}

/// For the commands that read grants.
pub(crate) fn for_reader(env: &Env) -> Result<Settings, CliError> {
    match person(env)?.filter(|_| !auth_token_is_set(env)) {
        Some(session) => Ok(session),
        None => Ok(warned(Settings::for_reader(env)?, env)),
    }
}

/// For `revoke`.
pub(crate) fn for_revoke(env: &Env) -> Result<Settings, CliError> {
    match person(env)?.filter(|_| !auth_token_is_set(env)) {
        Some(session) => Ok(session),
        None => Ok(warned(Settings::for_revoke(env)?, env)),
    }
}

/// The session of the person, where there is no operator token.
fn person(env: &Env) -> Result<Option<Settings>, CliError> {
    match env.get("CLOUDANIX_OPERATOR_TOKEN") {
        Some(_) => Ok(None),
        None => session::settings(env),
    }
}

/// The auth token alone, for `doctor`.
pub(crate) fn auth_token(env: &Env) -> Result<Secret, CliError> {
    let read = jit_client::auth_token(env)?;
    print(read.warning.as_slice(), env);
    Ok(read.token)
}

fn warned(settings: Settings, env: &Env) -> Settings {
    print(&settings.warnings, env);
    settings
}

fn print(warnings: &[Warning], env: &Env) {
    let output = Output::new(env);
    for Warning { what, hint } in warnings {
        output.line(Mark::Warning, "token", what);
        output.hint(hint);
    }
}
