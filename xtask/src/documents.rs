//! Generates documents from the code, and checks the committed ones.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::process::{cargo, root, run};

/// The tests that write documents when `CLOUDANIX_WRITE_DOCS` is set and compare them otherwise: binary and filter.
const WRITERS: [(&str, &str); 2] = [("documents", ""), ("integration", "wrappers::inputs::")];

/// Writes all documents. Builds the whole workspace, because cargo would build the libraries of a single package again,
/// with other features.
pub(crate) fn write() -> Result<()> {
    for (binary, filter) in WRITERS {
        let mut testing = cargo();
        testing.args(["test", "--quiet", "--workspace", "--test", binary, "--", filter]);
        run(testing.env("CLOUDANIX_WRITE_DOCS", "1"))?;
    }
    Ok(())
}

/// Writes all documents, and fails if one changed.
pub(crate) fn are_fresh() -> Result<()> {
    let folder = root().join("docs");
    let before = contents(&folder)?;
    write()?;
    let after = contents(&folder)?;
    let stale: Vec<_> = after
        .iter()
        .filter(|(path, text)| before.get(*path) != Some(text))
        .map(|(path, _)| path.strip_prefix(root()).unwrap_or(path).display().to_string())
        .collect();
    if !stale.is_empty() {
        bail!("out of date, and now written again: {}; look at the change and commit it", stale.join(", "));
    }
    Ok(())
}

fn contents(folder: &Path) -> Result<BTreeMap<PathBuf, Vec<u8>>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(folder).with_context(|| format!("cannot read `{}`", folder.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(contents(&path)?);
        } else {
            found.insert(path.clone(), std::fs::read(path)?);
        }
    }
    Ok(found)
}
