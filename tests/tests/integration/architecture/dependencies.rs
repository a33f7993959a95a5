//! The allowed dependencies between our crates, and the one owner of each dependency that shapes a crate.

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::Value;

/// Each of our crates and the crates of ours that it may use. An ADR explains every new arrow.
const ARROWS: &[(&str, &[&str])] = &[
    ("cloudanix-jit-protocol", &[]),
    ("cloudanix-jit-client", &["protocol"]),
    ("cloudanix-jit", &["protocol", "client"]),
    ("cloudanix-jit-domain", &["protocol"]),
    ("cloudanix-jit-audit", &["protocol", "domain"]),
    ("cloudanix-jit-policy", &["protocol", "domain"]),
    ("cloudanix-jit-analysis", &["policy"]),
    ("cloudanix-jit-signing", &["protocol", "domain"]),
    ("cloudanix-jit-outbound", &[]),
    ("cloudanix-jit-identity", &["protocol", "domain", "outbound"]),
    ("cloudanix-jit-notify", &["protocol", "domain", "outbound"]),
    ("cloudanix-jit-console", &["protocol"]),
    ("cloudanix-jit-targets", &["protocol", "domain", "policy", "signing"]),
    ("cloudanix-jit-store", &["protocol", "domain", "audit"]),
    // Uses the HTTP API only, because users copy this example.
    ("orders-example", &[]),
    (
        "cloudanix-jit-engine",
        &["protocol", "domain", "audit", "policy", "signing", "identity", "notify", "targets", "store"],
    ),
    (
        "cloudanix-jit-broker",
        // `analysis` for the command `rules diff` alone.
        &[
            "protocol", "domain", "audit", "policy", "signing", "identity", "notify", "targets", "store",
            "engine", "analysis", "console",
        ],
    ),
];

/// An external dependency and the only crates that may use it.
const HOMES: &[(&str, &[&str])] = &[
    ("sqlx", &["cloudanix-jit-store"]),
    ("deadpool", &["cloudanix-jit-store"]),
    ("openidconnect", &["cloudanix-jit-identity", "cloudanix-jit-signing"]),
    // The identity crate verifies signatures with `ring`, notifications are signed with it, and the client hashes the proof
    // of a sign-in, which must not make its program larger; all other uses are TLS, through rustls.
    ("ring", &["cloudanix-jit-identity", "cloudanix-jit-notify", "cloudanix-jit-client"]),
    ("minijinja", &["cloudanix-jit-notify"]),
    ("maud", &["cloudanix-jit-console", "cloudanix-jit-broker"]),
    ("cedar-policy", &["cloudanix-jit-policy", "cloudanix-jit-analysis"]),
    ("cedar-policy-symcc", &["cloudanix-jit-analysis"]),
    ("aws-config", &["cloudanix-jit-targets"]),
    ("aws-sdk-iam", &["cloudanix-jit-targets"]),
    ("aws-sdk-sts", &["cloudanix-jit-targets"]),
    ("aws-sdk-eks", &["cloudanix-jit-targets"]),
    ("axum", &["cloudanix-jit-broker", "orders-example"]),
    // Other crates create spans with `tracing`.
    ("opentelemetry-otlp", &["cloudanix-jit-broker"]),
    ("utoipa-axum", &["cloudanix-jit-broker"]),
    ("clap", &["cloudanix-jit", "cloudanix-jit-broker", "bench", "orders-example", "xtask"]),
    // Signs the hostile tokens that verification must refuse; any crate's tests may use it.
    ("jsonwebtoken", &[]),
];

/// Crates that are not part of a release and may use any of ours.
const NOT_SHIPPED: &[&str] = &["system-tests", "postgres-for-tests", "testkit", "bench", "xtask"];

/// What tests of every crate may use.
const TEST_SUPPORT: &[&str] = &["postgres-for-tests", "testkit"];

/// Arrows of tests alone: the files of the wizard are read by what reads registrations.
const IN_TESTS: &[(&str, &str)] = &[("cloudanix-jit-console", "cloudanix-jit-domain")];

