//! `[operators.NAME]` and `[introspectors.NAME]`: the tokens that the broker accepts, by name.

use std::collections::BTreeMap;
use std::fmt;

use anyhow::Context;
use engine::NamedToken;
use protocol::OperatorName;
use serde::Deserialize;

/// Tokens by name.
pub type Tokens = BTreeMap<OperatorName, Token>;

/// One token, known by its hash.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Token {
    /// SHA-256 in hexadecimal.
    pub sha256: String,
}

/// What a token is for; each kind has its own table in the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenKind {
    /// May do everything.
    Operator,
    /// May introspect tokens.
    Introspection,
    /// May report posture as one source.
    Posture,
}

impl TokenKind {
    /// The table that holds tokens of this kind.
    fn table(self) -> &'static str {
        match self {
            Self::Operator => "operators",
            Self::Introspection => "introspectors",
            Self::Posture => "posture",
        }
    }

    /// The list of hashes without names in which earlier versions held tokens of this kind.
    fn unnamed_list(self) -> Option<&'static str> {
        match self {
            Self::Operator => Some("operator_token_hashes"),
            Self::Introspection => Some("introspection_token_hashes"),
            Self::Posture => None,
        }
    }

    /// The command that makes a token of this kind.
    fn command(self) -> &'static str {
        match self {
            Self::Operator => "operator-token",
            Self::Introspection => "introspection-token",
            Self::Posture => "posture-token",
        }
    }
}

/// The entry of one token, as it is pasted into the configuration.
pub(crate) struct Entry<'a> {
    pub(crate) kind: TokenKind,
    pub(crate) name: &'a OperatorName,
    pub(crate) hash: &'a str,
}

impl fmt::Display for Entry<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, name, hash } = self;
        write!(f, "[{}.{name}]\nsha256 = \"{hash}\"", kind.table())?;
        match kind {
            TokenKind::Operator | TokenKind::Introspection => Ok(()),
            TokenKind::Posture => f.write_str("\nmax_age_minutes = 1440"),
        }
    }
}

/// Checks the form of the tables before they are parsed: the parser's errors would show a token that was written in the
/// place of its hash. Refuses the lists of hashes without names, and shows the form to use instead.
pub(super) fn check_form(file: &toml::Table) -> anyhow::Result<()> {
    for kind in [TokenKind::Operator, TokenKind::Introspection] {
        let table = kind.table();
        if let Some(list) = kind.unnamed_list().filter(|list| file.contains_key(*list)) {
            anyhow::bail!(
                "`{list}`: each token has a name: expected `{table}.NAME.sha256 = \"…\"` for each hash instead of the list"
            );
        }
        let Some(tokens) = file.get(table) else { continue };
        let tokens = tokens
            .as_table()
            .with_context(|| format!("`{table}`: expected `{table}.NAME.sha256 = \"…\"` for each token"))?;
        for (name, token) in tokens {
            let hash =
                token.as_table().filter(|token| token.len() == 1).and_then(|token| token.get("sha256"));
            anyhow::ensure!(
                hash.is_some_and(toml::Value::is_str),
                "`{table}.{name}`: expected a table with the key `sha256` and no other"
            );
        }
    }
    Ok(())
}

/// Checks the form of each hash, and that no two names share one.
pub(super) fn check(kind: TokenKind, tokens: &Tokens) -> anyhow::Result<()> {
    let (table, command) = (kind.table(), kind.command());
    let mut names: BTreeMap<&str, &OperatorName> = BTreeMap::new();
    for (name, Token { sha256 }) in tokens {
        anyhow::ensure!(
            is_hash(sha256),
            "`{table}.{name}.sha256`: expected SHA-256 in 64 hexadecimal digits, as `cloudanix-jit-broker {command}` \
             prints it"
        );
        if let Some(other) = names.insert(sha256, name) {
            anyhow::bail!(
                "`{table}.{name}.sha256`: expected a token of its own, found the one of `{table}.{other}`"
            );
        }
    }
    Ok(())
}

/// Whether this is SHA-256 in hexadecimal.
pub(super) fn is_hash(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

/// As the engine takes them.
pub(super) fn named(tokens: &Tokens) -> Vec<NamedToken> {
    tokens.iter().map(|(name, token)| NamedToken { name: name.clone(), hash: token.sha256.clone() }).collect()
}
