//! The script of all wrappers finds or downloads the client and runs no unchecked program.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use system_tests::programs;
use system_tests::wrappers::{python_program, root};
use tempfile::TempDir;

const VERSION: &str = env!("CARGO_PKG_VERSION");
/// The release's name for the client of this machine.
fn file() -> String {
    format!("cloudanix-jit-{}-unknown-linux-musl", std::env::consts::ARCH)
}

/// A mirror with one release of the client, served by Python's web server.
struct Mirror {
    server: Child,
    url: String,
    sum: String,
    folder: TempDir,
}

impl Mirror {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let release = folder.path().join(format!("v{VERSION}"));
        fs::create_dir(&release).unwrap();
        fs::copy(programs::client(), release.join(file())).unwrap();
        let sum = Command::new("sha256sum").arg(release.join(file())).output().unwrap();
        let sum = String::from_utf8(sum.stdout).unwrap().split(' ').next().unwrap().to_owned();
        let mut server = Command::new(python_program("python"))
            .args(["-u", "-m", "http.server", "0", "--bind", "127.0.0.1", "--directory"])
            .arg(folder.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(server.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let port: u16 = line.split_once(" port ").unwrap().1.split(' ').next().unwrap().parse().unwrap();
        Self { server, url: format!("http://127.0.0.1:{port}"), sum, folder }
    }
}

impl Drop for Mirror {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// An invocation of the script in a plain shell with its own temporary folder.
struct Fetch {
    command: Command,
    temporary: TempDir,
}

impl Fetch {
    fn new() -> Self {
        Self::of(&root().join("wrappers/fetch.sh"))
    }

    fn of(script: &Path) -> Self {
        let temporary = tempfile::tempdir().unwrap();
        let mut command = Command::new("sh");
        command.arg(script).env_clear().env("PATH", "/usr/bin:/bin").env("TMPDIR", temporary.path());
        Self { command, temporary }
    }

    fn with(mut self, variables: &[(&str, &str)]) -> Self {
        self.command.envs(variables.iter().copied());
        self
    }

    /// Asserts that the script succeeded; returns the printed path of the client.
    #[track_caller]
    fn found(mut self) -> (PathBuf, TempDir) {
        let output = self.command.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let path = PathBuf::from(String::from_utf8(output.stdout).unwrap().trim_end());
        let version = Command::new(&path).arg("--version").output().unwrap();
        assert_eq!(String::from_utf8(version.stdout).unwrap(), format!("cloudanix-jit {VERSION}\n"));
        (path, self.temporary)
    }

    /// Asserts that the script failed with this message and left no file behind.
    #[track_caller]
    fn refused(mut self, because: &str) {
        let Output { status, stdout, stderr } = self.command.output().unwrap();
        let stderr = String::from_utf8(stderr).unwrap();
        assert_eq!((status.code(), stdout.as_slice()), (Some(125), [].as_slice()), "{stderr}");
        assert!(stderr.contains(because) && stderr.contains("hint: "), "{stderr}");
        assert_eq!(fs::read_dir(self.temporary.path()).unwrap().count(), 0, "the script left a file behind");
    }
}

#[test]
fn a_program_that_is_named_is_taken_as_it_is() {
    let client = programs::client();
    let (path, _folder) = Fetch::new().with(&[("CLOUDANIX_JIT_BINARY", client.to_str().unwrap())]).found();
    assert_eq!(path, client);
    Fetch::new().with(&[("CLOUDANIX_JIT_BINARY", "/nowhere")]).refused("`/nowhere`, which is not a program");
}

#[test]
fn one_on_the_path_is_taken_unless_another_version_is_wanted() {
    let client = programs::client();
    let path = format!("{}:/usr/bin:/bin", client.parent().unwrap().display());
    for wanted in ["", VERSION] {
        let fetch = Fetch::new().with(&[("PATH", &path), ("CLOUDANIX_JIT_VERSION", wanted)]);
        assert_eq!(fetch.found().0, client, "{wanted}");
    }
    let fetch = Fetch::new().with(&[("PATH", &path), ("CLOUDANIX_JIT_VERSION", "9.9.9")]);
    fetch.refused("no checksum is known");
}

#[test]
fn a_download_is_run_only_when_it_is_what_was_expected() {
    let mirror = Mirror::start();
    let version = format!("v{VERSION}");
    let variables = |sum: &'static str| {
        [
            ("CLOUDANIX_JIT_MIRROR", mirror.url.clone()),
            ("CLOUDANIX_JIT_VERSION", version.clone()),
            ("CLOUDANIX_JIT_SHA256", if sum == "right" { mirror.sum.clone() } else { sum.to_owned() }),
        ]
    };
    let fetch = |sum| {
        let variables = variables(sum);
        Fetch::new().with(&variables.each_ref().map(|(name, value)| (*name, value.as_str())))
    };
    let (path, _folder) = fetch("right").found();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
    assert_eq!(fs::metadata(path.parent().unwrap()).unwrap().permissions().mode() & 0o777, 0o700);

