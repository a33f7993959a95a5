//! Runs builds: Jenkins' own engine transforms the library and saves it at every step
//! (`jenkins-library/test/java/io/cloudanix/jit/engine`), with real shells, the real client and a live broker.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use serde_json::json;
use system_tests::broker::Broker;
use system_tests::fixture::{self, AUDIENCE, Agent};
use system_tests::folder::Folder;
use system_tests::gate::{JENKINS, Permit};
use system_tests::leak_scan::LeakScan;
use system_tests::oidc_provider::{OidcProvider, Token};
use system_tests::onlooker;
use system_tests::programs;
use system_tests::runner::{self, Recipients};
use system_tests::waiting::{eventually, eventually_within};
use system_tests::wrappers;

/// The URL of a multibranch job as the OIDC plugin puts it into a token.
pub(crate) const JOB: &str = "https://ci.example/job/team/job/my-app/job/main/";

/// Mints the token that the OIDC plugin mints for a build.
pub(crate) fn token_of(provider: &OidcProvider, number: u32) -> String {
    let claims = json!({"sub": JOB, "build_number": number, "commit": "a7c1f24", "branch": "main"});
    provider.mint(&Token::with_claims(claims).audience(AUDIENCE)).unwrap()
}

/// A broker and an agent that trusts the job.
pub(crate) struct Fixture {
    pub(crate) broker: Broker,
    provider: OidcProvider,
    agent: Agent,
    _permit: Permit,
}

impl Fixture {
    pub(crate) fn with(broker: Broker) -> Self {
        let permit = JENKINS.enter();
        let provider = OidcProvider::start().unwrap();
        let id = "jenkins-agent".to_owned();
        let claims = format!("{{ sub = \"{JOB}\" }}");
        let registration = fixture::registration_of("jenkins", &id, provider.issuer(), &claims, "");
        let auth_token = broker.register(&registration);
        Self { broker, provider, agent: Agent { id, auth_token }, _permit: permit }
    }

    /// Starts a build with this number and this Jenkinsfile.
    pub(crate) fn build(&self, number: u32, pipeline: &str) -> Build {
        let oidc_token = token_of(&self.provider, number);
        let agent = vec![
            ("JENKINS_URL", "https://ci.example/".to_owned()),
            ("BUILD_TAG", format!("jenkins-team-my-app-main-{number}")),
            ("JOB_NAME", "team/my-app/main".to_owned()),
            ("BUILD_NUMBER", number.to_string()),
            ("GIT_COMMIT", "a7c1f24".to_owned()),
        ];
        Build::start(&self.broker, &self.agent, oidc_token, agent, pipeline)
    }

    /// Asserts that no file of the build or the broker contains a secret.
    pub(crate) fn assert_no_leak(&self, build: &Build, grant_token: Option<&str>) {
        let mut scan = LeakScan::default();
        scan.secret("auth token", &self.agent.auth_token);
        scan.secret("OIDC token", &build.oidc_token);
        let signature = build.oidc_token.rsplit('.').next().unwrap();
        scan.secret("the OIDC token's signature", signature);
        if let Some(token) = grant_token {
            scan.secret("grant token", token);
            scan.secret("the grant token's signature", token.rsplit('.').next().unwrap());
        }
        scan.folder("build", build.home.path());
        scan.written("broker's log", self.broker.log());
        assert!(scan.bytes() > 100_000, "the programs that were saved are among it");
        assert_eq!(scan.finds(), Vec::<String>::new());
    }
}

/// A running build and its folder.
pub(crate) struct Build {
    home: Folder,
    process: Child,
    oidc_token: String,
    auth_token: String,
}

impl Build {
    /// Starts a build on a Jenkins agent with these variables.
    pub(crate) fn start(
        broker: &Broker,
        agent: &Agent,
        oidc_token: String,
        variables: Vec<(&str, String)>,
        pipeline: &str,
    ) -> Self {
        let home = Folder::new();
        fs::write(home.path().join("Jenkinsfile"), pipeline).unwrap();
        let output = File::create(home.path().join("engine.log")).unwrap();
        let process = onlooker::through_launcher("java")
            .args(["-XX:TieredStopAtLevel=1", "-cp", engine()])
            .arg(format!("-Dlibrary.root={}", library().display()))
            .arg("io.cloudanix.jit.engine.Main")
            .args([home.path().join("Jenkinsfile"), home.path().to_owned()])
            .current_dir(home.path())
            .env_clear()
            .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
            .envs(std::env::var_os("PATH").map(|path| ("AGENT_PATH", path)))
            .envs(variables.into_iter().map(|(name, value)| (format!("AGENT_{name}"), value)))
            .env("AGENT_CLOUDANIX_URL", broker.url())
            .env("AGENT_CLOUDANIX_AGENT_ID", &agent.id)
            .env("AGENT_CLOUDANIX_JIT_BINARY", programs::client())
            .env("SECRET_cloudanix_auth_token", &agent.auth_token)
            .env("SECRET_cloudanix_oidc", &oidc_token)
            .stdin(Stdio::null())
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .spawn()
            .unwrap();
        Self { home, process, oidc_token, auth_token: agent.auth_token.clone() }
    }

