//! What does a boundary say of a place in AWS?

use std::collections::BTreeMap;
use std::fmt;

use protocol::PolicyName;
use serde::Deserialize;

/// A principal, role or policy in AWS, taken apart: `arn:PARTITION:iam::ACCOUNT:KIND/PATH/NAME`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct IamArn {
    text: String,
    account: String,
    kind: IamKind,
    name: String,
}

/// What an [`IamArn`] names.
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
    /// Takes it apart; what was expected if it is none.
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
        let whose = is_account(account) || (account == "aws" && expected == IamKind::Policy);
        let proper = partition == "aws" || partition.starts_with("aws-");
        if kind != expected.as_str() || name.is_empty() || !fits(path) || !whose || !proper {
            return Err(wrong());
        }
        Ok(Self { text: text.to_owned(), account: account.to_owned(), kind: expected, name: name.to_owned() })
    }

    /// The whole.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Twelve digits; `aws` for the policies that AWS manages.
    pub fn account(&self) -> &str {
        &self.account
    }

    /// The last part: what IAM's calls take.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it names.
    pub fn kind(&self) -> IamKind {
        self.kind
    }
}

impl fmt::Display for IamArn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Whether this is an account's number.
pub fn is_account(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit())
}

/// Where in AWS, and how permission is given there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AwsPlace {
    /// Twelve digits.
    pub account: String,
    /// For services that have regions, and for the step's `AWS_REGION`.
    pub region: Option<String>,
    /// How.
    pub mode: AwsMode,
}

/// How permission is given (`auth_mode`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AwsMode {
    /// A role that the workload has already gets the policy and loses it.
    StaticPrincipal {
        /// Which role.
        role: IamArn,
        /// By which kind of change.
        binding: Binding,
    },
    /// A user whose keys the workload holds gets the policy and loses it.
    StaticAccessKeys {
        /// Which user.
        user: IamArn,
        /// By which kind of change.
        binding: Binding,
    },
    /// A session of this role, narrowed to the policy.
    DynamicAccessKeys {
        /// Which role.
        role: IamArn,
    },
    /// A role that exists for this grant alone, and a session of it.
    DynamicRole {
        /// The most that such a role may ever have, whatever its policies say.
        permissions_boundary: Option<IamArn>,
    },
    /// A pod's service account gets a role.
    PodIdentity(Pod),
}

/// One service account in one cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pod {
    /// The EKS cluster's name.
    pub cluster: String,
    /// The Kubernetes namespace.
    pub namespace: String,
    /// The service account.
    pub service_account: String,
}

/// How a policy is bound to a principal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Binding {
    /// Inline where it fits, attached where it does not.
    #[default]
    Auto,
    /// An inline policy of the grant's own, with its deadline in it. Refused where it does not fit.
    Inline,
    /// The managed policy itself, shared by the grants that need it; ends when the broker ends it.
    Attach,
}

impl AwsMode {
    /// Every name in a registration.
    pub const NAMES: &'static [&'static str] =
        &["static-principal", "static-access-keys", "dynamic-access-keys", "dynamic-role", "pod-identity"];

    /// As in a registration.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::StaticPrincipal { .. } => "static-principal",
            Self::StaticAccessKeys { .. } => "static-access-keys",
            Self::DynamicAccessKeys { .. } => "dynamic-access-keys",
            Self::DynamicRole { .. } => "dynamic-role",
            Self::PodIdentity(_) => "pod-identity",
        }
    }
}

/// The keys of `[boundary]` that are about AWS, as they are written.
#[derive(Debug, Default)]
pub(crate) struct AwsKeys {
    pub(crate) account: Option<String>,
    pub(crate) auth_mode: Option<String>,
    pub(crate) principal: Option<String>,
    pub(crate) binding: Option<Binding>,
    pub(crate) region: Option<String>,
    pub(crate) permissions_boundary: Option<String>,
    pub(crate) cluster: Option<String>,
    pub(crate) namespace: Option<String>,
    pub(crate) service_account: Option<String>,
}

/// A key of `[boundary]`, and what was expected and found there.
pub(crate) type Refused = (String, String);

