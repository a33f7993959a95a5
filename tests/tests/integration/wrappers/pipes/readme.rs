//! Is what the pages tell people to write what the broker and the platforms accept?

use std::fs;
use std::path::Path;

use serde_json::Value;

use super::platform::PlatformFixture;
use super::yaml;

/// The blocks of this language in a page, without the indentation that they have in a list.
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

/// A block of YAML as a value.
#[track_caller]
pub(crate) fn value(block: &str) -> Value {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(&file, block).unwrap();
    yaml::document(file.path())
}

/// The page's registration is accepted, but for the AWS account: none is set up here.
#[track_caller]
pub(crate) fn assert_registers(platform: &PlatformFixture, page: &Path) {
    let registrations = blocks(page, "toml");
    assert_eq!(registrations.len(), 1, "{}", page.display());
    let (trust, _) = registrations[0].split_once("[boundary]").expect("a boundary");
    let boundary = "[boundary]\ntarget = \"token\"\npolicies = { \"ecs-deploy\" = \"ecs:deploy\" }\n";
    // All pages call their agent the same.
    let folder = page.parent().unwrap().file_name().unwrap().to_str().unwrap();
    let trust = trust.replace("\"orders-deploy\"\n", &format!("\"agent-of-{folder}\"\n"));
    platform.fixture.broker.register(&format!("{trust}{boundary}"));
}
