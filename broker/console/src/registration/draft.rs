//! The answers so far, and the file that follows from them.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use toml::Value;

use super::platforms::{TEMPLATES, Template, template};
use super::questions::Step;
use super::targets::target;
use crate::text::line_feeds;

/// Before the name of a claim that is asked for.
pub(super) const CLAIM: &str = "claim:";
/// The answers that are no claims.
pub(crate) const KEYS: [&str; 17] = [
    "id",
    "description",
    "use_case",
    "target",
    "account",
    "region",
    "principal",
    "permissions_boundary",
    "cluster",
    "namespace",
    "service_account",
    "policies",
    "max_session",
    "platform",
    "issuer",
    "audience",
    "more_claims",
];

/// The answers by name; what is not asked for is left out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Draft(BTreeMap<String, String>);

impl FromIterator<(String, String)> for Draft {
    fn from_iter<T: IntoIterator<Item = (String, String)>>(answers: T) -> Self {
        let is_asked = |name: &str| KEYS.contains(&name) || name.starts_with(CLAIM);
        let trimmed = answers.into_iter().map(|(name, answer)| (name, line_feeds(answer.trim())));
        Self(trimmed.filter(|(name, answer)| is_asked(name) && !answer.is_empty()).collect())
    }
}

impl Draft {
    pub(super) fn get(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }

    pub(super) fn or<'a>(&'a self, name: &str, otherwise: &'a str) -> &'a str {
        self.0.get(name).map_or(otherwise, String::as_str)
    }

    pub(super) fn answers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, answer)| (name.as_str(), answer.as_str()))
    }

    /// Without the issuer and the audience of another platform, which was chosen before this one.
    #[must_use]
    pub fn for_its_platform(mut self) -> Self {
        let chosen = template(self.get("platform")).platform;
        let issuer = self.get("issuer");
        let of_another = |other: &Template| other.platform != chosen && other.issuer == issuer;
        if !issuer.is_empty() && TEMPLATES.iter().any(of_another) {
            self.0.retain(|name, _| name != "issuer" && name != "audience");
        }
        self
    }

    /// The registration with the answers up to this step, and with examples for the steps behind it.
    pub fn registration(&self, up_to: Step) -> Result<String, String> {
        let mut file = String::new();
        let text = |text: &str| Value::String(text.to_owned()).to_string();
        let _ = writeln!(file, "id          = {}", text(self.get("id")));
        let _ = writeln!(file, "description = {}", text(self.get("description")));
        let _ = writeln!(file, "use_case    = {}", text(self.or("use_case", "build-workflow")));
        let max_session = if up_to >= Step::Boundary { self.get("max_session") } else { "1h" };
        let _ = writeln!(file, "max_session = {}", text(max_session));
        file.push_str("\n[[trust]]\n");
        match up_to {
            Step::Trust => self.trust(&mut file)?,
            Step::Agent | Step::Boundary => file.push_str(
                "issuer = \"https://issuer.example.com\"\naudience = \"a\"\nplatform = \"oidc\"\nclaims = { sub = \"s\" }\n",
            ),
        }
        file.push_str("\n[boundary]\n");
        match up_to {
            Step::Trust | Step::Boundary => self.boundary(&mut file)?,
            Step::Agent => file.push_str("target = \"token\"\npolicies = { p = \"p\" }\n"),
        }
        Ok(file)
    }

    fn trust(&self, file: &mut String) -> Result<(), String> {
        let mut claims = Vec::new();
        for (name, value) in
            self.0.iter().filter_map(|(name, value)| Some((name.strip_prefix(CLAIM)?, value)))
        {
            if template(self.get("platform")).claims.iter().any(|claim| claim.name == name) {
                claims.push((name.to_owned(), value.clone()));
            }
        }
        claims.extend(pairs("more_claims", self.get("more_claims"))?);
        let rule = |value: String| match value.contains('*') {
            true => format!("{{ glob = {} }}", Value::String(value)),
            false => Value::String(value).to_string(),
        };
        let claims = claims.into_iter().map(|(name, value)| (name, rule(value)));
        for (key, value) in [
            ("issuer", self.get("issuer")),
            ("audience", self.get("audience")),
            ("platform", template(self.get("platform")).platform),
        ] {
            let _ = writeln!(file, "{key:<8} = {}", Value::String(value.to_owned()));
        }
        let _ = writeln!(file, "claims   = {}", inline_table(claims));
        Ok(())
    }

    fn boundary(&self, file: &mut String) -> Result<(), String> {
        let target = target(self.get("target"));
        let mut keys = vec![("target", target.target)];
        keys.extend((!target.auth_mode.is_empty()).then_some(("auth_mode", target.auth_mode)));
        keys.extend(target.fields.iter().map(|field| (field.key, self.get(field.key))));
        keys.retain(|(_, value)| !value.is_empty());
        let width = keys.iter().map(|(key, _)| key.len()).max().unwrap_or(0).max("policies".len());
        for (key, value) in keys {
            let _ = writeln!(file, "{key:<width$} = {}", Value::String(value.to_owned()));
        }
        let policies = pairs("policies", self.get("policies"))?;
        let policies = policies.into_iter().map(|(name, value)| (name, Value::String(value).to_string()));
        let _ = writeln!(file, "{:<width$} = {}", "policies", inline_table(policies));
        Ok(())
    }
}

/// One `name = value` on each line.
fn pairs(key: &str, text: &str) -> Result<Vec<(String, String)>, String> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let pair = |line: &str| {
        let pair = line.split_once('=').map(|(name, value)| (name.trim(), value.trim()));
        let pair = pair.filter(|(name, value)| !name.is_empty() && !value.is_empty());
        pair.map(|(name, value)| (name.to_owned(), value.to_owned()))
            .ok_or_else(|| format!("{key}: expected `name = value` on each line, found `{line}`"))
    };
    lines.map(pair).collect()
}

/// With values that are TOML already.
fn inline_table(pairs: impl Iterator<Item = (String, String)>) -> String {
    let is_bare = |key: &str| {
        !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    let pairs = pairs.map(|(key, value)| match is_bare(&key) {
        true => format!("{key} = {value}"),
        false => format!("{} = {value}", Value::String(key)),
    });
    let pairs: Vec<String> = pairs.collect();
    if pairs.is_empty() { "{}".to_owned() } else { format!("{{ {} }}", pairs.join(", ")) }
}
