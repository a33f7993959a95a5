//! Refuses a trust rule that does not name the owner of the runs that it accepts.
//!
//! Many issuers sign for every customer of a platform, and most sign for every project of one customer. A rule has to name
//! at least one of them by a claim that other customers cannot have.

use std::collections::BTreeMap;

use protocol::Platform;

use crate::trust::ClaimRule;

/// How a claim has to be written to name the owner of a run.
enum Names {
    /// Compared exactly: an id, or a name that has no structure.
    Whole,
    /// Compared exactly from its beginning: one of these marks, a name, and one of `ends`. A mark that begins with `/` can
    /// stand anywhere.
    Part { marks: &'static [&'static str], ends: &'static [char] },
}

use Names::{Part, Whole};

/// A path: `octo-org/my-app`.
const PATH: Names = Part { marks: &[""], ends: &['/'] };

/// Each organisation composes its GitHub subjects: only those that begin with a part that GitHub fills in name an owner.
const GITHUB: &[(&str, Names)] = &[
    ("repository_id", Whole),
    ("repository", PATH),
    ("repository_owner_id", Whole),
    ("repository_owner", Whole),
    ("enterprise_id", Whole),
    (
        "sub",
        Part {
            marks: &[
                "repo:",
                "repository:",
                "repository_id:",
                "repository_owner:",
                "repository_owner_id:",
                "enterprise:",
                "enterprise_id:",
            ],
            ends: &['/', ':'],
        },
    ),
];

const GITLAB: &[(&str, Names)] = &[
    ("project_id", Whole),
    ("project_path", PATH),
    ("namespace_id", Whole),
    ("namespace_path", PATH),
    ("sub", Part { marks: &["project_path:"], ends: &['/'] }),
];

const CIRCLECI: &[(&str, Names)] = &[
    ("oidc.circleci.com/org-id", Whole),
    ("oidc.circleci.com/project-id", Whole),
    ("sub", Part { marks: &["org/"], ends: &['/'] }),
];

/// The issuer names the organisation.
const CIRCLECI_ORGANISATION: &[(&str, Names)] =
    &[("oidc.circleci.com/project-id", Whole), ("sub", Part { marks: &["/project/"], ends: &['/'] })];

/// A pipeline chooses its own subject.
const BUILDKITE: &[(&str, Names)] = &[
    ("organization_id", Whole),
    ("organization_slug", Whole),
    ("sub", Part { marks: &["organization:"], ends: &[':'] }),
];

const AZURE_DEVOPS: &[(&str, Names)] =
    &[("sub", Whole), ("sub", Part { marks: &["sc://", "p://"], ends: &['/'] })];

const KUBERNETES: &[(&str, Names)] =
    &[("sub", Whole), ("sub", Part { marks: &["system:serviceaccount:"], ends: &[':'] })];

const JENKINS: &[(&str, Names)] = &[("sub", Whole), ("sub", Part { marks: &["/job/"], ends: &['/'] })];

/// Signs for every customer, and has no platform of its own here.
const TERRAFORM: &[(&str, Names)] = &[
    ("terraform_organization_id", Whole),
    ("terraform_organization_name", Whole),
    ("terraform_project_id", Whole),
    ("terraform_workspace_id", Whole),
    ("sub", Part { marks: &["organization:"], ends: &[':'] }),
];

/// The claims of which at least one has to name the owner of a run; empty where any claim can.
fn naming(platform: Platform, issuer: &str) -> &'static [(&'static str, Names)] {
    match platform {
        Platform::Github | Platform::Forgejo => GITHUB,
        Platform::Gitlab => GITLAB,
        Platform::Bitbucket => &[("repositoryUuid", Whole), ("sub", Whole)],
        Platform::Circleci if issuer == "https://oidc.circleci.com" => CIRCLECI,
        Platform::Circleci => CIRCLECI_ORGANISATION,
        Platform::Buildkite => BUILDKITE,
        Platform::AzureDevops => AZURE_DEVOPS,
        Platform::Kubernetes => KUBERNETES,
        Platform::Gcp => &[("sub", Whole), ("email", Whole)],
        Platform::Jenkins => JENKINS,
        Platform::Oidc if issuer == "https://app.terraform.io" => TERRAFORM,
        Platform::Oidc => &[],
    }
}

