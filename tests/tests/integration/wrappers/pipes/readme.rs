//! The broker and the platforms accept the registrations and definitions on the wrappers' pages.

use std::fs;
use std::path::Path;

use serde_json::Value;

use super::platform::PlatformFixture;
use super::yaml;

/// The code blocks of this language in a page, without the indentation of lists.
#[track_caller]
pub(crate) fn blocks(page: &Path, language: &str) -> Vec<String> {
    let text = fs::read_to_string(page).unwrap();
    let fence = format!("```{language}");
    let mut lines = text.lines();
    let mut blocks = Vec::new();
    while let Some(line) = lines.find(|line| line.trim() == fence) {
        let indentation = line.len() - line.trim_start().len();
        let inside = lines.by_ref().take_while(|line| line.trim() != "```");
        blocks
            .push(inside.map(|line| line.get(indentation..).unwrap_or_default().to_owned() + "\n").collect());
    }
    blocks
}

/// Parses a YAML block.
#[track_caller]
pub(crate) fn value(block: &str) -> Value {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(&file, block).unwrap();
    yaml::document(file.path())
}

/// Asserts that the broker accepts the page's registration without its AWS account, which this fixture lacks.
#[track_caller]
pub(crate) fn assert_registers(platform: &PlatformFixture, page: &Path) {
    let registrations = blocks(page, "toml");
    assert_eq!(registrations.len(), 1, "{}", page.display());
    let (trust, _) = registrations[0].split_once("[boundary]").expect("a boundary");
    let boundary = "[boundary]\ntarget = \"token\"\npolicies = { \"ecs-deploy\" = \"ecs:deploy\" }\n";
    // All pages use the same agent name.
    let folder = page.parent().unwrap().file_name().unwrap().to_str().unwrap();
    let trust = trust.replace("\"orders-deploy\"\n", &format!("\"agent-of-{folder}\"\n"));
    platform.fixture.broker.register(&format!("{trust}{boundary}"));
}
