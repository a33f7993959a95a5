//! Every registration in the documents is accepted.
#![expect(clippy::unwrap_used, reason = "in a test, whatever is not as expected is a failure")]

use std::fs;
use std::path::{Path, PathBuf};

/// Every Markdown file of the repository, except built and fetched files.
fn documents(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_symlink() || name.starts_with('.') || ["target", "node_modules"].contains(&name.as_str()) {
            continue;
        }
        if path.is_dir() {
            documents(&path, found);
        } else if name.ends_with(".md") {
            found.push(path);
        }
    }
}

/// The whole registrations among a document's TOML blocks.
fn registrations(text: &str) -> Vec<String> {
    let blocks = text.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next());
    blocks.filter(|block| block.contains("use_case")).map(str::to_owned).collect()
}

#[test]
fn every_documented_registration_is_accepted() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut files = Vec::new();
    documents(&root, &mut files);
    let mut seen = 0;
    for file in files {
        for registration in registrations(&fs::read_to_string(&file).unwrap()) {
            let read = domain::registration::parse(&registration);
            assert!(read.is_ok(), "{}: {}\n{registration}", file.display(), read.unwrap_err());
            seen += 1;
        }
    }
    assert!(seen >= 10, "{seen} registrations were found");
}
