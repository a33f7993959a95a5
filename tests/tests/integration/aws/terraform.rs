//! Does Terraform work as the step of `run`, with the AWS provider and nothing told to it about credentials?
//!
//! No registry that this project installs from has Terraform and its provider, so this runs only when asked for,
//! with what is on the machine. `TERRAFORM_PLUGINS` names a folder with the provider where there is no network:
//!
//! ```sh
//! cargo test --workspace --test integration aws::terraform -- --ignored
//! ```

use std::fs;
use std::process::Command;

use system_tests::aws::fixture::{AwsFixture, Mode};
use system_tests::aws::ministack::Ministack;
use tempfile::TempDir;

const CONFIGURATION: &str = r#"
terraform {
  required_providers {
    aws = { source = "hashicorp/aws" }
  }
}

provider "aws" {
  skip_credentials_validation = true
  skip_requesting_account_id  = true
}

data "aws_ecs_clusters" "all" {}

output "clusters" {
  value = length(coalesce(data.aws_ecs_clusters.all.cluster_arns, []))
}
"#;

/// A folder in which Terraform has what it needs.
fn initialised() -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("main.tf"), CONFIGURATION).expect("a file");
    let mut terraform = Command::new("terraform");
    terraform.args(["init", "-input=false", "-no-color"]).current_dir(folder.path());
    if let Ok(plugins) = std::env::var("TERRAFORM_PLUGINS") {
        terraform.arg(format!("-plugin-dir={plugins}"));
    }
    let output = terraform.output().expect("`terraform` on the PATH");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    folder
}

#[test]
#[ignore = "needs Terraform and its provider for AWS on the machine"]
fn terraform_may_during_the_step_and_not_before_or_after() {
    let folder = initialised();
    let emulator = Ministack::start();
    let fixture = AwsFixture::start(&emulator);
    let apply = format!("-chdir={}", folder.path().display());
    let apply = ["terraform", &apply, "apply", "-auto-approve", "-input=false", "-no-color"];
    for mode in [Mode::StaticInline, Mode::Session] {
        let agent = fixture.agent(mode);
        // A role that gets the policy for the step, or keys that are worth nothing and that it never sees.
        let held = if mode == Mode::Session { fixture.pipeline.clone() } else { fixture.deploy_session() };
        let client = |policy: &[&str]| {
            let arguments = [&["run", "--policy"], policy, &["--ttl", "15m", "--"], &apply].concat();
            fixture.client(&agent, &held, &arguments).env("AWS_REGION", "us-east-1")
        };
        let finished = client(&["ecs-read"]).finish();
        finished.assert_code(0);
        assert!(finished.stdout.contains("clusters = 0"), "{mode:?}: {}", finished.stdout);
        assert!(finished.stderr.contains("revoke   step finished · exit 0"), "{mode:?}: {}", finished.stderr);
        // The same step with a grant for something else: before and after it is what it is with none.
        let refused = client(&["s3-read"]).finish();
        assert_eq!(refused.status.code(), Some(1), "{mode:?}: Terraform's own code: {}", refused.stdout);
        assert!(refused.stderr.contains("AccessDenied"), "{mode:?}: {}", refused.stderr);
    }
    fixture.broker.wait_until_nothing_is_live();
}
