//! Installs the Python packages of the tests, and libfaketime.
//!
//! Everything goes into `.tools/`, at pinned versions. Of the developer's installation only Python itself is used.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::machine::debian_package;
use crate::process::{on_path, program, root, run, text};

const OLDEST_PYTHON: u32 = 11;

/// A virtual environment, `.tools/<name>-python`, for the packages in `tests/<name>/requirements.txt`.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Environment {
    /// An AWS emulator, a second one, the AWS CLI and boto3.
    Aws,
    /// Runners, schemas and linters for the wrappers.
    Wrappers,
    /// The solver that compares rule sets.
    Cvc5,
}

/// Installs the pinned packages, unless they are installed.
pub(crate) fn ready(environment: Environment) -> Result<()> {
    let name = match environment {
        Environment::Aws => "aws",
        Environment::Wrappers => "wrappers",
        Environment::Cvc5 => "cvc5",
    };
    let requirements = format!("tests/{name}/requirements.txt");
    let pinned = fs::read_to_string(root().join(&requirements))?;
    let folder = root().join(format!(".tools/{name}-python"));
    // Written last, so that an interrupted installation is repeated. With the folder, whose path the programs contain.
    let note = folder.join("installed.txt");
    let expected = format!("{}\n{pinned}", folder.display());
    let installed = fs::read_to_string(&note).is_ok_and(|installed| installed == expected);
    // A link to the machine's Python, which may have been removed.
    if installed && folder.join("bin/python").is_file() {
        println!("  installed already");
        return Ok(());
    }
    let minor = python()?;
    can_make_environments(minor)?;
    run(program("python3").args(["-m", "venv", "--clear"]).arg(&folder))?;
    // Without compiling: Python compiles what it uses.
    run(program(folder.join("bin/pip"))
        .args(["install", "--quiet", "--disable-pip-version-check", "--require-hashes", "--no-compile"])
        .args(["-r", &requirements]))?;
    fs::write(note, expected)?;
    Ok(())
}

/// Installs the solver as a program, `.tools/cvc5-python/bin/cvc5`. PyPI has it as a library alone.
pub(crate) fn solver() -> Result<()> {
    ready(Environment::Cvc5)?;
    let folder = root().join(".tools/cvc5-python/bin");
    let (python, script) = (folder.join("python"), root().join("tests/cvc5/solver.py"));
    let program = folder.join("cvc5");
    fs::write(&program, format!("#!/bin/sh\nexec '{}' '{}' \"$@\"\n", python.display(), script.display()))?;
    #[cfg(unix)]
    fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    Ok(())
}

/// Installs `.tools/libfaketime.so.1`, the library that gives a process a clock of its own.
pub(crate) fn faketime() -> Result<()> {
    let debian = format!("/usr/lib/{}-linux-gnu/faketime/libfaketime.so.1", std::env::consts::ARCH);
    let elsewhere = ["/usr/lib64/faketime/libfaketime.so.1", "/usr/lib/faketime/libfaketime.so.1"];
    let library = match elsewhere.iter().find(|path| Path::new(path).is_file()) {
        Some(library) => PathBuf::from(library),
        None => {
            debian_package(&debian, "libfaketime")?;
            PathBuf::from(debian)
        }
    };
    let link = root().join(".tools/libfaketime.so.1");
    if fs::read_link(&link).is_ok_and(|there| there == library) {
        println!("  there already");
        return Ok(());
    }
    fs::create_dir_all(root().join(".tools"))?;
    // The link is missing, or points elsewhere.
    let _ = fs::remove_file(&link);
    #[cfg(unix)]
    std::os::unix::fs::symlink(&library, &link)
        .with_context(|| format!("cannot link to `{}`", library.display()))?;
    Ok(())
}

/// The minor version of Python.
fn python() -> Result<u32> {
    if on_path("python3").is_none() {
        debian_package("python3", "python3")?;
    }
    let version = text(program("python3").arg("--version"))?;
    let minor = version.strip_prefix("Python 3.").and_then(|rest| rest.split('.').next()?.parse().ok());
    match minor {
        Some(minor) if minor >= OLDEST_PYTHON => Ok(minor),
        Some(_) | None => {
            bail!("python 3.{OLDEST_PYTHON} or newer is needed by the tests, found `{version}`")
        }
    }
}

/// Installs Debian's separate package for Python's `venv`.
fn can_make_environments(minor: u32) -> Result<()> {
    let look = "import importlib.util as modules; exit(modules.find_spec('ensurepip') is None)";
    if program("python3").args(["-c", look]).status().is_ok_and(|status| status.success()) {
        return Ok(());
    }
    debian_package(&format!("/usr/lib/python3.{minor}/ensurepip/__init__.py"), "python3-venv")
}
