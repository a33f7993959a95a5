//! The page `docs/book/src/reference/inputs.md` matches the table of inputs.

use std::fs;

use system_tests::wrappers::root;

use super::table::{Input, Platform, inputs};

/// Compares the page with the table, or writes the page if the environment says so.
pub(crate) fn check() {
    let path = root().join("docs/book/src/reference/inputs.md");
    let page = page();
    if std::env::var_os("CLOUDANIX_WRITE_DOCS").is_some() {
        fs::write(&path, &page).unwrap();
    }
    let there = fs::read_to_string(&path).unwrap_or_default();
    assert!(there == page, "docs/book/src/reference/inputs.md is out of date: run `cargo xtask docs`");
}

fn page() -> String {
    let mut page = "# Inputs of the wrappers\n\n\
                    <!-- Generated from wrappers/inputs.toml: change it there. -->\n\n\
                    One name for one thing, written as each platform writes names. What a wrapper is not told it \
                    leaves to the client, which then looks at its own environment: see \
                    [environment.md](environment.md). What has a star must be said.\n\n\
                    | what | GitHub | GitLab | Jenkins | Bitbucket | CircleCI | default | becomes |\n\
                    |---|---|---|---|---|---|---|---|\n"
        .to_owned();
    let mut notes = Vec::new();
    for input in inputs() {
        let cells: Vec<String> =
            Platform::ALL.iter().map(|platform| cell(&input, *platform, &mut notes)).collect();
        let default = input.default.as_ref().map(|value| format!("`{value}`")).unwrap_or_default();
        let becomes = input.flag.as_ref().or(input.variable.as_ref());
        let becomes = becomes.map(|becomes| format!("`{becomes}`")).unwrap_or_default();
        let help = input.help.replace('|', "\\|");
        page.push_str(&format!("| {help} | {} | {default} | {becomes} |\n", cells.join(" | ")));
    }
    page.push('\n');
    for (number, note) in notes.iter().enumerate() {
        page.push_str(&format!("{}. {note}\n", number + 1));
    }
    page
}

/// The platform's name for the input; a number refers to a note.
fn cell(input: &Input, platform: Platform, notes: &mut Vec<String>) -> String {
    let special = input.on.get(&platform).cloned().unwrap_or_default();
    let mut note = |text: String| {
        let text = text.trim_end_matches('.').to_owned();
        let known = notes.iter().position(|note| note.trim_end_matches('.') == text);
        let number = known.unwrap_or_else(|| {
            notes.push(format!("{text}."));
            notes.len() - 1
        });
        format!(" ({})", number + 1)
    };
    let first_letter_up = |text: &str| {
        let (head, tail) = text.split_at(1);
        format!("{}{tail}", head.to_uppercase())
    };
    match (input.on(platform), special.none) {
        (Some(wanted), _) => {
            let required = if wanted.required { " *" } else { "" };
            let is = special.is.map(|is| note(first_letter_up(&is))).unwrap_or_default();
            format!("`{}`{required}{is}", wanted.name)
        }
        (None, Some(why)) => format!("–{}", note(first_letter_up(&why))),
        (None, None) => "–".to_owned(),
    }
}
