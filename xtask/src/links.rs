//! Checks that every link, anchor and path that the documents name exists.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::markdown::{self, Page};
use crate::process::root;

/// How pages that are published elsewhere name a file of this repository.
pub(crate) const REPOSITORY: &str = "https://github.com/cloudanix/cloudanix-jit/blob/main/";

/// Folders that hold nothing of ours.
const FOREIGN: [&str; 5] = ["target", "node_modules", "corpus", "artifacts", "testdata"];

/// Files whose comments and messages may name a document.
const WITH_PATHS: [&str; 12] =
    ["md", "rs", "toml", "yml", "yaml", "js", "mjs", "py", "sh", "groovy", "tf", "json"];

/// Endings by which a code span is taken for the path of a file.
const PATH_ENDINGS: [&str; 9] = [".rs", ".md", ".json", ".toml", ".svg", ".py", ".sh", ".yml", ".yaml"];

/// Fails with every dead link of the repository.
pub(crate) fn check() -> Result<()> {
    let dead = dead_links(root())?;
    if dead.is_empty() {
        return Ok(());
    }
    for problem in &dead {
        println!("  {problem}");
    }
    bail!("{} links or paths lead nowhere", dead.len());
}

fn dead_links(root: &Path) -> Result<Vec<String>> {
    let mut files = Vec::new();
    collect(root, &mut files)?;
    files.sort();
    let mut texts = BTreeMap::new();
    for file in files {
        // A binary file has no links.
        if let Ok(text) = std::fs::read_to_string(&file) {
            texts.insert(file.strip_prefix(root)?.to_owned(), text);
        }
    }
    let pages: BTreeMap<&Path, Page> = texts
        .iter()
        .filter(|(path, _)| path.extension().is_some_and(|ending| ending == "md"))
        .map(|(path, text)| (path.as_path(), markdown::read(text)))
        .collect();
    let repository = Repository { root, pages: &pages };
    let mut dead = Vec::new();
    for (path, page) in &pages {
        for link in &page.links {
            if let Err(why) = repository.resolves(path, &link.to) {
                dead.push(format!("{}:{}: `{}`: {why}", path.display(), link.line, link.to));
            }
        }
        // A changelog names what was there at the time.
        if path.ends_with("CHANGELOG.md") {
            continue;
        }
        for (line, code) in &page.code {
            if repository.is_missing_path(code) {
                dead.push(format!("{}:{line}: `{code}`: no such file or folder", path.display()));
            }
        }
    }
    for (path, text) in &texts {
        // The tests of this tool name documents that do not exist.
        if path.starts_with("xtask/src") {
            continue;
        }
        for (number, line) in text.lines().enumerate() {
            for document in documents_in(line) {
                if !root.join(document).is_file() {
                    dead.push(format!("{}:{}: `{document}`: no such document", path.display(), number + 1));
                }
            }
            // The links of pages were checked above.
            if pages.contains_key(path.as_path()) {
                continue;
            }
            for address in addresses_in(line) {
                if let Err(why) = repository.resolves(path, address) {
                    dead.push(format!("{}:{}: `{address}`: {why}", path.display(), number + 1));
                }
            }
        }
    }
    dead.extend(repository.pages_without_a_way());
    Ok(dead)
}

struct Repository<'a> {
    root: &'a Path,
    pages: &'a BTreeMap<&'a Path, Page>,
}

impl Repository<'_> {
    fn resolves(&self, from: &Path, link: &str) -> Result<(), &'static str> {
        let ours = link.strip_prefix(REPOSITORY);
        if ours.is_none() && (link.contains("://") || link.starts_with("mailto:")) {
            return Ok(());
        }
        let (path, anchor) = ours.unwrap_or(link).split_once('#').unwrap_or((ours.unwrap_or(link), ""));
        let folder = if ours.is_some() { Path::new("") } else { from.parent().unwrap_or(Path::new("")) };
        let target = if path.is_empty() { from.to_owned() } else { normal(&folder.join(path)) };
        if !self.root.join(&target).exists() {
            return Err("no such file");
        }
        if anchor.is_empty() {
            return Ok(());
        }
        match self.pages.get(target.as_path()) {
            Some(page) if page.anchors.contains(anchor) => Ok(()),
            Some(_) => Err("the page has no such heading"),
            None => Err("an anchor, and not a page"),
        }
    }

    /// Whether a code span is the path of a file that does not exist. Patterns are not paths.
    fn is_missing_path(&self, code: &str) -> bool {
        let is_path = code.contains('/')
            && code.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/._-".contains(&byte))
            && (code.ends_with('/') || PATH_ENDINGS.iter().any(|ending| code.ends_with(ending)));
        let first = code.split('/').next().unwrap_or_default();
        is_path
            && !first.is_empty()
            && first != "target"
            && self.root.join(first).is_dir()
            && !self.root.join(code).exists()
    }

    /// Pages of the book that its summary does not name, and pages of other folders that their index does not.
    fn pages_without_a_way(&self) -> Vec<String> {
        let indexes =
            [("docs/book/src", "SUMMARY.md"), ("docs/adr", "README.md"), ("docs/evidence", "README.md")];
        let mut lost = Vec::new();
        for (folder, index) in indexes {
            let index = Path::new(folder).join(index);
            let Some(page) = self.pages.get(index.as_path()) else { continue };
            let named: Vec<PathBuf> =
                page.links.iter().map(|link| normal(&Path::new(folder).join(&link.to))).collect();
            for path in self.pages.keys().filter(|path| path.starts_with(folder) && **path != index) {
                if !named.iter().any(|named| named == path) {
                    lost.push(format!("{}: `{}` does not name it", path.display(), index.display()));
                }
            }
        }
        lost
    }
}