/// A path or a URL.
const PLACE: Names = Part { marks: &["https://", "spiffe://", ""], ends: &['/'] };

/// Claims that are the same in every token for this audience, or different in each.
const NARROWS_NOTHING: &[&str] = &["iss", "aud", "exp", "nbf", "iat", "jti", "tid", "ver"];

/// Checks that a rule names the owner of the runs that it accepts.
pub(super) fn check(
    platform: Platform,
    issuer: &str,
    claims: &BTreeMap<String, ClaimRule>,
) -> Result<(), String> {
    let naming = naming(platform, issuer);
    let is_named = if naming.is_empty() {
        claims.iter().any(|(name, rule)| {
            !NARROWS_NOTHING.contains(&name.as_str()) && (names(rule, &Whole) || names(rule, &PLACE))
        })
    } else {
        naming.iter().any(|(name, how)| claims.get(*name).is_some_and(|rule| names(rule, how)))
    };
    if is_named {
        return Ok(());
    }
    let mut names: Vec<String> = naming.iter().map(|(name, _)| format!("`{name}`")).collect();
    names.dedup();
    let one = match names.is_empty() {
        true => "`sub` or another claim of the workload".to_owned(),
        false => format!("one of {}", names.join(", ")),
    };
    Err(format!(
        "the rule accepts the runs of every customer or project of `{issuer}`: expected at least {one}, as text or with a pattern \
         only after the part that names the owner"
    ))
}

fn names(rule: &ClaimRule, how: &Names) -> bool {
    match rule {
        ClaimRule::AnyOf(texts) => texts.iter().all(|text| is_name(text, Follows::Nothing, how)),
        ClaimRule::Glob(glob) => {
            let pattern = glob.glob().glob();
            match pattern.find(['*', '?', '[', '{']).and_then(|at| pattern.get(..at)) {
                Some(literal) => is_name(literal, Follows::Pattern, how),
                None => is_name(pattern, Follows::Nothing, how),
            }
        }
    }
}

/// Whether a pattern follows a text that is compared exactly.
#[derive(Clone, Copy, PartialEq)]
enum Follows {
    Nothing,
    Pattern,
}

