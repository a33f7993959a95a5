//! `CLOUDANIX_AUTH_TOKEN_FILE`: the token is consumed before the command starts.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};

use crate::fake_broker::FakeBroker;
use crate::harness::{Wrapper, auth_token};

/// Whether the command finds the file, the variable, or the token in a descriptor that it inherits.
const LOOK: &str =
    "test ! -e token && test -z \"${CLOUDANIX_AUTH_TOKEN_FILE+set}${CLOUDANIX_AUTH_TOKEN+set}\"";

fn with_file(broker: &FakeBroker, launcher: &[&str], step: &str) -> Wrapper {
    let mut wrapper = Wrapper::through(launcher, broker, &["--", "sh", "-c", step]);
    wrapper.command.env_remove("CLOUDANIX_AUTH_TOKEN");
    wrapper.env("CLOUDANIX_AUTH_TOKEN_FILE", "token")
}

fn write_token(wrapper: &Wrapper) {
    fs::write(wrapper.folder.path().join("token"), format!("{}\n", auth_token().secret().reveal())).unwrap();
}

#[test]
fn the_token_file_is_removed_before_the_command_starts() {
    let broker = FakeBroker::start();
    let wrapper = with_file(&broker, &["setsid"], LOOK);
    write_token(&wrapper);
    let finished = wrapper.finish();
    finished.assert_code(0);
    assert!(!finished.stderr.contains("cannot be removed"), "{}", finished.stderr);
    assert_eq!(broker.books().outcome(), (0, vec!["exit:0"]));
}

#[test]
fn an_inherited_descriptor_of_the_token_file_is_empty() {
    let broker = FakeBroker::start();
    let launcher = ["sh", "-c", "exec 3<token; rm token; exec \"$@\"", "sh"];
    let wrapper = with_file(&broker, &launcher, &format!("{LOOK} && test -z \"$(cat /dev/fd/3)\""));
    write_token(&wrapper);
    let finished = wrapper.env("CLOUDANIX_AUTH_TOKEN_FILE", "/dev/fd/3").finish();
    finished.assert_code(0);
    assert!(!finished.stderr.contains("cannot be removed"), "{}", finished.stderr);
}

#[test]
fn a_pipe_is_read_to_its_end() {
    let broker = FakeBroker::start();
    let launcher = ["sh", "-c", "mkfifo token; (cat real > token; rm token real) & exec \"$@\"", "sh"];
    let wrapper = with_file(&broker, &launcher, "test -z \"${CLOUDANIX_AUTH_TOKEN_FILE+set}\"");
    write_token(&wrapper);
    fs::rename(wrapper.folder.path().join("token"), wrapper.folder.path().join("real")).unwrap();
    wrapper.finish().assert_code(0);
    assert_eq!(broker.books().outcome(), (0, vec!["exit:0"]));
}

#[test]
fn both_variables_are_refused() {
    let broker = FakeBroker::start();
    let wrapper = with_file(&broker, &["setsid"], "true").env("CLOUDANIX_AUTH_TOKEN", "cjat_x");
    write_token(&wrapper);
    let finished = wrapper.finish();
    finished.assert_code(125);
    assert!(
        finished.stderr.contains("`CLOUDANIX_AUTH_TOKEN` and `CLOUDANIX_AUTH_TOKEN_FILE` are both set"),
        "{}",
        finished.stderr
    );
    assert!(finished.folder.path().join("token").exists(), "nothing is consumed by a mistake");
}

#[test]
fn a_file_without_an_auth_token_is_not_removed() {
    let broker = FakeBroker::start();
    let wrapper = with_file(&broker, &["setsid"], "true");
    fs::write(wrapper.folder.path().join("token"), "my notes").unwrap();
    let finished = wrapper.finish();
    finished.assert_code(125);
    assert_eq!(fs::read_to_string(finished.folder.path().join("token")).unwrap(), "my notes");
    assert!(!finished.stderr.contains("my notes"), "{}", finished.stderr);
}

/// Root may write everywhere, so the client runs as another user.
#[test]
fn a_token_file_that_cannot_be_removed_is_one_warning() {
    const NOBODY: u32 = 65534;
    let broker = FakeBroker::start();
    let is_root = fs::metadata("/proc/self").unwrap().uid() == 0;
    let launcher: &[&str] = match is_root {
        true => &["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"],
        false => &["setsid"],
    };
    let wrapper = with_file(&broker, launcher, "true");
    write_token(&wrapper);
    let folder = wrapper.folder.path();
    let (locked, temp) = (folder.join("locked"), folder.join("temp"));
    fs::create_dir(&locked).unwrap();
    fs::create_dir(&temp).unwrap();
    fs::rename(folder.join("token"), locked.join("token")).unwrap();
    if is_root {
        for place in [&temp, &locked, &locked.join("token")] {
            chown(place, Some(NOBODY), Some(NOBODY)).unwrap();
        }
        fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).unwrap();
    }
    fs::set_permissions(locked.join("token"), fs::Permissions::from_mode(0o400)).unwrap();
    fs::set_permissions(&locked, fs::Permissions::from_mode(0o500)).unwrap();
    let wrapper = wrapper.env("CLOUDANIX_AUTH_TOKEN_FILE", "locked/token").env("TMPDIR", &temp);
    let finished = wrapper.finish();
    fs::set_permissions(&locked, fs::Permissions::from_mode(0o700)).unwrap();
    finished.assert_code(0);
    assert_eq!(finished.stderr.matches("cannot be removed").count(), 1, "{}", finished.stderr);
}
