use proptest::prelude::*;

use super::*;
use crate::boundary::{TargetKind, TargetScope};

const GOOD: &str = r#"
id          = "orders-agent"
description = "reads orders"
use_case    = "build-workflow"
max_session = "1h"

[[trust]]
issuer   = "https://token.actions.githubusercontent.com"
audience = "cloudanix-jit"
claims   = { repository_id = "81234567", ref = ["refs/heads/main", "refs/heads/next"], environment = { glob = "prod-*" } }

[boundary]
target   = "token"
policies = { "orders-read" = "orders:read" }
"#;

#[test]
fn a_valid_registration_is_accepted() {
    let registration = parse(GOOD).unwrap();
    assert_eq!(registration.id.as_str(), "orders-agent");
    let trust = registration.trust.unwrap();
    assert_eq!(trust[0].platform, Platform::Github);
    assert_eq!(trust[0].claims.len(), 3);
    assert_eq!(registration.boundary.first().target.kind(), TargetKind::Token);
    assert!(!registration.auth_token_only && !registration.require_heartbeat);
    assert_eq!(registration.max_active_grants_per_run, None);
}

#[test]
fn a_registration_can_require_a_heartbeat_and_limit_grants_per_run() {
    let file = format!("require_heartbeat = true\nmax_active_grants_per_run = 1\n{GOOD}");
    let registration = parse(&file).unwrap();
    assert!(registration.require_heartbeat);
    assert_eq!(registration.max_active_grants_per_run, NonZeroU32::new(1));
}

#[test]
fn labels_groups_and_sensitivity_are_read_for_rules() {
    let file = format!("labels = {{ team = \"payments\" }}\ngroups = [\"deployers\", \"eu/berlin\"]\n{GOOD}");
    let registration = parse(&format!("{file}\nsensitivity = {{ orders-read = \"high\" }}")).unwrap();
    assert_eq!(registration.labels["team"], "payments");
    assert!(registration.groups.contains("eu/berlin"));
    let sensitivity = &registration.boundary.first().sensitivity;
    assert_eq!(sensitivity[&"orders-read".parse().unwrap()], Sensitivity::High);
    for (head, tail, reason) in [
        (
            "",
            "sensitivity = { orders-write = \"high\" }",
            "`boundary.sensitivity.orders-write`: is no policy",
        ),
        ("", "sensitivity = { orders-read = \"grave\" }", "`boundary.sensitivity`: unknown variant `grave`"),
        ("labels = { \"a b\" = \"c\" }", "", "`labels`: expected 1 to 128 letters, digits"),
        ("labels = { a = \"\\u0007\" }", "", "`labels.a`: expected at most 128 bytes"),
        ("groups = [\"a\", \"a\"]", "", "`groups[1]`: `a` is there already"),
        ("groups = [\"\"]", "", "`groups[0]`: expected 1 to 128 letters"),
    ] {
        let error = parse(&format!("{head}\n{GOOD}\n{tail}")).unwrap_err().to_string();
        assert!(error.contains(reason), "{error}");
    }
}

