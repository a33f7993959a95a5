//! The variables that a child process must not inherit.

use crate::environment::Env;
use crate::identity::{audience, holds_id_token_for};

/// The variables that no child process sees: with one of these it could mint an identity, or request a grant, of its
/// own.
pub const SCRUBBED: &[&str] = &[
    "ACTIONS_ID_TOKEN_REQUEST_TOKEN",
    "ACTIONS_ID_TOKEN_REQUEST_URL",
    "ACTIONS_RUNTIME_TOKEN",
    "BITBUCKET_STEP_OIDC_TOKEN",
    "BUILDKITE_AGENT_ACCESS_TOKEN",
    "CIRCLE_OIDC_TOKEN",
    "CIRCLE_OIDC_TOKEN_V2",
    "CLOUDANIX_AUTH_TOKEN",
    "CLOUDANIX_AUTH_TOKEN_FILE",
    "CLOUDANIX_ID_TOKEN",
    "CLOUDANIX_OIDC_TOKEN",
    "CLOUDANIX_OIDC_TOKEN_FILE",
    "CLOUDANIX_OPERATOR_TOKEN",
    "SYSTEM_ACCESSTOKEN",
];

/// The variables to remove from a child's environment: [`SCRUBBED`], and every other variable with a token that was
/// minted for the broker.
///
/// A step's own `VAULT_ID_TOKEN` is minted for another audience and stays.
pub fn scrubbed_for_child(env: &Env) -> Vec<String> {
    let named = env.get("CLOUDANIX_OIDC_TOKEN_VARIABLE");
    let is_scrubbed = |name: &str| {
        SCRUBBED.contains(&name) || named == Some(name) || holds_id_token_for(env, name, audience(env))
    };
    env.names().filter(|name| is_scrubbed(name)).map(str::to_owned).collect()
}

/// The variables to remove from a child's environment that has no grant and works with the credentials that it has:
/// every token that was minted for the broker or is the broker's. What the platform gives to every step stays, because
/// the child may use it.
pub fn scrubbed_for_observed_child(env: &Env) -> Vec<String> {
    let is_the_platforms = |name: &str| SCRUBBED.contains(&name) && !name.starts_with("CLOUDANIX_");
    scrubbed_for_child(env).into_iter().filter(|name| !is_the_platforms(name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::environment::VARIABLES;
    use crate::identity::fake_token;

    #[test]
    fn every_secret_that_is_read_is_kept_from_the_child() {
        for variable in VARIABLES.iter().filter(|variable| variable.secret) {
            assert!(SCRUBBED.contains(&variable.name), "`{}`", variable.name);
        }
        for name in SCRUBBED {
            assert!(VARIABLES.iter().any(|variable| variable.name == *name), "`{name}` is not declared");
        }
    }

    #[test]
    fn tokens_for_the_broker_are_removed_and_the_steps_own_stay() {
        let ours = fake_token("cloudanix-jit");
        let env = Env::from_pairs([
            ("CLOUDANIX_AUTH_TOKEN", "cjat_x"),
            ("CLOUDANIX_OIDC_TOKEN_VARIABLE", "JIT_JWT"),
            ("JIT_JWT", ours.reveal()),
            ("OTHER_NAME_ID_TOKEN", ours.reveal()),
            ("VAULT_ID_TOKEN", fake_token("https://vault.example").reveal()),
            ("NOT_A_JWT_ID_TOKEN", "abc"),
            ("PATH", "/bin"),
        ]);
        assert_eq!(scrubbed_for_child(&env), ["CLOUDANIX_AUTH_TOKEN", "JIT_JWT", "OTHER_NAME_ID_TOKEN"]);
    }
    #[test]
    fn an_observed_child_keeps_what_the_platform_gives_it() {
        let ours = fake_token("cloudanix-jit");
        let env = Env::from_pairs([
            ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "platform's"),
            ("SYSTEM_ACCESSTOKEN", "platform's"),
            ("BITBUCKET_STEP_OIDC_TOKEN", ours.reveal()),
            ("CLOUDANIX_OIDC_TOKEN_VARIABLE", "JIT_JWT"),
            ("JIT_JWT", ours.reveal()),
            ("OTHER_NAME_ID_TOKEN", ours.reveal()),
            ("CLOUDANIX_AUTH_TOKEN", "cjat_x"),
            ("CLOUDANIX_OIDC_TOKEN_FILE", "/run/token"),
            ("AWS_SECRET_ACCESS_KEY", "the step's own"),
        ]);
        assert_eq!(
            scrubbed_for_observed_child(&env),
            ["CLOUDANIX_AUTH_TOKEN", "CLOUDANIX_OIDC_TOKEN_FILE", "JIT_JWT", "OTHER_NAME_ID_TOKEN"]
        );
    }
}
