//! The action downloads the pinned client and runs no program with another checksum or version.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use system_tests::programs;

use super::hub::Hub;
use super::step::{Ended, Step};
use super::web::Web;

/// The client's file name for the machine of the tests.
const FILE: &str = if cfg!(target_arch = "aarch64") {
    "cloudanix-jit-aarch64-unknown-linux-musl"
} else {
    "cloudanix-jit-x86_64-unknown-linux-musl"
};

/// A mirror with one release, and its request counter.
fn mirror(program: Vec<u8>) -> (Web, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let web = Web::serve(move |request| {
        count.fetch_add(1, Ordering::SeqCst);
        if request.target == format!("/releases/v9.8.7/{FILE}") {
            (200, program.clone())
        } else {
            (404, Vec::new())
        }
    });
    (web, asked)
}

fn sha256(file: &Path) -> String {
    let output = Command::new("sha256sum").arg(file).output().unwrap();
    String::from_utf8(output.stdout).unwrap().split(' ').next().unwrap().to_owned()
}

/// A step on a machine without the client.
fn without_client(hub: &Hub) -> Step {
    Step::of(hub).without("INPUT_BINARY").input("run", "echo ran > ran")
}

#[track_caller]
fn assert_refused(step: &Step, error: &str) -> Ended {
    let main = step.run("main.js");
    let errors = main.assert_code(125).annotations("error");
    assert!(errors.len() == 1 && errors[0].contains(error), "{errors:?}");
    assert!(!step.in_workspace("ran").exists());
    main
}

#[test]
fn it_is_fetched_when_its_checksum_is_right() {
    let hub = Hub::start();
    let sum = sha256(&programs::client());
    let (web, asked) = mirror(fs::read(programs::client()).unwrap());
    let step = without_client(&hub)
        .input("version", "v9.8.7")
        .input("sha256", &sum)
        .input("mirror", &format!("{}/releases", web.url()));
    step.run("main.js").assert_code(0);
    assert!(step.in_workspace("ran").exists());
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    assert!(step.file("GITHUB_STEP_SUMMARY").contains("elevation timeline"));
    hub.assert_ended(1, "step finished · exit 0");
    assert_eq!(step.left_behind(), Vec::<std::path::PathBuf>::new());
    // Main stores the client for the whole job, and `post` runs it from there.
    let step = step.without("INPUT_RUN");
    step.run("main.js").assert_code(0);
    step.run("post.js").assert_code(0);
    assert_eq!(asked.load(Ordering::SeqCst), 2);
    hub.assert_ended(2, "asked by the client");
}

#[test]
fn it_is_not_run_when_its_checksum_is_wrong_or_not_known() {
    let hub = Hub::start();
    let evil = "#!/bin/sh\ntouch ran\n".as_bytes().to_vec();
    let (web, asked) = mirror(evil);
    let step = without_client(&hub).input("mirror", &format!("{}/releases", web.url()));
    assert_refused(&step, "cloudanix-jit is not on the PATH, and no version is named");
    let step = step.input("version", "9.8.7");
    assert_refused(&step, &format!("no checksum is known for {FILE} 9.8.7, and nothing unchecked is run"));
    assert_eq!(asked.load(Ordering::SeqCst), 0);
    let step = step.input("sha256", &"0".repeat(64));
    assert_refused(
        &step,
        &format!("the download is not what was expected: sha256 {} wanted, ", "0".repeat(64)),
    );
    let kept = step.left_behind().iter().any(|folder| folder.join("cloudanix-jit").exists());
    assert!(!kept, "the unwanted download was kept");
    let step = step.input("version", "1.0/../9.8.7");
    assert_refused(&step, "expected a version like 1.2.3");
    let step = step.input("version", "9.9.9");
    let main = assert_refused(&step, &format!("cannot download {}/releases/v9.9.9/{FILE}", web.url()));
    assert!(main.stderr.contains("HTTP 404"), "{}", main.stderr);
    assert_eq!(asked.load(Ordering::SeqCst), 2, "the action requested a missing release again");
    assert_eq!(hub.broker.given().len(), 0);
}

#[test]
fn a_program_on_the_path_that_has_not_the_known_checksum_is_not_executed() {
    let hub = Hub::start();
    let step = without_client(&hub);
    let bin = step.folder.path().join("bin");
    fs::create_dir(&bin).unwrap();
    let mark = bin.join("executed");
    let impostor = format!("#!/bin/sh\n/usr/bin/env >'{}'\necho 'cloudanix-jit 9.8.7'\n", mark.display());
    fs::write(bin.join("cloudanix-jit"), impostor).unwrap();
    fs::set_permissions(bin.join("cloudanix-jit"), fs::Permissions::from_mode(0o755)).unwrap();
    let client = programs::client();
    let path = format!(
        "{}:{}:{}",
        bin.display(),
        client.parent().unwrap().display(),
        std::env::var("PATH").unwrap()
    );
    let step = step.variable("PATH", &path).input("version", "9.8.7").input("sha256", &sha256(&client));
    step.run("main.js").assert_code(0);
    assert!(step.in_workspace("ran").exists() && !mark.exists());
    hub.assert_ended(1, "step finished · exit 0");
    // Without a checksum the mirror is contacted and receives no credentials.
    let step = step
        .without("INPUT_SHA256")
        .input("version", "9.8.6")
        .variable("CLOUDANIX_AUTH_TOKEN", &hub.auth_token);
    step.run("main.js");
    let seen = fs::read_to_string(&mark).unwrap();
    assert!(!seen.contains(&hub.auth_token) && !seen.contains("INPUT_"), "{seen}");
}

#[test]
fn installed_client_is_used() {
    let hub = Hub::start();
    let step = without_client(&hub);
    let bin = step.folder.path().join("bin");
    fs::create_dir(&bin).unwrap();
    std::os::unix::fs::symlink(programs::client(), bin.join("cloudanix-jit")).unwrap();
    let path = format!("{}:{}", std::env::var("PATH").unwrap(), bin.display());
    let step = step.variable("PATH", &path);
    step.run("main.js").assert_code(0);
    hub.assert_ended(1, "step finished · exit 0");
    fs::remove_file(step.in_workspace("ran")).unwrap();
    // The wanted version differs from the installed one.
    let step = step.input("version", "9.8.7");
    assert_refused(&step, "no checksum is known");
    let step = step.input("binary", "not/there");
    assert_refused(&step, "which is not a program");
}