#[test]
fn invalid_registrations_are_refused_with_a_reason() {
    let without = |from: &str, to: &str| {
        let start = GOOD.find(from).unwrap();
        let end = GOOD[start..].find(to).map_or(GOOD.len(), |end| start + end);
        format!("{}{}", &GOOD[..start], &GOOD[end..])
    };
    let with = |from: &str, to: &str| {
        assert!(GOOD.contains(from), "{from}");
        GOOD.replacen(from, to, 1)
    };
    for (file, reason) in [
        (without("[[trust]]", "[boundary]"), "`trust`: no trust rule"),
        (without("audience", "claims"), "`trust[0].audience`: no audience"),
        (with("\"cloudanix-jit\"", "\"\""), "`trust[0].audience`: no audience"),
        (without("[boundary]", "~"), "`boundary`: missing"),
        (with("{ \"orders-read\" = \"orders:read\" }", "{}"), "`boundary.policies`: no permitted policy"),
        (with("\"orders:read\"", "\"two scopes\""), "`two scopes` is not a scope"),
        (with("\"token\"", "\"mainframe\""), "`mainframe` is not a target of this broker: expected `token`"),
        (
            with("target   = \"token\"", "target = \"token\"\naccount = \"1\""),
            "`boundary.account`: means nothing for `target = \"token\"`",
        ),
        (
            with("https://token.actions.githubusercontent.com", "http://ci.example"),
            "is not an issuer: expected an https URL",
        ),
        (with("https://token.actions.githubusercontent.com", "https://a@b"), "is not an issuer"),
        (with("https://token.actions.githubusercontent.com", "ftp://127.0.0.1"), "is not an issuer"),
        (with("repository_id = \"81234567\", ", ""), "expected at least one of `repository_id`"),
        (with("\"81234567\"", "{ glob = \"[0-9]*\" }"), "expected at least one of `repository_id`"),
        (
            with("https://token.actions.githubusercontent.com", "https://ci.example.com"),
            "`trust[0].platform`: missing, and `https://ci.example.com` is not an issuer",
        ),
        (
            with("https://token.actions.githubusercontent.com", "https://gitlab.example.com"),
            "expected one of `github`, `forgejo`, `gitlab`, `bitbucket`, `circleci`, `jenkins`, `buildkite`, `azure-devops`, \
             `kubernetes`, `gcp`, `oidc`. The host's name suggests `platform = \"gitlab\"`",
        ),
        (
            with(
                "https://token.actions.githubusercontent.com",
                "https://oidc.eks.eu-west-1.amazonaws.com/id/A",
            ),
            "expected at least one of `sub`",
        ),
        (with("id          =", "max_active_grants_per_run = 0\nid ="), "expected 1 or more, found `0`"),
        (with("id          =", "max_active_grants_per_run = -1\nid ="), "expected 1 or more, found `-1`"),
        (with("id          =", "require_heartbeat = 1\nid ="), "expected a boolean"),
        (with("\"81234567\"", "\"8123*\""), "write { glob = \"8123*\" }"),
        (with("\"81234567\"", "81234567"), "expected a string, a list of strings or"),
        (with("[\"refs/heads/main\", \"refs/heads/next\"]", "[]"), "an empty list"),
        (with("\"prod-*\"", "\"**\""), "accepts everything"),
        (with("\"prod-*\"", "\"prod-{\""), "is not a glob"),
        (with("\"prod-*\"", "\"prod[!x]*\""), "`[!x]` in the glob `prod[!x]*`"),
        (with("\"1h\"", "\"25h\""), "`25h` is out of range"),
        (with("\"1h\"", "3600"), "invalid type: integer"),
        (with("\"orders-agent\"", "\"Orders Agent\""), "`Orders Agent` is not an agent id"),
        (with("\"build-workflow\"", "\"fun\""), "unknown variant `fun`"),
        (
            with("audience =", "allow = [\"everything\"]\naudience ="),
            "`everything` is unknown: expected `fork-pull-requests`, `ssh-rerun`, `service-connections`",
        ),
        (
            with("audience =", "platform = \"oidc\"\naudience ="),
            "is github's issuer: expected `github` or nothing, found `oidc`",
        ),
        (with("id          =", "idd ="), "unknown field `idd`"),
        ("".to_owned(), "missing field"),
        ("x".repeat(MAX_BYTES + 1), "expected at most 65536"),
    ] {
        let error = parse(&file).unwrap_err().to_string();
        assert!(error.contains(reason), "expected {reason:?} in {error:?}");
    }
}

#[test]
fn a_forgejo_servers_issuer_is_known_by_its_path() {
    let issuer = "https://token.actions.githubusercontent.com";
    let forgejo = GOOD.replace(issuer, "https://codeberg.org/api/actions");
    assert_eq!(parse(&forgejo).unwrap().trust.unwrap()[0].platform, Platform::Forgejo);
    let of_everybody = forgejo.replace("repository_id = \"81234567\", ", "");
    let error = parse(&of_everybody).unwrap_err().to_string();
    assert!(error.contains("expected at least one of `repository_id`"), "{error}");
}

