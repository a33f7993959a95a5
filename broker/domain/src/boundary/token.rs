//! The schema of a boundary with `target = "token"`.

use super::Policies;
use super::keys::{Keys, Refused};

/// This broker's own tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenScope {
    /// Each policy is a scope of OAuth 2.0.
    pub policies: Policies<OauthScope>,
}

/// One scope of a token's `scope` claim: `orders:read`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OauthScope(String);

impl OauthScope {
    /// As in the claim.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// RFC 6749, 3.3: printable ASCII without space, quote and backslash.
    fn parse(text: &str) -> Result<Self, String> {
        let valid = !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic() && b != b'"' && b != b'\\');
        if !valid {
            return Err(format!(
                "`{text}` is not a scope: expected printable ASCII without spaces, `\"` and `\\`"
            ));
        }
        Ok(Self(text.to_owned()))
    }
}

pub(crate) fn parse(mut keys: Keys) -> Result<TokenScope, Refused> {
    let policies = keys.policies(OauthScope::parse)?;
    keys.finish("target = \"token\"")?;
    Ok(TokenScope { policies })
}
