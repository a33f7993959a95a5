//! Tokens from variables, files and programs, and the checks before they are sent.

use std::os::unix::fs::{PermissionsExt as _, symlink};

use super::detection::write;
use super::*;

#[tokio::test]
async fn a_token_in_a_variable_is_checked_before_it_is_sent() {
    let good = fake_token("cloudanix-jit");
    let identity = found(&[("GITLAB_CI", "true"), ("CLOUDANIX_ID_TOKEN", good.reveal())]).unwrap().unwrap();
    assert_eq!(identity.token(&http(), "cloudanix-jit", now()).await.unwrap().reveal(), good.reveal());

    let error = identity.token(&http(), "another", now()).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the token from $CLOUDANIX_ID_TOKEN cannot be used: expected the audience `another`, found `cloudanix-jit`"
    );
    assert_eq!(error.hint(), Some(gitlab::PLATFORM.audience_hint));
    assert!(!format!("{error:?}").contains(good.reveal()));

    let late = Timestamp::from_secs(4_102_444_800 + 61);
    let error = identity.token(&http(), "cloudanix-jit", late).await.unwrap_err();
    assert!(error.to_string().contains("expected `exp` in the future, found 2100-01-01T00:00:00.000Z"));
    assert_eq!(error.fault(), IdentityFault::Unauthenticated);
}

#[tokio::test]
async fn a_projected_token_is_read_each_time_through_the_kubelets_links() {
    let folder = tempfile::tempdir().unwrap();
    let volume = folder.path().join("var/run/secrets/cloudanix");
    let (first, second) = (fake_token("cloudanix-jit"), fake_token("other"));
    write(&volume, "..2026_06_08/token", first.reveal());
    write(&volume, "..2026_06_09/token", second.reveal());
    symlink("..2026_06_08", volume.join("..data")).unwrap();
    symlink("..data/token", volume.join("token")).unwrap();

    let identity = detect(&Env::from_pairs([("", ""); 0]), &Files::below(folder.path())).unwrap().unwrap();
    assert_eq!(identity.token(&http(), "cloudanix-jit", now()).await.unwrap().reveal(), first.reveal());
    std::fs::remove_file(volume.join("..data")).unwrap();
    symlink("..2026_06_09", volume.join("..data")).unwrap();
    assert_eq!(identity.token(&http(), "other", now()).await.unwrap().reveal(), second.reveal());
}

#[tokio::test]
async fn a_file_that_cannot_be_a_token_is_named() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "empty", "\n");
    write(folder.path(), "long", &"x".repeat(70_000));
    for (name, words) in [
        ("absent", "No such file"),
        ("empty", "found an empty file"),
        ("long", "longer than"),
        (".", "not a regular file"),
    ] {
        let path = folder.path().join(name);
        let identity = found(&[("CLOUDANIX_OIDC_TOKEN_FILE", path.to_str().unwrap())]).unwrap().unwrap();
        let error = identity.token(&http(), "cloudanix-jit", now()).await.unwrap_err().to_string();
        assert!(error.contains(words) && error.contains(path.to_str().unwrap()), "{error}");
    }
}

/// An identity on CircleCI whose `circleci` program is this script.
fn circleci(folder: &Path, script: &str) -> Identity {
    write(folder, "circleci", &format!("#!/bin/sh\n{script}\n"));
    let program = folder.join("circleci");
    std::fs::set_permissions(program, std::fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("/nonexistent:{}", folder.display());
    found(&[("CIRCLECI", "true"), ("PATH", &path), ("CIRCLE_OIDC_TOKEN_V2", "hunter2")]).unwrap().unwrap()
}

#[tokio::test]
async fn circlecis_program_gets_the_audience_without_a_shell() {
    let folder = tempfile::tempdir().unwrap();
    let token = fake_token("jit\"; exit 9; $(true)");
    write(folder.path(), "token", token.reveal());
    let identity = circleci(
        folder.path(),
        "test \"$#\" = 5 && echo \"$5\" > \"$(dirname \"$0\")/claims\" && cat \"$(dirname \"$0\")/token\" && echo",
    );
    assert_eq!(identity.token_source(), "circleci run oidc get");
    let audience = "jit\"; exit 9; $(true)";
    assert_eq!(identity.token(&http(), audience, now()).await.unwrap().reveal(), token.reveal());
    let claims: serde_json::Value =
        serde_json::from_slice(&std::fs::read(folder.path().join("claims")).unwrap()).unwrap();
    assert_eq!(claims, serde_json::json!({ "aud": audience }));
}

#[tokio::test]
async fn a_circleci_program_that_fails_is_an_error_and_the_other_token_is_not_tried() {
    let folder = tempfile::tempdir().unwrap();
    for (script, words) in [
        ("echo hunter2 >&2; exit 3", "expected success, found exit status: 3"),
        ("exit 0", "expected a token, found nothing"),
        ("echo hunter2", "expected a JWT of 3 parts separated by dots, found 1"),
    ] {
        let error = circleci(folder.path(), script).token(&http(), "cloudanix-jit", now()).await.unwrap_err();
        assert!(error.to_string().contains(words), "{error}");
        assert!(!format!("{error} {error:?}").contains("hunter2"));
    }
}
