//! Renders the book in `docs/book` with mdBook.
//!
//! mdBook sees a copy. In the copy pages of the repository are included where `{{#include …}}` says so, and links to
//! files that are not in the book lead to the repository.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::links::{self, REPOSITORY, normal};
use crate::markdown;
use crate::process::{program, root, run};
use crate::steps::Steps;
use crate::tools::MDBOOK;

/// The pages, as they are written.
const PAGES: &str = "docs/book/src";

/// `cargo xtask book`.
pub(crate) fn run_command() -> Result<()> {
    let mut steps = Steps::of("book");
    steps.step("links, anchors and paths in the documents", links::check)?;
    let copy = root().join("target/book");
    steps.step("a copy with the links of a site", || stage(&copy))?;
    let mdbook = steps.step("mdBook is there", || MDBOOK.ready())?;
    steps.step("the book", || run(program(mdbook).arg("build").arg(&copy)))?;
    steps.step("links of the rendered pages", || rendered_links(&copy.join("book")))?;
    steps.finish();
    println!("  {}", copy.join("book/index.html").display());
    Ok(())
}

fn stage(copy: &Path) -> Result<()> {
    if copy.exists() {
        fs::remove_dir_all(copy)?;
    }
    fs::create_dir_all(copy)?;
    fs::copy(root().join("docs/book/book.toml"), copy.join("book.toml"))?;
    stage_folder(Path::new(PAGES), &copy.join("src"))
}

fn stage_folder(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(root().join(from))? {
        let entry = entry?;
        let (from, to) = (from.join(entry.file_name()), to.join(entry.file_name()));
        if entry.file_type()?.is_dir() {
            stage_folder(&from, &to)?;
        } else if from.extension().is_some_and(|ending| ending == "md") {
            fs::write(to, page(&from)?)?;
        } else {
            fs::copy(root().join(from), to)?;
        }
    }
    Ok(())
}

/// Fails if a rendered page links to a file that was not rendered.
fn rendered_links(html: &Path) -> Result<()> {
    let mut dead = Vec::new();
    let mut folders = vec![html.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "html") && !path.ends_with("404.html") {
                let text = fs::read_to_string(&path)?;
                let links = text.split("href=\"").skip(1).filter_map(|rest| rest.split(['"', '#']).next());
                let links = links.filter(|link| !link.is_empty() && !link.contains(':'));
                dead.extend(
                    links
                        .filter(|link| !normal(&folder.join(link)).exists())
                        .map(|link| format!("{}: `{link}`", path.display())),
                );
            }
        }
    }
    anyhow::ensure!(dead.is_empty(), "dead links in rendered pages:\n  {}", dead.join("\n  "));
    Ok(())
}

/// One page of the copy.
fn page(path: &Path) -> Result<String> {
    let mut page = String::new();
    for line in rebased(&read(path)?, path, path).lines() {
        let included = line.strip_prefix("{{#include ").and_then(|rest| rest.strip_suffix("}}"));
        match included {
            Some(included) => {
                let included = normal(&path.parent().unwrap_or(Path::new("")).join(included));
                page.push_str(&rebased(&read(&included)?, &included, path));
            }
            None => page.push_str(line),
        }
        page.push('\n');
    }
    Ok(page)
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(root().join(path)).with_context(|| format!("cannot read `{}`", path.display()))
}

/// The text of one file with links that lead to the same places from another page.
fn rebased(text: &str, file: &Path, page: &Path) -> String {
    let mut rebased = text.to_owned();
    for link in markdown::read(text).links.iter().rev() {
        if link.to.contains("://") || link.to.starts_with('#') {
            continue;
        }
        let (path, anchor) =
            link.to.split_once('#').map_or((&*link.to, None), |(path, anchor)| (path, Some(anchor)));
        let mut target = normal(&file.parent().unwrap_or(Path::new("")).join(path));
        // mdBook writes a README as the index of its folder, and does not follow with the links to it.
        if target.starts_with(PAGES) && target.ends_with("README.md") && !page.ends_with("SUMMARY.md") {
            target.set_file_name("index.md");
        }
        let mut to = match target.strip_prefix(PAGES) {
            Ok(_) => between(page.parent().unwrap_or(Path::new("")), &target).display().to_string(),
            Err(_) => format!("{REPOSITORY}{}", target.display()),
        };
        if let Some(anchor) = anchor {
            to = format!("{to}#{anchor}");
        }
        let Some(whole) = text.get(link.span.clone()) else { continue };
        if let Some(at) = whole.rfind(&format!("({}", link.to)) {
            let start = link.span.start + at + 1;
            rebased.replace_range(start..start + link.to.len(), &to);
        }
    }
    rebased
}

/// The way from a folder to a file; both are paths from the same root.
fn between(folder: &Path, file: &Path) -> PathBuf {
    let shared = folder.components().zip(file.components()).take_while(|(left, right)| left == right).count();
    let up = folder.components().skip(shared).map(|_| "..");
    up.map(PathBuf::from)
        .chain(file.components().skip(shared).map(|part| PathBuf::from(part.as_os_str())))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rendered_link_to_a_missing_page_fails() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("b.html"), "<a href=\"#top\"> <a href=\"https://example.com\">")
            .unwrap();
        fs::write(folder.path().join("a.html"), "<a href=\"b.html#x\">").unwrap();
        rendered_links(folder.path()).unwrap();
        fs::write(folder.path().join("a.html"), "<a href=\"c.html\">").unwrap();
        let failed = rendered_links(folder.path()).unwrap_err().to_string();
        assert!(failed.ends_with("a.html: `c.html`"), "{failed}");
    }

    #[test]
    fn a_link_to_a_readme_leads_to_the_index_that_mdbook_makes_of_it() {
        let page = Path::new("docs/book/src/operate/deploy.md");
        assert_eq!(rebased("[a](runbooks/README.md#b)", page, page), "[a](runbooks/index.md#b)");
        let summary = Path::new("docs/book/src/SUMMARY.md");
        assert_eq!(rebased("[a](targets/README.md)", summary, summary), "[a](targets/README.md)");
    }

    #[test]
    fn links_of_an_included_file_lead_to_the_same_places() {
        let text =
            "[a](docs/book/src/operate/backup.md#after) ![b](cli/x.svg) [c](#d) [e](https://example.com)";
        let page = Path::new("docs/book/src/develop/architecture.md");
        assert_eq!(
            rebased(text, Path::new("ARCHITECTURE.md"), page),
            "[a](../operate/backup.md#after) ![b](https://github.com/cloudanix/cloudanix-jit/blob/main/cli/x.svg) \
             [c](#d) [e](https://example.com)"
        );
    }
}