struct Dependency {
    from: String,
    /// The name of the package, even if `from` renames it.
    on: String,
    is_ours: bool,
    for_tests: bool,
}

fn packages() -> Vec<Value> {
    let cargo = option_env!("CARGO").unwrap_or("cargo");
    let output = Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline", "--manifest-path"])
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    metadata["packages"].as_array().unwrap().clone()
}

fn dependencies() -> Vec<Dependency> {
    let of = |package: &Value| -> Vec<Dependency> {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let from = text(&package["name"]);
        let dependencies = package["dependencies"].as_array().unwrap();
        let read = |dependency: &Value| Dependency {
            from: from.clone(),
            on: text(&dependency["name"]),
            is_ours: dependency["path"].is_string(),
            for_tests: dependency["kind"] == "dev",
        };
        dependencies.iter().map(read).collect()
    };
    packages().iter().flat_map(of).collect()
}

/// `cargo machete` checks the list of each crate; this test checks the list of the workspace.
#[test]
fn every_dependency_that_the_workspace_names_is_one_of_some_crate() {
    let manifest = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml")).unwrap();
    let manifest: toml::Table = manifest.parse().unwrap();
    let named = manifest["workspace"]["dependencies"].as_table().unwrap();
    let used: BTreeSet<String> = dependencies().into_iter().map(|it| it.on).collect();
    let package = |name: &String, about: &toml::Value| {
        about.get("package").map_or(name.clone(), |package| package.as_str().unwrap().to_owned())
    };
    let unused: Vec<&String> = named
        .iter()
        .filter(|(name, about)| !used.contains(&package(name, about)))
        .map(|(name, _)| name)
        .collect();
    assert!(unused.is_empty(), "named in Cargo.toml, and used by no crate: {unused:?}");
}

#[test]
fn every_crate_is_on_the_map() {
    let there: BTreeSet<String> =
        packages().iter().map(|package| package["name"].as_str().unwrap().to_owned()).collect();
    let known = ARROWS.iter().map(|(name, _)| *name).chain(NOT_SHIPPED.iter().copied());
    assert_eq!(there, known.map(str::to_owned).collect());
}

#[test]
fn crates_use_only_those_that_the_architecture_allows() {
    let crossed: Vec<String> = dependencies()
        .iter()
        .filter(|it| it.is_ours && !NOT_SHIPPED.contains(&it.from.as_str()))
        .filter(|it| !(it.for_tests && TEST_SUPPORT.contains(&it.on.as_str())))
        .filter(|it| !(it.for_tests && IN_TESTS.contains(&(it.from.as_str(), it.on.as_str()))))
        .filter(|it| {
            let (_, allowed) = ARROWS.iter().find(|(name, _)| *name == it.from).unwrap();
            !allowed.iter().any(|name| it.on == format!("cloudanix-jit-{name}"))
        })
        .map(|it| format!("{} -> {}", it.from, it.on))
        .collect();
    assert!(crossed.is_empty(), "arrows that are not in the architecture: {crossed:?}");
}

#[test]
fn a_dependency_with_a_home_is_used_nowhere_else_but_in_tests() {
    let strays: Vec<String> = dependencies()
        .iter()
        .filter(|it| !it.for_tests)
        .filter(|it| {
            let home = HOMES.iter().find(|(name, _)| *name == it.on);
            home.is_some_and(|(_, homes)| !homes.contains(&it.from.as_str()))
        })
        .map(|it| format!("{} -> {}", it.from, it.on))
        .collect();
    assert!(strays.is_empty(), "dependencies outside of their homes: {strays:?}");
}

#[test]
fn every_listed_owner_uses_its_dependency() {
    let all = dependencies();
    for (name, homes) in HOMES {
        for home in *homes {
            let used = all.iter().any(|it| it.on == *name && it.from == *home);
            assert!(used, "`{home}` no longer uses `{name}`: remove it from the list");
        }
    }
}