impl AwsKeys {
    /// The first key that is set: for targets that have none of them.
    pub(crate) fn first(&self) -> Option<&'static str> {
        [
            ("account", self.account.is_some()),
            ("auth_mode", self.auth_mode.is_some()),
            ("principal", self.principal.is_some()),
            ("binding", self.binding.is_some()),
            ("region", self.region.is_some()),
            ("permissions_boundary", self.permissions_boundary.is_some()),
            ("cluster", self.cluster.is_some()),
            ("namespace", self.namespace.is_some()),
            ("service_account", self.service_account.is_some()),
        ]
        .into_iter()
        .find_map(|(name, set)| set.then_some(name))
    }

    pub(crate) fn check(mut self) -> Result<AwsPlace, Refused> {
        let account = self.account.take().unwrap_or_default();
        if !is_account(&account) {
            let expected = format!("expected an account's twelve digits, found `{account}`");
            return Err(("account".to_owned(), expected));
        }
        let region = self.region.take();
        if let Some(region) = region.as_ref().filter(|region| !is_label(region, 32)) {
            return Err(("region".to_owned(), format!("expected one like `eu-west-1`, found `{region}`")));
        }
        let mode = self.mode(&account)?;
        if let Some(left) = self.first() {
            let problem = format!("means nothing for `auth_mode = \"{}\"`: take it out", mode.as_str());
            return Err((left.to_owned(), problem));
        }
        Ok(AwsPlace { account, region, mode })
    }

    fn mode(&mut self, account: &str) -> Result<AwsMode, Refused> {
        let mode = self.auth_mode.take().unwrap_or_default();
        match mode.as_str() {
            "static-principal" => Ok(AwsMode::StaticPrincipal {
                role: self.principal(IamKind::Role, account)?,
                binding: self.binding.take().unwrap_or_default(),
            }),
            "static-access-keys" => Ok(AwsMode::StaticAccessKeys {
                user: self.principal(IamKind::User, account)?,
                binding: self.binding.take().unwrap_or_default(),
            }),
            "dynamic-access-keys" => {
                Ok(AwsMode::DynamicAccessKeys { role: self.principal(IamKind::Role, account)? })
            }
            "dynamic-role" => {
                let key = "permissions_boundary";
                let arn = self.permissions_boundary.take();
                let arn = arn.map(|arn| IamArn::parse(&arn, IamKind::Policy)).transpose();
                Ok(AwsMode::DynamicRole {
                    permissions_boundary: arn.map_err(|problem| (key.to_owned(), problem))?,
                })
            }
            "pod-identity" => Ok(AwsMode::PodIdentity(Pod {
                // The cloud's and Kubernetes' own limits.
                cluster: named("cluster", self.cluster.take(), 100)?,
                namespace: named("namespace", self.namespace.take(), 63)?,
                service_account: named("service_account", self.service_account.take(), 253)?,
            })),
            found => {
                let known = AwsMode::NAMES.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>();
                let problem = format!("expected one of {}, found `{found}`", known.join(", "));
                Err(("auth_mode".to_owned(), problem))
            }
        }
    }

    fn principal(&mut self, kind: IamKind, account: &str) -> Result<IamArn, Refused> {
        let key = || "principal".to_owned();
        let arn = IamArn::parse(&self.principal.take().unwrap_or_default(), kind)
            .map_err(|problem| (key(), problem))?;
        if arn.account() != account {
            return Err((key(), format!("`{arn}` is not in the account `{account}`")));
        }
        Ok(arn)
    }
}

/// Letter for letter one name: a pattern would let one workload have another's service account.
fn named(key: &str, found: Option<String>, longest: usize) -> Result<String, Refused> {
    let found = found.unwrap_or_default();
    if is_label(&found, longest) {
        return Ok(found);
    }
    let problem =
        format!("expected one name of at most {longest} letters, digits, `-`, `_` and `.`, found `{found}`");
    Err((key.to_owned(), problem))
}

fn is_label(text: &str, longest: usize) -> bool {
    !text.is_empty()
        && text.len() <= longest
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
}

/// What a policy may be in a place: an ARN, or a document.
pub(crate) fn check_policies(
    place: &AwsPlace,
    policies: &BTreeMap<PolicyName, String>,
) -> Result<(), Refused> {
    for (name, meaning) in policies {
        let refuse = |problem: String| Err((format!("policies.{name}"), problem));
        match &place.mode {
            AwsMode::PodIdentity(_) => match IamArn::parse(meaning, IamKind::Role) {
                Ok(role) if role.account() == place.account => {}
                Ok(role) => return refuse(format!("`{role}` is not in the account `{}`", place.account)),
                Err(problem) => return refuse(format!("the role that the pod gets: {problem}")),
            },
            AwsMode::StaticPrincipal { .. }
            | AwsMode::StaticAccessKeys { .. }
            | AwsMode::DynamicAccessKeys { .. }
            | AwsMode::DynamicRole { .. } => {
                if meaning.trim_start().starts_with('{') {
                    let binding_needs_arn = matches!(
                        &place.mode,
                        AwsMode::StaticPrincipal { binding: Binding::Attach, .. }
                            | AwsMode::StaticAccessKeys { binding: Binding::Attach, .. }
                    );
                    if binding_needs_arn {
                        let problem = "a document cannot be attached: expected a managed policy's ARN, or \
                                       `binding = \"inline\"`";
                        return refuse(problem.to_owned());
                    }
                    if let Err(problem) = check_document(meaning) {
                        return refuse(problem);
                    }
                } else if let Err(problem) = IamArn::parse(meaning, IamKind::Policy) {
                    return refuse(format!("{problem}, or a policy document (JSON)"));
                }
            }
        }
    }
    Ok(())
}

/// Enough of a check that a slip of the pen is found at registration: IAM has the last word.
fn check_document(text: &str) -> Result<(), String> {
    let document: serde_json::Value =
        serde_json::from_str(text).map_err(|error| format!("the document is not JSON: {error}"))?;
    let statements = match document.get("Statement") {
        Some(serde_json::Value::Array(all)) if !all.is_empty() => all.iter().collect(),
        Some(one @ serde_json::Value::Object(_)) => vec![one],
        _ => return Err("the document has no `Statement`: expected at least one".to_owned()),
    };
    for (n, statement) in statements.iter().enumerate() {
        let effect = statement.get("Effect").and_then(serde_json::Value::as_str).unwrap_or_default();
        if effect != "Allow" && effect != "Deny" {
            return Err(format!("Statement[{n}].Effect: expected `Allow` or `Deny`, found `{effect}`"));
        }
        if statement.get("Principal").is_some() || statement.get("NotPrincipal").is_some() {
            return Err(format!("Statement[{n}] names a principal: that is the grant's to say"));
        }
    }
    Ok(())
}
