//! Compares the committed documents with those that the code renders. `CLOUDANIX_WRITE_DOCS=1` writes them.
#![expect(clippy::unwrap_used, reason = "the functions around the tests fail as the tests do")]

use std::fs;
use std::path::Path;

#[test]
fn the_generated_documents_are_up_to_date() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/book/src/reference");
    let write = std::env::var_os("CLOUDANIX_WRITE_DOCS").is_some_and(|value| value == "1");
    for (name, rendered) in [
        ("exit-codes.md", cli::documents::exit_codes()),
        ("environment.md", cli::documents::environment()),
        ("cli.md", cli::documents::commands()),
    ] {
        let file = docs.join(name);
        if write {
            fs::write(&file, &rendered).unwrap();
        }
        let committed = fs::read_to_string(&file).unwrap_or_default();
        assert!(committed == rendered, "{name} is not what the code says: write it with `cargo xtask docs`");
    }
}

#[test]
fn every_variable_of_the_environment_document_is_read() {
    let mut code = String::new();
    for folder in ["src", "../client/src"] {
        collect(&Path::new(env!("CARGO_MANIFEST_DIR")).join(folder), &mut code);
    }
    let page = cli::documents::environment();
    let names =
        page.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`')).map(|(name, _)| name);
    let idle: Vec<&str> = names.filter(|name| !code.contains(&format!("\"{name}\""))).collect();
    assert!(idle.is_empty(), "declared, and read by nothing: {idle:?}");
}

/// All code except for the declarations.
fn collect(folder: &Path, code: &mut String) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, code);
        } else if !path.ends_with("environment/variables.rs") {
            code.push_str(&fs::read_to_string(&path).unwrap());
        }
    }
}
