//! Builds a Gitea server and its runner from Go modules, for the tests that run the action on them.
//!
//! `tests/gitea/*/go.sum` pins every module. The programs are built into `.tools/gitea/`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::process::{cargo, on_path, program, root, run, text};

const SERVER: &str = "code.gitea.io/gitea";
const RUNNER: &str = "gitea.com/gitea/runner";
/// The files that the server reads at run time. Compiling them in would need a generator run in its source.
const STATIC: [&str; 3] = ["options", "public", "templates"];

/// The selected tests on Gitea, by the variable `GITEA`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    /// Tests that fit into a run of all tests.
    Short,
    /// Also tests that take an hour.
    Long,
}

/// Whether the tests on Gitea can run.
#[derive(Debug)]
pub(crate) struct Gitea(Result<Wanted, String>);

/// Builds both programs unless they exist, or returns the reason why they cannot be built.
pub(crate) fn ready() -> Result<Gitea> {
    let wanted = match std::env::var("GITEA").unwrap_or_default().as_str() {
        "" => Wanted::Short,
        "long" => Wanted::Long,
        "0" => return Ok(Gitea(Err("`GITEA=0` says so".into()))),
        other => bail!("expected `0` or `long` in `GITEA`, found `{other}`"),
    };
    if let Err(why) = go_can_build() {
        println!("  {why}");
        return Ok(Gitea(Err(why)));
    }
    let folder = root().join(".tools/gitea");
    // Written last, so that an interrupted build is repeated.
    let note = folder.join("installed.txt");
    let expected = pinned()?;
    if fs::read_to_string(&note).is_ok_and(|installed| installed == expected) {
        println!("  built already");
        return Ok(Gitea(Ok(wanted)));
    }
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    build("server", SERVER, &folder.join("gitea"), &["-tags", "sqlite sqlite_unlock_notify"])?;
    build("runner", RUNNER, &folder.join("gitea-runner"), &[])?;
    let source = text(go("server").args(["list", "-m", "-f", "{{.Dir}}", SERVER]))?;
    for name in STATIC {
        copy(&PathBuf::from(&source).join(name), &folder.join("static").join(name))?;
    }
    fs::write(note, expected)?;
    Ok(Gitea(Ok(wanted)))
}

impl Gitea {
    /// Runs the tests, or returns the reason why they cannot run.
    pub(crate) fn test(&self) -> Result<Option<&str>> {
        let wanted = match &self.0 {
            Ok(wanted) => wanted,
            Err(why) => return Ok(Some(why)),
        };
        let mut tests = cargo();
        tests.args([
            "test",
            "--locked",
            "--workspace",
            "--test",
            "integration",
            "gitea::",
            "--",
            "--ignored",
        ]);
        match wanted {
            Wanted::Short => tests.args(["--skip", "gitea::long::"]),
            // One after another: the tests measure times, and the load of a thousand steps would disturb others.
            Wanted::Long => tests.args(["--nocapture", "--test-threads", "1"]),
        };
        run(&mut tests)?;
        Ok(None)
    }
}

/// Whether Go is installed and new enough for the modules.
fn go_can_build() -> Result<(), String> {
    if on_path("go").is_none() {
        return Err("Go is not on the PATH: see https://go.dev/doc/install".into());
    }
    let understood = go("server").args(["list", "-m"]).stdout(Stdio::null()).stderr(Stdio::null()).status();
    if understood.is_ok_and(|status| status.success()) {
        return Ok(());
    }
    let found = text(program("go").args(["env", "GOVERSION"])).unwrap_or_default();
    Err(format!("Go is older than `tests/gitea/server/go.mod` demands: found `{found}`"))
}

/// A Go command in one of the modules.
fn go(module: &str) -> Command {
    let mut command = program("go");
    command.current_dir(root().join("tests/gitea").join(module));
    // Unoptimised: SQLite's C code takes a minute to optimise.
    command.env("GOWORK", "off").env("CGO_ENABLED", "1").env("CGO_CFLAGS", "-O0");
    command
}

fn build(module: &str, package: &str, program: &Path, more: &[&str]) -> Result<()> {
    let mut build = go(module);
    build.args(["build", "-mod=readonly", "-ldflags", "-s -w"]).args(more);
    run(build.arg("-o").arg(program).arg(package))
}

/// A fingerprint of all inputs of the build.
fn pinned() -> Result<String> {
    let mut all = format!("{}\n", text(program("go").args(["env", "GOVERSION"]))?);
    for module in ["server", "runner"] {
        for file in ["go.mod", "go.sum"] {
            all += &fs::read_to_string(root().join("tests/gitea").join(module).join(file))?;
        }
    }
    Ok(all)
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from).with_context(|| format!("cannot read `{}`", from.display()))? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
