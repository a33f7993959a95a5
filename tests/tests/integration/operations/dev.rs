//! The development broker provides a new user with everything, and grants no other process access.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use reqwest::Method;
use serde_json::json;
use system_tests::client::{Client, kill};
use system_tests::http;
use system_tests::programs;
use system_tests::waiting::eventually;

/// A `dev` process with its env file and data in its own folder.
struct Dev {
    folder: tempfile::TempDir,
    process: Child,
}

impl Dev {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let process = start(folder.path());
        let dev = Self { folder, process };
        eventually("the env file", || dev.env_file().exists().then_some(()));
        eventually("a ready broker", || {
            let ready =
                http::try_send(http::request(Method::GET, &format!("{}/readyz", dev.env("CLOUDANIX_URL"))));
            ready.is_ok_and(|answer| answer.status == 200).then_some(())
        });
        dev
    }

    fn env_file(&self) -> PathBuf {
        self.folder.path().join("dev.env")
    }

    fn env(&self, name: &str) -> String {
        let text = fs::read_to_string(self.env_file()).unwrap();
        text.lines().find_map(|line| line.strip_prefix(&format!("{name}="))).unwrap().to_owned()
    }

    /// Builds a client in a shell that has sourced the env file.
    fn client(&self, arguments: &[&str]) -> Client {
        let text = fs::read_to_string(self.env_file()).unwrap();
        let pairs = text.lines().map(|line| line.split_once('=').unwrap());
        pairs.fold(Client::new(arguments), |client, (name, value)| client.env(name, value))
    }

    fn stop(&mut self) {
        kill(self.process.id().cast_signed(), "TERM");
        assert!(eventually("the end", || self.process.try_wait().unwrap()).success());
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        // The process may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn start(folder: &Path) -> Child {
    Command::new(programs::broker())
        .args(["dev", "--listen", "127.0.0.1:0", "--data"])
        .arg(folder.join("data"))
        .arg("--env-file")
        .arg(folder.join("dev.env"))
        .env_clear()
        .env("TMPDIR", folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(fs::File::create(folder.join("dev.log")).unwrap())
        .spawn()
        .unwrap()
}

#[test]
fn env_file_is_all_that_a_run_needs() {
    let mut dev = Dev::start();
    let mode = fs::metadata(dev.env_file()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "{mode:o}");
    dev.client(&["doctor", "--policy", "orders-read", "--ttl", "15m"]).finish().assert_code(0);
    let step = ["run", "--redact", "never", "--policy", "orders-read", "--ttl", "15m", "--", "sh", "-c"];
    let finished = dev.client(&[&step[..], &["echo $CLOUDANIX_GRANT_ID; exit 3"]].concat()).finish();
    finished.assert_code(3);
    let timeline = dev.client(&["timeline", finished.stdout.trim()]).finish();
    timeline.assert_code(0);
    for expected in
        ["ELEVATE      dev-agent · orders-read · 15m", "REVOKE       step finished · exit 3", "build #142"]
    {
        assert!(timeline.stdout.contains(expected), "{}", timeline.stdout);
    }
    let live = http::request(Method::GET, &format!("{}/v2/agentic/jit?state=live", dev.env("CLOUDANIX_URL")));
    let live = http::send(live.bearer_auth(dev.env("CLOUDANIX_OPERATOR_TOKEN"))).expect(200);
    assert_eq!(live.json, json!({"grants": []}));
    let log = fs::read_to_string(dev.folder.path().join("dev.log")).unwrap();
    for secret in ["CLOUDANIX_OPERATOR_TOKEN", "CLOUDANIX_AUTH_TOKEN", "CLOUDANIX_INTROSPECTION_TOKEN"] {
        assert!(!log.contains(&dev.env(secret)), "{secret} is in the log");
    }
    let oidc_token = dev.env("CLOUDANIX_OIDC_TOKEN_FILE");
    dev.stop();
    assert!(
        !dev.env_file().exists() && !Path::new(&oidc_token).exists(),
        "the development broker left files behind"
    );
}

#[test]
fn dev_broker_restarts_on_its_data_with_new_tokens() {
    let mut dev = Dev::start();
    let old = dev.env("CLOUDANIX_AUTH_TOKEN");
    dev.stop();
    dev.process = start(dev.folder.path());
    eventually("the env file", || dev.env_file().exists().then_some(()));
    assert_ne!(dev.env("CLOUDANIX_AUTH_TOKEN"), old);
    let run = ["run", "--policy", "orders-read", "--ttl", "15m", "--", "true"];
    dev.client(&run).finish().assert_code(0);
    let refused = dev.client(&run).env("CLOUDANIX_AUTH_TOKEN", old).finish();
    refused.assert_code(125);
    assert!(refused.stderr.contains("auth_token_invalid"), "{}", refused.stderr);
}

#[test]
fn dev_broker_refuses_addresses_beyond_loopback() {
    for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:0"] {
        let refused = Command::new(programs::broker())
            .args(["dev", "--listen", address])
            .env_clear()
            .stdin(Stdio::null())
            .output()
            .unwrap();
        assert!(!refused.status.success(), "{address}");
        let text = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(text.contains("expected a loopback address"), "{text}");
    }
}
