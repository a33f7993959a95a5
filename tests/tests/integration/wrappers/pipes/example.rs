//! Runs each example's own command line on a machine with the environment of its platform.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use system_tests::broker::Broker;
use system_tests::programs;
use system_tests::wrappers::{node, root};

use super::machine::{Machine, Step};
use super::platform::{ANY, AZURE_DEVOPS, BUILDKITE, KUBERNETES, PlatformFixture};
use super::token_endpoint::TokenEndpoint;
use super::yaml;

/// The path of an example's file.
pub(crate) fn example(path: &str) -> PathBuf {
    root().join("examples").join(path)
}

/// Stands for the file in which the platform stores the script after it: a shell that reads a file does not exec its
/// last command.
const FROM_FILE: &str = "script.sh";

/// Azure's agent starts a task instead of the script. The task starts bash with the script, and ends bash when the task
/// receives SIGINT (azure-pipelines-tasks, `CmdLineV2` and `BashV3`).
const TASK: &str = "const { spawn } = require('node:child_process');
const bash = spawn('bash', ['--noprofile', '--norc', process.argv[2]], { stdio: 'inherit' });
process.on('SIGINT', () => bash.kill());
bash.on('exit', (code) => process.exit(code ?? 1));
";

/// A prepared platform: its broker and agent, a machine, and the job's command line.
pub(crate) struct Set {
    pub(crate) platform: PlatformFixture,
    pub(crate) machine: Machine,
    /// The command line of the step, with the example's own command at its end.
    pub(crate) line: Vec<String>,
    pub(crate) endpoint: Option<TokenEndpoint>,
}

impl Set {
    /// Starts the step, with `command` in place of the deployment if there is one.
    pub(crate) fn start(&self, command: Option<&str>) -> Step {
        let Some(command) = command else { return self.start_line(&self.line) };
        let (script, before) = self.line.split_last().unwrap();
        let mut line = before.to_vec();
        match script.split_once(" -- ") {
            Some((before, _)) => line.push(format!("{before} -- sh -c '{command}'")),
            None => {
                let dashes = line.iter().position(|word| word == "--").unwrap();
                line.truncate(dashes + 1);
                line.extend(["sh", "-c", command].map(str::to_owned));
            }
        }
        self.start_line(&line)
    }

    /// Asserts that no secret is left anywhere.
    #[track_caller]
    pub(crate) fn assert_no_leak(self) {
        self.machine.read_by_azure_devops();
        self.platform.assert_no_leak(&self.machine);
    }

    pub(crate) fn start_line(&self, line: &[String]) -> Step {
        let mut line: Vec<&str> = line.iter().map(String::as_str).collect();
        let file = self.machine.aside("script.sh");
        if let Some(at) = line.iter().position(|word| *word == FROM_FILE) {
            fs::write(&file, line.pop().unwrap()).unwrap();
            line[at] = &file;
        }
        self.machine.start("step", &line, &BTreeMap::new())
    }
}

pub(crate) fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

pub(crate) fn on_the_path(machine: &Machine) {
    std::os::unix::fs::symlink(programs::client(), machine.path("bin/cloudanix-jit")).unwrap();
}

pub(crate) fn in_the_repository(machine: &Machine, file: &Path) {
    let ci = machine.path("workspace/ci");
    fs::create_dir_all(&ci).unwrap();
    fs::copy(file, ci.join(file.file_name().unwrap())).unwrap();
}

pub(crate) fn buildkite(broker: Broker) -> Set {
    let mut platform = PlatformFixture::with(broker, &BUILDKITE);
    let claims = |jti: u8| {
        json!({
            "sub": "organization:octo:pipeline:orders:ref:refs/heads/main:commit:a7c1f24:step:deploy",
            "jti": format!("token-{jti}"), "organization_id": "o-1", "organization_slug": "octo",
            "pipeline_id": "p-1", "pipeline_slug": "orders", "build_branch": "main", "build_commit": "a7c1f24",
            "build_number": 142, "job_id": "job-1", "step_key": "deploy",
        })
    };
    let tokens = (0..3).map(|jti| platform.mint(&claims(jti), "cloudanix-jit")).collect();
    let endpoint = TokenEndpoint::giving("token", tokens);
    let mut machine = platform.machine();
    on_the_path(&machine);
    let step = &yaml::document(&example("buildkite/pipeline.yml"))["steps"][0];
    for (name, value) in [
        ("BUILDKITE", "true"),
        ("BUILDKITE_JOB_ID", "job-1"),
        ("BUILDKITE_AGENT_ENDPOINT", &endpoint.url),
        ("BUILDKITE_AGENT_ACCESS_TOKEN", "the agent's own access token"),
        ("BUILDKITE_BUILD_CREATOR", "octocat"),
    ] {
        machine.set(name, value);
    }
    let line = words(&["bash", "-e", "-c", step["command"].as_str().unwrap()]);
    Set { platform, machine, line, endpoint: Some(endpoint) }
}

