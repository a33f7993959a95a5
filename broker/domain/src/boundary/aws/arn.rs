//! Parses the ARNs of IAM.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A role, user or policy: `arn:PARTITION:iam::ACCOUNT:KIND/PATH/NAME`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct IamArn {
    text: String,
    account: String,
    kind: IamKind,
    name: String,
}

/// The kind of resource that an [`IamArn`] names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum IamKind {
    /// `role/…`
    Role,
    /// `user/…`
    User,
    /// `policy/…`
    Policy,
}

impl IamKind {
    const ALL: [Self; 3] = [Self::Role, Self::User, Self::Policy];

    /// As in an ARN.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Role => "role",
            Self::User => "user",
            Self::Policy => "policy",
        }
    }
}

impl IamArn {
    /// Parses an ARN of the expected kind.
    pub fn parse(text: &str, expected: IamKind) -> Result<Self, String> {
        let wrong = || {
            let kind = expected.as_str();
            format!("`{text}` is not a {kind}'s ARN: expected `arn:aws:iam::123456789012:{kind}/NAME`")
        };
        let mut parts = text.splitn(6, ':');
        let (Some("arn"), Some(partition), Some("iam"), Some(""), Some(account), Some(resource)) =
            (parts.next(), parts.next(), parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(wrong());
        };
        let (kind, path) = resource.split_once('/').ok_or_else(wrong)?;
        let name = path.rsplit('/').next().unwrap_or_default();
        // IAM's own alphabet for names and paths: none of it means anything in a pattern or a URL.
        let fits = |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric() || b"+=,.@_-/".contains(&b));
        let owned = is_account(account) || (account == "aws" && expected == IamKind::Policy);
        let proper = partition == "aws" || partition.starts_with("aws-");
        if kind != expected.as_str() || name.is_empty() || !fits(path) || !owned || !proper {
            return Err(wrong());
        }
        Ok(Self { text: text.to_owned(), account: account.to_owned(), kind: expected, name: name.to_owned() })
    }

    /// The whole ARN.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Twelve digits; `aws` for the policies that AWS manages.
    pub fn account(&self) -> &str {
        &self.account
    }

    /// The last part of the path, as IAM's calls take it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A role, user or policy.
    pub fn kind(&self) -> IamKind {
        self.kind
    }
}

impl fmt::Display for IamArn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Whether this is an account id: twelve digits.
pub fn is_account(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit())
}

impl From<IamArn> for String {
    fn from(arn: IamArn) -> Self {
        arn.text
    }
}

impl TryFrom<String> for IamArn {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        IamKind::ALL
            .iter()
            .find_map(|kind| Self::parse(&text, *kind).ok())
            .ok_or_else(|| format!("`{text}` is not the ARN of a role, user or policy"))
    }
}