/// The documents that a line of any file names: `docs/…` with an ending.
fn documents_in(line: &str) -> impl Iterator<Item = &str> {
    line.match_indices("docs/").filter_map(|(at, _)| {
        let before = line.get(..at)?.chars().next_back();
        if before.is_some_and(|letter| letter.is_alphanumeric() || "/.-_".contains(letter)) {
            return None;
        }
        let rest = line.get(at..)?;
        let end = rest
            .find(|letter: char| !(letter.is_ascii_alphanumeric() || "/._-".contains(letter)))
            .unwrap_or(rest.len());
        let path = rest.get(..end)?.trim_end_matches('.');
        [".md", ".json", ".svg"].iter().any(|ending| path.ends_with(ending)).then_some(path)
    })
}

/// The addresses of files of this repository in a line of any file.
fn addresses_in(line: &str) -> impl Iterator<Item = &str> {
    line.match_indices(REPOSITORY).filter_map(|(at, _)| {
        let address = line.get(at..)?;
        let end = address
            .find(|letter: char| !(letter.is_ascii_alphanumeric() || ":/._-#".contains(letter)))
            .unwrap_or(address.len());
        address.get(..end).map(|address| address.trim_end_matches('.'))
    })
}

/// The path without `.` and `..`.
pub(crate) fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                normal.pop();
            }
            Component::Prefix(_) | Component::RootDir | Component::Normal(_) => normal.push(part),
        }
    }
    normal
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in std::fs::read_dir(folder).with_context(|| format!("cannot read `{}`", folder.display()))? {
        let entry = entry?;
        let (path, name) = (entry.path(), entry.file_name());
        let name = name.to_string_lossy();
        if entry.file_type()?.is_dir() {
            if !FOREIGN.contains(&&*name) && (!name.starts_with('.') || name == ".github") {
                collect(&path, files)?;
            }
        } else if path.extension().is_some_and(|ending| WITH_PATHS.contains(&&*ending.to_string_lossy())) {
            files.push(path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn dead(files: &[(&str, &str)]) -> Vec<String> {
        let folder = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        dead_links(folder.path()).unwrap()
    }

    #[test]
    fn links_and_anchors_that_exist_are_fine() {
        let readme = "# Top\n[a](docs/a.md#part-two) [b](#top) [c](docs) [d](https://example.com/x)\n\
                      [e](https://github.com/cloudanix/cloudanix-jit/blob/main/docs/a.md#part-two) `docs/a.md`\n";
        assert_eq!(
            dead(&[("README.md", readme), ("docs/a.md", "## Part two\n[up](../README.md)\n")]),
            [""; 0]
        );
    }

    #[test]
    fn each_kind_of_dead_link_is_found() {
        let page = "# A\n[x](b.md)\n[x](#c)\n[x](../README.md#d)\n\
                    [x](https://github.com/cloudanix/cloudanix-jit/blob/main/docs/e.md)\n`docs/f/`\n";
        let code = "// see docs/g.md, and not other/docs/h.md.\n";
        let alerts =
            "url: https://github.com/cloudanix/cloudanix-jit/blob/main/README.md#i\n# see README.md\n";
        let files = [("docs/a.md", page), ("README.md", "# Top\n"), ("src/lib.rs", code), ("y.yml", alerts)];
        let found = dead(&files);
        assert_eq!(
            found,
            [
                "docs/a.md:2: `b.md`: no such file",
                "docs/a.md:3: `#c`: the page has no such heading",
                "docs/a.md:4: `../README.md#d`: the page has no such heading",
                "docs/a.md:5: `https://github.com/cloudanix/cloudanix-jit/blob/main/docs/e.md`: no such file",
                "docs/a.md:6: `docs/f/`: no such file or folder",
                "src/lib.rs:1: `docs/g.md`: no such document",
                "y.yml:1: `https://github.com/cloudanix/cloudanix-jit/blob/main/README.md#i`: the page has no such heading",
            ]
        );
    }

    #[test]
    fn a_page_that_the_summary_does_not_name_is_found() {
        let files = [
            ("docs/book/src/SUMMARY.md", "[a](a.md)\n"),
            ("docs/book/src/a.md", ""),
            ("docs/book/src/b.md", ""),
        ];
        assert_eq!(dead(&files), ["docs/book/src/b.md: `docs/book/src/SUMMARY.md` does not name it"]);
    }
}