    let other = "0".repeat(64).leak();
    fetch(other).refused("the download is not what was expected");
    fetch("").refused("nothing unchecked is run");
    fs::remove_dir_all(mirror.folder.path().join(&version)).unwrap();
    fetch("right").refused("cannot download");
}

#[test]
fn invalid_version_is_never_part_of_a_url() {
    for version in ["../../evil", "1.2 3", "$(id)", "1;id"] {
        let fetch = Fetch::new().with(&[("CLOUDANIX_JIT_VERSION", version), ("CLOUDANIX_JIT_SHA256", "aa")]);
        fetch.refused("expected a version like 1.2.3");
    }
    Fetch::new().refused("no version is named");
}

#[test]
fn a_release_pins_what_its_copy_fetches() {
    let mirror = Mirror::start();
    let source = fs::read_to_string(root().join("wrappers/fetch.sh")).unwrap();
    let pinned = source.replace("\npinned_version=''\n", &format!("\npinned_version='{VERSION}'\n")).replace(
        "\npinned_sums=''\n",
        &format!("\npinned_sums='{}  {}\n{}  another'\n", mirror.sum, file(), "0".repeat(64)),
    );
    let script = mirror.folder.path().join("fetch.sh");
    fs::write(&script, pinned).unwrap();
    Fetch::of(&script).with(&[("CLOUDANIX_JIT_MIRROR", &mirror.url)]).found();
    // Another version has another checksum than the pinned one.
    let other = [("CLOUDANIX_JIT_MIRROR", mirror.url.as_str()), ("CLOUDANIX_JIT_VERSION", "9.9.9")];
    Fetch::of(&script).with(&other).refused("nothing unchecked is run");
}

#[test]
fn linters_find_nothing_in_it() {
    let script = root().join("wrappers/fetch.sh");
    for (linter, options) in [("shellcheck", &[][..]), ("shfmt", &["-d", "-i", "2", "-ci"])] {
        let output = Command::new(python_program(linter)).args(options).arg(&script).output().unwrap();
        assert!(output.status.success(), "{linter}: {output:?}");
    }
}

/// A script that is named like the client and creates a file when it is executed, in its own folder.
fn impostor(says: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cloudanix-jit");
    let mark = folder.path().join("executed");
    fs::write(&path, format!("#!/bin/sh\n/usr/bin/env >'{}'\necho '{says}'\n", mark.display())).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    folder
}

fn before(impostor: &TempDir) -> String {
    format!("{}:{}:/usr/bin:/bin", impostor.path().display(), programs::client().parent().unwrap().display())
}

#[test]
fn program_with_another_checksum_is_never_executed() {
    let mirror = Mirror::start();
    let impostor = impostor(&format!("cloudanix-jit {VERSION}"));
    let given = [
        ("PATH", before(&impostor)),
        ("CLOUDANIX_JIT_VERSION", VERSION.to_owned()),
        ("CLOUDANIX_JIT_SHA256", mirror.sum.to_uppercase()),
    ];
    let given = given.each_ref().map(|(name, value)| (*name, value.as_str()));
    assert_eq!(
        Fetch::new().with(&given).found().0,
        programs::client(),
        "the next program on the PATH has the known checksum"
    );
    // Without an installed client the script downloads one.
    let path = format!("{}:/usr/bin:/bin", impostor.path().display());
    let fetched = Fetch::new().with(&given).with(&[("PATH", &path), ("CLOUDANIX_JIT_MIRROR", &mirror.url)]);
    let (program, folder) = fetched.found();
    assert!(program.starts_with(folder.path()));
    // A pinned checksum is known without the mirror.
    let source = fs::read_to_string(root().join("wrappers/fetch.sh")).unwrap();
    let pinned = source
        .replace("\npinned_version=''\n", &format!("\npinned_version='{VERSION}'\n"))
        .replace("\npinned_sums=''\n", &format!("\npinned_sums='{}  {}'\n", mirror.sum, file()));
    let script = mirror.folder.path().join("fetch.sh");
    fs::write(&script, pinned).unwrap();
    assert_eq!(Fetch::of(&script).with(&[("PATH", &before(&impostor))]).found().0, programs::client());
    assert!(!impostor.path().join("executed").exists());
}

#[test]
fn a_program_on_the_path_is_asked_for_its_version_with_an_empty_environment() {
    let impostor = impostor("cloudanix-jit 0.0.0");
    let path = before(&impostor);
    let variables =
        [("PATH", path.as_str()), ("CLOUDANIX_JIT_VERSION", VERSION), ("CLOUDANIX_AUTH_TOKEN", "cjat_x")];
    assert_eq!(Fetch::new().with(&variables).found().0, programs::client());
    let seen = fs::read_to_string(impostor.path().join("executed")).unwrap();
    assert!(!seen.contains("cjat_x") && !seen.contains("CLOUDANIX"), "{seen}");
}

#[test]
fn program_in_a_world_writable_or_relative_folder_is_ignored() {
    let impostor = impostor("cloudanix-jit");
    fs::set_permissions(impostor.path(), fs::Permissions::from_mode(0o1777)).unwrap();
    assert_eq!(Fetch::new().with(&[("PATH", &before(&impostor))]).found().0, programs::client());
    fs::set_permissions(impostor.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let mut fetch = Fetch::new().with(&[("PATH", ".:/usr/bin:/bin")]);
    fetch.command.current_dir(impostor.path());
    fetch.refused("no version is named");
    assert!(!impostor.path().join("executed").exists());
}

#[test]
fn a_program_that_is_named_beside_a_checksum_has_to_have_it() {
    let impostor = impostor("cloudanix-jit");
    let named = impostor.path().join("cloudanix-jit");
    let variables =
        [("CLOUDANIX_JIT_BINARY", named.to_str().unwrap()), ("CLOUDANIX_JIT_SHA256", &"0".repeat(64))];
    Fetch::new().with(&variables).refused("has not the checksum");
    assert!(!impostor.path().join("executed").exists());
}
