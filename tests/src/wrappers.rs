//! Locates the wrappers, and the runners and linters that test them.
//!
//! `cargo xtask test` installs the tools at pinned versions; tests use nothing else of the developer's machine.

use std::path::{Path, PathBuf};

/// The workspace's folder.
pub fn root() -> &'static Path {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here)
}

/// A program from `tests/wrappers/requirements.txt`, like `act`.
#[track_caller]
pub fn python_program(name: &str) -> PathBuf {
    there(root().join(".tools/wrappers-python/bin").join(name))
}

/// Node 24, which is what GitHub runs an action on.
#[track_caller]
pub fn node() -> PathBuf {
    there(root().join("tests/wrappers/node_modules/node/bin/node"))
}

/// A file from `tests/wrappers/package.json`, like `gitlab-ci-local/dist/index.js`.
#[track_caller]
pub fn npm_file(path: &str) -> PathBuf {
    there(root().join("tests/wrappers/node_modules").join(path))
}

#[track_caller]
fn there(path: PathBuf) -> PathBuf {
    if !path.is_file() {
        panic!("`{}` is missing: run `cargo xtask test`, which installs it", path.display());
    }
    path
}