#[test]
fn a_stored_registration_whose_rules_are_refused_now_can_still_be_read() {
    let old = GOOD.replace("https://token.actions.githubusercontent.com", "https://ci.example.com");
    let registration = parse_stored(&old).unwrap();
    assert_eq!(registration.id.as_str(), "orders-agent");
    let refused = registration.trust.unwrap_err().to_string();
    assert!(refused.starts_with("`trust[0].platform`: missing"), "{refused}");
    assert_eq!(parse(&old).unwrap_err().to_string(), refused);
}

#[test]
fn trust_in_the_auth_token_alone_has_to_be_called_dangerous() {
    let start = GOOD.find("[[trust]]").unwrap();
    let end = GOOD.find("[boundary]").unwrap();
    let file = format!("{}{}\n[dangerous]\nallow_auth_token_only = true\n", &GOOD[..start], &GOOD[end..]);
    let registration = parse(&file).unwrap();
    assert!(registration.auth_token_only && registration.trust.unwrap().is_empty());
}

proptest! {
    #[test]
    fn no_text_panics(text in ".{0,200}") {
        let _ = parse(&text);
    }

    /// Values that are nearly right, in every key that is about AWS.
    #[test]
    fn no_aws_boundary_panics(
        mode in "(static-principal|static-access-keys|dynamic-access-keys|dynamic-role|pod-identity|.{0,8})",
        account in "(123456789012|[0-9]{0,13}|.{0,4})",
        principal in "(arn:aws:iam::123456789012:(role|user)/.{0,6}|[:/a]{0,12}|.{0,20})",
        policy in "(arn:aws:iam::aws:policy/.{0,6}|[{].{0,20}|.{0,20})",
        other in "(prod|[*]|.{0,6})",
        key in "(region|binding|permissions_boundary|cluster|namespace|service_account)",
    ) {
        let quoted = |text: &str| serde_json::Value::from(text).to_string();
        let _ = parse(&aws(&format!(
            "account = {}\nauth_mode = {}\nprincipal = {}\n{key} = {}\npolicies = {{ p = {} }}",
            quoted(&account), quoted(&mode), quoted(&principal), quoted(&other), quoted(&policy)
        )));
    }
}

fn aws(keys: &str) -> String {
    let start = GOOD.find("[boundary]").unwrap();
    format!("{}[boundary]\ntarget = \"aws\"\n{keys}\n", &GOOD[..start])
}

const ACCOUNT: &str = "account = '123456789012'\n";
const ROLE: &str = "principal = 'arn:aws:iam::123456789012:role/ci/deploy'\n";
const USER: &str = "principal = 'arn:aws:iam::123456789012:user/deploy'\n";
const MANAGED: &str = "policies = { p = 'arn:aws:iam::aws:policy/ReadOnlyAccess' }\n";
const DOCUMENT: &str = r#"policies = { p = '{"Statement":{"Effect":"Allow","Action":"s3:Get*","Resource":"*"}}' }
"#;
const POD: &str = "cluster = 'prod'\nnamespace = 'jobs'\nservice_account = 'deploy'\n";
const POD_ROLE: &str = "policies = { p = 'arn:aws:iam::123456789012:role/pod' }\n";

#[test]
fn every_way_into_aws_is_accepted_as_it_is_documented() {
    for (mode, keys) in [
        ("static-principal", format!("{ROLE}{MANAGED}")),
        ("static-principal", format!("{ROLE}{DOCUMENT}")),
        ("static-principal", format!("{ROLE}{MANAGED}binding = 'attach'")),
        ("static-principal", format!("{ROLE}{DOCUMENT}binding = 'inline'\nregion = 'eu-west-1'")),
        ("static-access-keys", format!("{USER}{MANAGED}")),
        ("dynamic-access-keys", format!("{ROLE}{DOCUMENT}")),
        ("dynamic-role", MANAGED.to_owned()),
        ("dynamic-role", format!("{MANAGED}permissions_boundary = 'arn:aws:iam::123456789012:policy/most'")),
        ("pod-identity", format!("{POD}{POD_ROLE}")),
    ] {
        let registration = parse(&aws(&format!("{ACCOUNT}auth_mode = '{mode}'\n{keys}"))).unwrap();
        let TargetScope::Aws(place) = &registration.boundary.first().target else {
            panic!("{mode}: another target")
        };
        assert_eq!((place.mode.as_str(), place.account.as_str()), (mode, "123456789012"));
    }
}

