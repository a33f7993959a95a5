//! The examples deploy as their platforms run them, and follow their platforms' schemas.

use std::fs;

use serde_json::{Value, json};
use system_tests::broker::Broker;

use super::example::{
    Set, argo_cd_hook, argo_workflow, azure_devops, buildkite, codebuild, example, kubernetes_job, pod, shell,
};
use super::platform::{ANY, PlatformFixture};
use super::token_endpoint::TokenEndpoint;
use super::{readme, yaml};

#[test]
fn each_example_deploys_with_a_grant_that_ends_with_the_command() {
    type Setting = fn(Broker) -> Set;
    let cases: [(&str, Setting, &str); 7] = [
        ("buildkite", buildkite, "octo/orders octocat a7c1f24 142 deploy"),
        ("azure-devops", azure_devops, "https://dev.azure.com/octo/orders/_git/orders octocat a7c1f24 142"),
        ("kubernetes", kubernetes_job, "prod/orders-deploy-x1 prod/orders-deploy"),
        ("argo", argo_workflow, "prod/orders-deploy-x1 orders-deploy-7"),
        ("argo-cd", argo_cd_hook, "prod/orders-deploy-x1 migrates"),
        ("aws-codebuild", codebuild, "arn:aws:iam::123456789012:role/codebuild-orders"),
        ("shell", |broker| shell(broker, "deploy.sh"), "arn:aws:iam::123456789012:role/codebuild-orders"),
    ];
    for (name, set, facts) in cases {
        let set = set(Broker::start());
        assert_eq!(set.start(None).finish(), Some(0), "{name}: {}", set.machine.logs());
        let timeline = set.platform.assert_ended("step finished · exit 0").to_string();
        for fact in facts.split(' ') {
            assert!(timeline.contains(fact), "{name}: `{fact}` is not in {timeline}");
        }
        let calls = fs::read_to_string(set.machine.path("workspace/aws-calls")).unwrap();
        assert!(calls.starts_with("aws ecs "), "{name}: {calls}");
        for asked in set.endpoint.iter().flat_map(TokenEndpoint::asked) {
            assert!(asked.contains("own access token"), "{name}: {asked}");
        }
        set.assert_no_leak();
    }
}

#[test]
fn a_command_that_fails_or_is_denied_fails_the_step() {
    for (name, set) in [
        ("buildkite", buildkite as fn(Broker) -> Set),
        ("azure-devops", azure_devops),
        ("kubernetes", kubernetes_job),
    ] {
        let mut set = set(Broker::start());
        assert_eq!(set.start(Some("exit 3")).finish(), Some(3), "{name}: {}", set.machine.logs());
        set.platform.assert_ended("step finished · exit 3");
        for word in &mut set.line {
            *word = word.replace("ecs-deploy", "admin");
        }
        assert_eq!(set.start(Some("touch ran")).finish(), Some(125), "{name}: {}", set.machine.logs());
        assert!(
            !set.machine.path("workspace/ran").exists() && set.machine.logs().contains("admin"),
            "{name}"
        );
        set.assert_no_leak();
    }
}

#[test]
fn each_example_is_what_its_platform_accepts_and_each_page_what_the_broker_accepts() {
    yaml::assert_follows(
        "vendor.buildkite",
        "buildkite",
        &yaml::document(&example("buildkite/pipeline.yml")),
    );
    let azure = yaml::document(&example("azure-devops/azure-pipelines.yml"));
    yaml::assert_follows("vendor.azure-pipelines", "azure", &azure);
    for file in ["kubernetes/job.yaml", "kubernetes/worker.yaml", "argo/cd-hook.yaml"] {
        yaml::assert_follows_kubernetes(file, &yaml::documents(&example(file)));
    }
    // The schema has no Argo resources, so this checks the pod that Argo creates.
    let template = &yaml::document(&example("argo/workflow-template.yaml"))["spec"]["templates"][0];
    let mut container = template["container"].clone();
    container["name"] = json!("main");
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "deploy"},
        "spec": {"containers": [container], "initContainers": template["initContainers"], "volumes": template["volumes"]},
    });
    yaml::assert_follows_kubernetes("argo/workflow-template.yaml", &[pod]);

    let platform = PlatformFixture::start(&ANY);
    for page in ["buildkite", "azure-devops", "aws-codebuild", "argo", "kubernetes", "shell"] {
        readme::assert_registers(&platform, &example(page).join("README.md"));
    }
}

#[test]
fn pod_elevates_before_start_and_revokes_before_stop() {
    let pod_of = |container: &Value| pod(Broker::start(), container);
    let worker = yaml::document(&example("kubernetes/worker.yaml"));
    let spec = &worker["spec"];
    let set = pod_of(&spec["initContainers"][0]);
    assert_eq!(set.start(None).finish(), Some(0), "{}", set.machine.logs());
    assert_eq!(set.platform.fixture.broker.live().len(), 1);
    let run = set.machine.path("run").display().to_string();
    let line = |words: &mut dyn Iterator<Item = &Value>| -> Vec<String> {
        words.map(|word| word.as_str().unwrap().replace("/run/cloudanix", &run)).collect()
    };
    let container = &spec["containers"][0];
    let all = |value: &Value| value.as_array().unwrap().clone();
    let main = line(&mut all(&container["command"]).iter().chain(&all(&container["args"])));
    assert_eq!(set.start_line(&main).finish(), Some(0), "{}", set.machine.logs());
    let calls = fs::read_to_string(set.machine.path("workspace/aws-calls")).unwrap();
    assert_eq!(calls, "aws s3 sync s3://orders-export /export\n");
    let pre_stop = line(&mut all(&container["lifecycle"]["preStop"]["exec"]["command"]).iter());
    assert_eq!(set.start_line(&pre_stop).finish(), Some(0), "{}", set.machine.logs());
    assert!(set.platform.fixture.broker.live().is_empty());
    set.assert_no_leak();
}

#[test]
fn script_revokes_when_it_ends_and_when_a_command_fails() {
    let set = shell(Broker::start(), "several.sh");
    assert_eq!(set.start(None).finish(), Some(0), "{}", set.machine.logs());
    assert_eq!(set.platform.fixture.broker.given().len(), 1);
    assert!(set.platform.fixture.broker.live().is_empty());
    set.machine.program("aws", "#!/bin/sh\nexit 7\n");
    assert_eq!(set.start(None).finish(), Some(7), "{}", set.machine.logs());
    assert_eq!(set.platform.fixture.broker.given().len(), 2);
    assert!(set.platform.fixture.broker.live().is_empty());
    assert_eq!(fs::read_dir(set.machine.path("tmp")).unwrap().count(), 0, "nothing is left");
    set.assert_no_leak();
}