pub(crate) fn azure_devops(broker: Broker) -> Set {
    let audience = "api://AzureADTokenExchange";
    let mut platform = PlatformFixture::for_audience(broker, &AZURE_DEVOPS, audience);
    let claims = |jti: u8| {
        json!({
            "sub": "p://octo/orders/deploy", "jti": format!("token-{jti}"), "rpo_ref": "refs/heads/main",
            "rpo_ver": "a7c1f24", "rpo_uri": "https://dev.azure.com/octo/orders/_git/orders", "run_id": "142",
        })
    };
    let tokens = (0..3).map(|jti| platform.mint(&claims(jti), audience)).collect();
    let endpoint = TokenEndpoint::giving("oidcToken", tokens);
    let mut machine = platform.machine();
    in_the_repository(&machine, &root().join("wrappers/fetch.sh"));
    for (name, value) in [
        ("TF_BUILD", "True"),
        ("SYSTEM_OIDCREQUESTURI", &format!("{}/oidctoken", endpoint.url)),
        ("SYSTEM_ACCESSTOKEN", "the job's own access token"),
        ("BUILD_REQUESTEDFOR", "octocat"),
    ] {
        machine.set(name, value);
    }
    let step = &yaml::document(&example("azure-devops/azure-pipelines.yml"))["steps"][0];
    assert_eq!(step["env"]["SYSTEM_ACCESSTOKEN"], "$(System.AccessToken)");
    let task = machine.aside("task.js");
    fs::write(&task, TASK).unwrap();
    let node = node().display().to_string();
    let line = words(&[&node, &task, FROM_FILE, step["script"].as_str().unwrap().trim_end()]);
    Set { platform, machine, line, endpoint: Some(endpoint) }
}

/// Runs the container's command, with the pod's volumes in a folder of the test.
pub(crate) fn pod(broker: Broker, container: &Value) -> Set {
    let mut platform = PlatformFixture::with(broker, &KUBERNETES);
    let claims = json!({
        "sub": "system:serviceaccount:prod:orders-deploy",
        "kubernetes.io": {"namespace": "prod", "pod": {"name": "orders-deploy-x1"},
                          "serviceaccount": {"name": "orders-deploy"}},
    });
    let token = platform.mint(&claims, "cloudanix-jit");
    let mut machine = platform.machine();
    // The client's default path, to which a test cannot write, is replaced by this file.
    let file = machine.aside("oidc-token");
    fs::write(&file, token).unwrap();
    machine.set("CLOUDANIX_OIDC_TOKEN_FILE", file);
    machine.set("KUBERNETES_SERVICE_HOST", "10.0.0.1");
    machine.set("POD_NAME", "orders-deploy-x1");
    machine.set("POD_NAMESPACE", "prod");
    fs::create_dir(machine.path("run")).unwrap();
    on_the_path(&machine);
    let all = container["command"].as_array().unwrap().iter().chain(container["args"].as_array().unwrap());
    let moved = |word: &Value| {
        let run = machine.path("run").display().to_string();
        let word = word.as_str().unwrap().replace("/run/cloudanix", &run);
        word.replace("/opt/cloudanix/cloudanix-jit", &programs::client().display().to_string())
    };
    let line = all.map(moved).collect();
    Set { platform, machine, line, endpoint: None }
}

pub(crate) fn kubernetes_job(broker: Broker) -> Set {
    let job = &yaml::documents(&example("kubernetes/job.yaml"))[1];
    pod(broker, &job["spec"]["template"]["spec"]["containers"][0])
}

pub(crate) fn argo_workflow(broker: Broker) -> Set {
    let template = yaml::document(&example("argo/workflow-template.yaml"));
    let mut set = pod(broker, &template["spec"]["templates"][0]["container"]);
    set.machine.set("ARGO_WORKFLOW_NAME", "orders-deploy-7");
    set
}

pub(crate) fn argo_cd_hook(broker: Broker) -> Set {
    let hook = yaml::document(&example("argo/cd-hook.yaml"));
    pod(broker, &hook["spec"]["template"]["spec"]["containers"][0])
}

pub(crate) fn codebuild(broker: Broker) -> Set {
    let mut platform = PlatformFixture::with(broker, &ANY);
    let token =
        platform.mint(&json!({"sub": "arn:aws:iam::123456789012:role/codebuild-orders"}), "cloudanix-jit");
    let mut machine = platform.machine();
    for file in [root().join("wrappers/fetch.sh"), example("aws-codebuild/deploy.sh")] {
        in_the_repository(&machine, &file);
    }
    machine.set("CODEBUILD_BUILD_ID", "orders:1");
    let kept = machine.aside("oidc-token");
    fs::write(&kept, token).unwrap();
    // Stands for the AWS CLI, because only AWS can sign these tokens.
    let deploys = fs::read_to_string(machine.path("bin/aws")).unwrap();
    let mints = format!(
        "#!/bin/sh\nif [ \"$1 $2\" = 'sts get-web-identity-token' ]; then\n  case \"$*\" in *' --audience cloudanix-jit '*) cat {} ;; esac\n  exit\nfi\n",
        kept
    );
    machine.program("aws", &deploys.replacen("#!/bin/sh\n", &mints, 1));
    let spec = yaml::document(&example("aws-codebuild/buildspec.yml"));
    let line = words(&["sh", "-c", spec["phases"]["build"]["commands"][0].as_str().unwrap()]);
    Set { platform, machine, line, endpoint: None }
}

pub(crate) fn shell(broker: Broker, script: &str) -> Set {
    let mut platform = PlatformFixture::with(broker, &ANY);
    let token =
        platform.mint(&json!({"sub": "arn:aws:iam::123456789012:role/codebuild-orders"}), "cloudanix-jit");
    let mut machine = platform.machine();
    let kept = machine.aside("oidc-token");
    fs::write(&kept, token).unwrap();
    machine.set("CLOUDANIX_OIDC_TOKEN_FILE", kept);
    on_the_path(&machine);
    let line = words(&["sh", &example(&format!("shell/{script}")).display().to_string()]);
    Set { platform, machine, line, endpoint: None }
}