    pub(crate) fn path(&self, file: &str) -> PathBuf {
        self.home.path().join(file)
    }

    /// Waits for a line that a step writes into the workspace.
    #[track_caller]
    pub(crate) fn line_in(&mut self, file: &str) -> String {
        let path = self.path("workspace").join(file);
        eventually_within(std::time::Duration::from_secs(40), &format!("a line in `{file}`"), || {
            if let Ok(Some(status)) = self.process.try_wait() {
                assert!(path.is_file(), "{status}, no `{file}`: {}", self.log());
            }
            fs::read_to_string(&path)
                .ok()
                .filter(|text| text.ends_with('\n'))
                .map(|text| text.trim().to_owned())
        })
    }

    /// The token of the build's grant, which a step has stored outside the leak scan.
    #[track_caller]
    pub(crate) fn grant_token(&self) -> String {
        let kept = self.home.path().with_extension("kept");
        let token = fs::read_to_string(&kept).unwrap();
        fs::remove_file(&kept).unwrap();
        token
    }

    /// The processes that one of the build's steps can inspect, except the engine: it is the controller, which runs on
    /// another machine.
    pub(crate) fn shown_in(&self, file: &str) -> Vec<String> {
        let secrets = [("OIDC token", self.oidc_token.as_str()), ("auth token", self.auth_token.as_str())];
        let seen = onlooker::seen(&self.path("workspace").join(file), &secrets).unwrap();
        assert!(seen.readable.len() > 1, "{seen:?}");
        let engine = format!("/proc/{}/", self.process.id());
        seen.finds.into_iter().filter(|find| !find.contains(&engine)).collect()
    }

    /// Creates a file that a step waits for.
    pub(crate) fn touch(&self, file: &str) {
        fs::write(self.path("workspace").join(file), "").unwrap();
    }

    /// The processes of this build's workspace.
    pub(crate) fn marked(&mut self) -> Recipients {
        Recipients::Marked(format!("JENKINS_SERVER_COOKIE={}", self.line_in("cookie")))
    }

    /// The heartbeat process behind its keeper. It is not marked, because its environment is empty.
    pub(crate) fn holder(&mut self) -> [i32; 2] {
        let marked = self.marked();
        let is_run = |pid: &i32| {
            let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            line.starts_with(programs::client().as_os_str().as_encoded_bytes())
        };
        let run = eventually("a holder", || runner::recipients(0, &marked).into_iter().find(is_run));
        let is_keeper = |pid: &i32| {
            fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.ends_with(b"\0keeper\0"))
        };
        let keeper = runner::recipients(run, &Recipients::Tree).into_iter().find(is_keeper);
        [keeper.unwrap(), run]
    }

    /// Records an abort by a user; the test itself sends the signals that follow.
    #[track_caller]
    pub(crate) fn interrupt(&self) {
        fs::write(self.path("interrupted"), "").unwrap();
        eventually("an abort", || self.log().contains("Sending interrupt signal").then_some(()));
    }

    /// Kills the engine, so that the controller forgets the build.
    pub(crate) fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// The build's result.
    #[track_caller]
    pub(crate) fn result(&mut self) -> String {
        eventually_within(std::time::Duration::from_secs(40), "the end of the build", || {
            self.process.try_wait().unwrap()
        });
        fs::read_to_string(self.path("result")).unwrap_or_else(|_| self.log())
    }

    /// The build's log, followed by errors of the engine.
    pub(crate) fn log(&self) -> String {
        let read = |file: &str| fs::read_to_string(self.path(file)).unwrap_or_default();
        format!("{}{}", read("controller/log"), read("engine.log"))
    }

    /// Files of a grant that remain on the agent.
    pub(crate) fn left_behind(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.path("workspace@tmp")).unwrap();
        let mut left: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
        left.retain(|path| path.file_name().unwrap().to_string_lossy().starts_with("cloudanix-jit"));
        left
    }
}

pub(crate) fn library() -> PathBuf {
    wrappers::root().join("jenkins-library")
}

/// Compiles the engine's classes if needed; returns their class path. `xtask test` runs the library's own tests.
fn engine() -> &'static str {
    static CLASSPATH: OnceLock<String> = OnceLock::new();
    CLASSPATH.get_or_init(|| {
        compile();
        let dependencies = fs::read_to_string(library().join("target/test-classpath")).unwrap();
        format!("{}:{}", library().join("target/test-classes").display(), dependencies.trim())
    })
}

#[track_caller]
fn compile() {
    let pom = library().join("pom.xml");
    let output =
        Command::new("mvn").args(["-o", "-q", "-B", "-f"]).arg(pom).arg("process-test-classes").output();
    let output = output.expect("`mvn`: `cargo xtask test` installs it");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "`cargo xtask test` fetches what is needed: {text}");
}