fn is_name(text: &str, follows: Follows, how: &Names) -> bool {
    match how {
        Whole => follows == Follows::Nothing && !text.is_empty(),
        Part { marks, ends } => marks.iter().any(|mark| {
            let Some((before, rest)) = text.split_once(mark) else { return false };
            let name = rest.split(*ends).next().unwrap_or_default();
            let has_ended = name.len() < rest.len() || follows == Follows::Nothing;
            // A scheme (`https:` of `https://…`) is not a name.
            (before.is_empty() || mark.starts_with('/'))
                && has_ended
                && !name.is_empty()
                && !name.ends_with(':')
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepted(platform: Platform, issuer: &str, name: &str, rule: ClaimRule) -> bool {
        check(platform, issuer, &BTreeMap::from([(name.to_owned(), rule)])).is_ok()
    }

    fn text(text: &str) -> ClaimRule {
        ClaimRule::AnyOf(vec![text.to_owned()])
    }

    fn glob(pattern: &str) -> ClaimRule {
        ClaimRule::glob(pattern).unwrap()
    }

    #[test]
    fn a_rule_names_the_owner_of_its_runs_before_any_pattern() {
        use Platform::{
            AzureDevops, Bitbucket, Buildkite, Circleci, Gcp, Github, Gitlab, Jenkins, Kubernetes, Oidc,
        };
        let any = "https://issuer.example";
        for (platform, issuer, name, rule, expected) in [
            (Github, any, "repository_id", text("81234567"), true),
            (Github, any, "repository_id", glob("[0-9]*"), false),
            (Github, any, "repository_id", glob("8123*"), false),
            (Github, any, "repository_id", glob("81234567"), true),
            (Github, any, "repository_owner", glob("octo-*"), false),
            (Github, any, "repository", glob("octo-org/*"), true),
            (Github, any, "repository", glob("octo-org*/app"), false),
            (Github, any, "repository", glob("{octo-org,evil}/app"), false),
            (Github, any, "sub", text("repo:octo-org/my-app:ref:refs/heads/main"), true),
            (Github, any, "sub", text("environment:prod"), false),
            (Github, any, "sub", glob("repo:octo-org/**"), true),
            (Github, any, "sub", glob("repo:*"), false),
            (Github, any, "sub", glob("repo:octo-*/**"), false),
            (Github, any, "ref", text("refs/heads/main"), false),
            (Gitlab, any, "namespace_path", glob("octo/**"), true),
            (Gitlab, any, "namespace_path", glob("octo*"), false),
            (Gitlab, any, "sub", glob("project_path:octo/*"), true),
            (Gitlab, any, "sub", glob("project_path:*"), false),
            (Bitbucket, any, "repositoryUuid", text("{u}"), true),
            (Circleci, "https://oidc.circleci.com", "sub", glob("org/ORG/**"), true),
            (Circleci, "https://oidc.circleci.com", "sub", glob("org/*/project/P/**"), false),
            (Circleci, "https://oidc.circleci.com", "oidc.circleci.com/org-id", text("ORG"), true),
            (Circleci, "https://oidc.circleci.com/org/ORG", "oidc.circleci.com/org-id", text("ORG"), false),
            (Circleci, "https://oidc.circleci.com/org/ORG", "sub", glob("org/ORG/project/P/**"), true),
            (Circleci, "https://oidc.circleci.com/org/ORG", "sub", glob("org/ORG/**"), false),
            (Buildkite, any, "sub", glob("organization:acme:*"), true),
            (Buildkite, any, "sub", glob("organization:*"), false),
            (Buildkite, any, "sub", text("main"), false),
            (AzureDevops, any, "sub", glob("sc://org/**"), true),
            (AzureDevops, any, "sub", glob("sc://*/project/connection"), false),
            (Kubernetes, any, "sub", glob("system:serviceaccount:jobs:*"), true),
            (Kubernetes, any, "sub", glob("system:serviceaccount:*"), false),
            (Kubernetes, any, "sub", glob("system:*"), false),
            (Jenkins, any, "sub", glob("https://ci.example/job/team/**"), true),
            (Jenkins, any, "sub", glob("https://ci.example/**"), false),
            (Gcp, any, "email", text("runner@project.iam.gserviceaccount.com"), true),
            (Gcp, any, "email", glob("*@project.iam.gserviceaccount.com"), false),
            (Oidc, any, "sub", text("orders"), true),
            (Oidc, any, "sub", text(""), false),
            (Oidc, any, "sub", glob("team/*"), true),
            (Oidc, any, "sub", glob("https:**"), false),
            (Oidc, any, "sub", glob("https://**"), false),
            (Oidc, any, "sub", glob("spiffe://example/jobs/*"), true),
            (Oidc, any, "group", text("deployers"), true),
            (Oidc, any, "aud", text("cloudanix-jit"), false),
            (Oidc, any, "iss", text(any), false),
            (Oidc, "https://app.terraform.io", "sub", glob("organization:acme:*"), true),
            (Oidc, "https://app.terraform.io", "sub", glob("organization:*"), false),
            (Oidc, "https://app.terraform.io", "terraform_run_phase", text("apply"), false),
        ] {
            let said = format!("{platform:?} {name} {rule:?}");
            assert_eq!(accepted(platform, issuer, name, rule), expected, "{said}");
        }
    }

    proptest::proptest! {
        /// Two customers of one platform have no organisation, group or namespace in common.
        #[test]
        fn no_accepted_pattern_accepts_two_customers(
            pattern in "(repo:|)([a-z]{1,2}|[*?]|[*][*]|[{]ada,bob[}]|[\\[]a-z[\\]]|/|:|-){1,8}",
        ) {
            let Ok(rule) = ClaimRule::glob(&pattern) else { return Ok(()) };
            let ClaimRule::Glob(matcher) = &rule else { return Ok(()) };
            let matches = |customer: &str| {
                ["a", "b-c", "ab/a", "a/b:a"].iter().any(|rest| matcher.is_match(format!("{customer}/{rest}")))
            };
            if accepted(Platform::Github, "https://issuer.example", "repository", rule.clone()) {
                proptest::prop_assert!(!(matches("ada") && matches("bob")), "{}", pattern);
            }
            if accepted(Platform::Github, "https://issuer.example", "sub", rule.clone()) {
                proptest::prop_assert!(!(matches("repo:ada") && matches("repo:bob")), "{}", pattern);
            }
        }
    }
}
