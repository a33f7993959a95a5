//! The library has the inputs of the table with their defaults, and the same download checks as every wrapper.

use std::fs;

use system_tests::wrappers;

use super::build::library;

/// The Jenkins spelling of a name, such as `agentId` for `agent-id`.
fn camel(name: &str) -> String {
    let mut words = name.split('-');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |text, word| format!("{text}{}{}", word[..1].to_uppercase(), &word[1..]))
}

/// The quoted text after `after` in this part of a file.
fn quoted(part: &str, after: &str) -> Option<String> {
    let rest = &part[part.find(after)? + after.len()..];
    rest.split('"').next().map(str::to_owned)
}

#[test]
fn the_inputs_are_those_of_the_table() {
    let table = fs::read_to_string(wrappers::root().join("wrappers/inputs.toml")).unwrap();
    let source = fs::read_to_string(library().join("src/io/cloudanix/jit/Inputs.groovy")).unwrap();
    let readme = fs::read_to_string(library().join("README.md")).unwrap();
    let mut known = 0;
    for input in table.split("[[input]]").skip(1) {
        let name = quoted(input, "\nname = \"").unwrap();
        let of_another = input.contains("\nonly = \"") && !input.contains("\nonly = \"jenkins\"");
        if of_another || input.contains("on.jenkins = { none") {
            assert!(!source.contains(&format!("        {}:", camel(&name))), "{name}");
            continue;
        }
        known += 1;
        let name = quoted(input, "on.jenkins = { name = \"").unwrap_or_else(|| camel(&name));
        assert!(readme.contains(&format!("| `{name}` |")), "`{name}` is not in the README");
        if name.ends_with("CredentialsId") {
            assert!(source.contains(&format!("'{name}'")), "{name}");
            let default = quoted(input, "is = \"").map(|_| quoted(input, "default = \"").unwrap()).unwrap();
            assert!(source.contains(&format!("= '{default}'")), "{name} {default}");
            continue;
        }
        if let Some(variable) = quoted(input, "\nvariable = \"") {
            assert!(source.contains(&format!("{name}: '{variable}'")), "{name} {variable}");
        }
        assert!(source.contains(&format!("        {name}: 'CLOUDANIX_")), "{name}");
        if let Some(default) = quoted(input, "\ndefault = \"") {
            assert!(source.contains(&format!("{name}: '{default}'")), "{name} {default}");
        }
    }
    assert_eq!(source.matches(": 'CLOUDANIX_").count() + 2, known, "no other than those");
}

#[test]
fn the_program_is_fetched_as_every_wrapper_does() {
    let ours = fs::read_to_string(library().join("resources/io/cloudanix/jit/fetch.sh")).unwrap();
    assert_eq!(ours, fs::read_to_string(wrappers::root().join("wrappers/fetch.sh")).unwrap());
    // The PowerShell script for Windows has the same checks, and its source pins no checksums either.
    let windows = fs::read_to_string(library().join("resources/io/cloudanix/jit/fetch.ps1")).unwrap();
    assert!(windows.contains("\n$pinnedVersion = ''\n$pinnedSums = ''\n"));
}
