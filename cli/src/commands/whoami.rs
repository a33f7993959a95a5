//! `whoami`: the platform, the token's claims and the facts of the run, each with its source.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use jit_client::identity::{Files, Identity, UnverifiedClaims, audience, detect};
use jit_client::{Connections, Env, Network, system_clock};
use protocol::Timestamp;
use protocol::printable::printable;
use serde_json::{Map, Value, json};

use super::block_on;
use crate::args::{View, WhoamiArgs};
use crate::error::CliError;
use crate::output::Output;

pub(crate) fn run(args: WhoamiArgs, env: &Env, output: &mut Output) -> Result<(), CliError> {
    let Some(identity) = detect(env, &Files::system())? else {
        return match args.output {
            View::Text => output.data("platform  none found\n"),
            View::Json => output.json(&json!({ "platform": null })),
        };
    };
    let http = Network::from_env(env).client(Connections::Kept)?;
    let audience = audience(env);
    let looked = block_on(async { Ok(identity.claims(&http, audience).await) })?;
    // Prints the known facts before the error: the environment often explains it.
    let view = WhoAmI { identity: &identity, audience, claims: looked.as_ref().ok() };
    match args.output {
        View::Text => output.data(&view.text())?,
        View::Json => output.json(&view.json())?,
    }
    Ok(identity.check(&looked?, audience, system_clock())?)
}

/// The output. It has no token, so that none is printed by mistake.
struct WhoAmI<'a> {
    identity: &'a Identity,
    audience: &'a str,
    claims: Option<&'a UnverifiedClaims>,
}

impl WhoAmI<'_> {
    fn text(&self) -> String {
        let mut text = String::new();
        let (platform, source) = (self.identity.platform(), self.identity.token_source());
        let audience = self.identity.expected_audience(self.audience);
        let _ = writeln!(text, "platform  {platform}");
        let _ = writeln!(text, "token     {} · audience {}", printable(&source), printable(audience));
        match self.claims {
            Some(claims) => {
                text.push_str("\nsigned claims, which the broker verifies\n");
                // The order of a JSON map depends on the features that other crates of a build enable.
                let sorted: BTreeMap<_, _> = claims.all().iter().collect();
                let row = |(name, value): (&String, &Value)| (printable(name), shown(name, value));
                columns(&mut text, sorted.into_iter().map(row));
            }
            None => text.push_str("\nsigned claims: none, there is no token to read\n"),
        }
        if !self.identity.observed_facts().is_empty() {
            text.push_str("\nfrom the environment, for which nothing vouches\n");
            let said = self.identity.observed_facts().iter();
            columns(
                &mut text,
                said.map(|seen| {
                    (seen.fact.name().to_owned(), format!("{}  ({})", printable(&seen.value), seen.from))
                }),
            );
        }
        text
    }

    fn json(&self) -> Value {
        let environment: Map<String, Value> = self
            .identity
            .observed_facts()
            .iter()
            .map(|seen| (seen.fact.name().to_owned(), json!({ "value": seen.value, "from": seen.from })))
            .collect();
        json!({
            "platform": self.identity.platform(),
            "token_source": self.identity.token_source(),
            "audience": self.identity.expected_audience(self.audience),
            "signed_claims": self.claims.map(UnverifiedClaims::all),
            "environment": environment,
        })
    }
}

fn columns(text: &mut String, rows: impl Iterator<Item = (String, String)>) {
    let rows: Vec<_> = rows.collect();
    let width = rows.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    for (name, value) in rows {
        let _ = writeln!(text, "  {name:<width$}  {value}");
    }
}

fn shown(name: &str, value: &Value) -> String {
    match (name, value.as_str(), value.as_i64()) {
        ("exp" | "iat" | "nbf", _, Some(secs)) => format!("{secs}  ({})", Timestamp::from_secs(secs)),
        (_, Some(text), _) => printable(text),
        _ => printable(&value.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use protocol::Secret;

    use super::*;

    /// A token for this audience with a meaningless signature, valid until 2100.
    fn fake_token(audience: &str) -> Secret {
        let claims = json!({
            "iss": "https://issuer.example", "sub": "repo:o/r", "aud": audience, "exp": 4_102_444_800_i64,
        });
        Secret::new(format!("e30.{}.c2lnbmF0dXJl", URL_SAFE_NO_PAD.encode(claims.to_string())))
    }

    fn shown_for(env: &Env, token: &Secret) -> (String, String) {
        let folder = tempfile::tempdir().unwrap();
        let identity = detect(env, &Files::below(folder.path())).unwrap().unwrap();
        let claims = UnverifiedClaims::read(token).unwrap();
        let view = WhoAmI { identity: &identity, audience: audience(env), claims: Some(&claims) };
        (view.text(), view.json().to_string())
    }

    #[test]
    fn each_claim_says_where_it_came_from_and_the_token_is_not_shown() {
        let token = fake_token("cloudanix-jit");
        let env = Env::from_pairs([
            ("GITLAB_CI", "true"),
            ("CLOUDANIX_ID_TOKEN", token.reveal()),
            ("CI_PROJECT_PATH", "group/app"),
            ("CI_COMMIT_REF_NAME", "main\n  iss  https://forged"),
        ]);
        let (text, json) = shown_for(&env, &token);
        assert_eq!(
            text,
            "platform  gitlab\n\
             token     $CLOUDANIX_ID_TOKEN · audience cloudanix-jit\n\
             \n\
             signed claims, which the broker verifies\n\
             \x20 aud  cloudanix-jit\n\
             \x20 exp  4102444800  (2100-01-01T00:00:00.000Z)\n\
             \x20 iss  https://issuer.example\n\
             \x20 sub  repo:o/r\n\
             \n\
             from the environment, for which nothing vouches\n\
             \x20 repository  group/app  (CI_PROJECT_PATH)\n\
             \x20 ref         main\\u{a}  iss  https://forged  (CI_COMMIT_REF_NAME)\n"
        );
        for part in token.reveal().split('.').filter(|part| part.len() > 4) {
            assert!(!text.contains(part) && !json.contains(part));
        }
        let json: Value = serde_json::from_str(&json).unwrap();
        assert_eq!(json["signed_claims"]["sub"], "repo:o/r");
        assert_eq!(json["environment"]["repository"]["from"], "CI_PROJECT_PATH");
    }
}