#[test]
fn invalid_aws_boundaries_are_refused_with_a_reason() {
    let document = |text: &str| format!("policies = {{ p = '{text}' }}\n");
    for (mode, keys, reason) in [
        ("static-principal", format!("{USER}{MANAGED}"), "is not a role's ARN"),
        ("static-principal", MANAGED.to_owned(), "`boundary.principal`: `` is not a role's ARN"),
        ("static-access-keys", format!("{ROLE}{MANAGED}"), "is not a user's ARN"),
        ("dynamic-access-keys", format!("{USER}{MANAGED}"), "is not a role's ARN"),
        (
            "static-principal",
            format!("principal = 'arn:aws:iam::210987654321:role/r'\n{MANAGED}"),
            "is not in the account `123456789012`",
        ),
        ("admin", format!("{ROLE}{MANAGED}"), "expected one of `static-principal`"),
        ("", MANAGED.to_owned(), "found ``"),
        ("dynamic-role", format!("{ROLE}{MANAGED}"), "`boundary.principal`: means nothing for"),
        ("dynamic-role", format!("{MANAGED}binding = 'attach'"), "`boundary.binding`: means nothing for"),
        (
            "dynamic-access-keys",
            format!("{ROLE}{MANAGED}binding = 'inline'"),
            "`boundary.binding`: means nothing",
        ),
        (
            "static-principal",
            format!("{ROLE}{MANAGED}cluster = 'prod'"),
            "`boundary.cluster`: means nothing for",
        ),
        (
            "static-principal",
            format!("{ROLE}{MANAGED}permissions_boundary = 'x'"),
            "`boundary.permissions_boundary`: means nothing for",
        ),
        ("pod-identity", format!("{POD}{POD_ROLE}{ROLE}"), "`boundary.principal`: means nothing for"),
        ("dynamic-role", format!("{MANAGED}permissions_boundary = 'most'"), "is not a policy's ARN"),
        ("static-principal", format!("{ROLE}{MANAGED}region = 'eu west'"), "expected one like `eu-west-1`"),
        ("static-principal", format!("{ROLE}{MANAGED}binding = 'glue'"), "unknown variant `glue`"),
        ("static-principal", format!("{ROLE}{DOCUMENT}binding = 'attach'"), "a document cannot be attached"),
        ("static-principal", format!("{ROLE}{}", document("{ not json")), "the document is not JSON"),
        ("dynamic-role", document("{}"), "the document has no `Statement`"),
        ("dynamic-role", document(r#"{"Statement":[]}"#), "the document has no `Statement`"),
        (
            "dynamic-role",
            document(r#"{"Statement":{"Effect":"Maybe"}}"#),
            "expected `Allow` or `Deny`, found `Maybe`",
        ),
        (
            "dynamic-role",
            document(r#"{"Statement":[{"Effect":"Allow","Principal":"*"}]}"#),
            "Statement[0] names a principal",
        ),
        ("dynamic-role", document("ReadOnlyAccess"), "or a policy document (JSON)"),
        ("pod-identity", format!("{POD}{MANAGED}"), "the role that the pod gets"),
        (
            "pod-identity",
            format!("{POD}policies = {{ p = 'arn:aws:iam::210987654321:role/pod' }}"),
            "is not in the account",
        ),
        (
            "pod-identity",
            format!("cluster = 'prod'\nnamespace = 'jobs'\nservice_account = '*'\n{POD_ROLE}"),
            "`boundary.service_account`: expected one name",
        ),
        (
            "pod-identity",
            format!("cluster = 'prod'\nnamespace = 'jobs'\n{POD_ROLE}"),
            "`boundary.service_account`",
        ),
    ] {
        let error = parse(&aws(&format!("{ACCOUNT}auth_mode = '{mode}'\n{keys}"))).unwrap_err().to_string();
        assert!(error.contains(reason), "{mode}: expected {reason:?} in {error:?}");
    }
    for account in ["", "account = '12345'", "account = '12345678901x'"] {
        let error = parse(&aws(&format!("{account}\nauth_mode = 'dynamic-role'\n{MANAGED}"))).unwrap_err();
        assert!(error.to_string().contains("expected an account's twelve digits"), "{error}");
    }
}

/// An agent with these scopes.
fn scopes(tables: &str) -> String {
    format!("{}[boundary]\n{tables}\n", &GOOD[..GOOD.find("[boundary]").unwrap()])
}

fn scope(keys: &str) -> String {
    format!("[[boundary.scope]]\n{keys}\n")
}

const READ: &str = "target = 'token'\npolicies = { orders-read = 'orders:read' }";

#[test]
fn a_boundary_can_have_scopes_at_several_targets() {
    let aws = format!(
        "name = 'production'\nmax_session = '15m'\ntarget = 'aws'\n{ACCOUNT}auth_mode = 'static-principal'\n{ROLE}{MANAGED}"
    );
    let file = scopes(&format!("{}{}", scope(&format!("name = 'orders'\n{READ}")), scope(&aws)));
    let boundary = parse(&file).unwrap().boundary;
    let found: Vec<_> = boundary
        .scopes()
        .map(|scope| (scope.name.as_str(), scope.target.kind(), scope.max_session.to_string()))
        .collect();
    let expected = [("orders", TargetKind::Token, "1h"), ("production", TargetKind::Aws, "15m")];
    assert_eq!(found, expected.map(|(name, kind, longest)| (name, kind, longest.to_owned())));
    assert!(boundary.only().is_none());
    assert_eq!(boundary.scope("production").unwrap().target.policy_names().len(), 1);
    assert!(boundary.scope("aws").is_none(), "a scope is chosen by its name alone");
}

#[test]
fn the_example_of_two_accounts_is_accepted() {
    let example = parse(include_str!("../../../examples/aws/two-accounts.toml")).unwrap();
    let names: Vec<_> = example.boundary.scopes().map(|scope| scope.name.as_str()).collect();
    assert_eq!(names, ["staging", "production"]);
}

#[test]
fn a_boundary_with_one_scope_has_the_name_of_its_target() {
    let boundary = parse(GOOD).unwrap().boundary;
    assert_eq!(boundary.only().unwrap().name.as_str(), "token");
    assert_eq!(boundary.only().unwrap().max_session.to_string(), "1h");
}

#[test]
fn a_boundary_is_refused_for_its_scopes() {
    let one = scope(&format!("name = 'orders'\n{READ}"));
    for (tables, reason) in [
        (
            "scope = []".to_owned(),
            "`boundary.scope`: expected 1 to 32 tables `[[boundary.scope]]`, found none",
        ),
        ("scope = 'orders'".to_owned(), "`boundary.scope`: expected 1 to 32 tables"),
        (one.repeat(33), "`boundary.scope`: expected 1 to 32 tables `[[boundary.scope]]`, found 33"),
        (one.repeat(2), "`boundary.scope[1].name`: another scope is `orders` too"),
        (format!("{READ}\n{one}"), "`boundary.policies`: means nothing beside `[[boundary.scope]]`"),
        (scope(READ), "`boundary.scope[0].name`: expected at most 64 lower-case letters"),
        (scope(&format!("name = 'Orders'\n{READ}")), "`.`, found `Orders`"),
        (
            scope(&format!("name = 'orders'\nmax_session = '2h'\n{READ}")),
            "`boundary.scope[0].max_session`: expected at most the agent's `1h`, found `2h`",
        ),
        (
            scope("name = 'orders'\ntarget = 'aws'\naccount = '1'"),
            "`boundary.scope[0].account`: expected an account's twelve digits",
        ),
        (scope("name = 'orders'\ntarget = 'token'"), "`boundary.scope[0].policies`: no permitted policy"),
        (
            scope(&format!("name = 'orders'\n{READ}\nregion = 'eu-west-1'")),
            "`boundary.scope[0].region`: means nothing for `target = \"token\"`: expected one of `max_session`, `name`, `policies`, `sensitivity`, `target`",
        ),
    ] {
        let error = parse(&scopes(&tables)).unwrap_err().to_string();
        assert!(error.contains(reason), "expected {reason:?} in {error:?}");
    }
}
