//! Terraform with the AWS provider works as the step of `run` without any configuration of credentials.
//!
//! No registry that this project uses has Terraform or its provider, so this test is ignored by default and uses the
//! installed ones. `TERRAFORM_PLUGINS` names a folder with the provider for machines without network:
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

/// A folder in which `terraform init` has run.
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
        // The runner has a role that gets the policy during the step, or keys without access that the step never sees.
        let held = if mode == Mode::Session { fixture.pipeline.clone() } else { fixture.deploy_session() };
        let client = |policy: &[&str]| {
            let arguments = [&["run", "--policy"], policy, &["--ttl", "15m", "--"], &apply].concat();
            fixture.client(&agent, &held, &arguments).env("AWS_REGION", "us-east-1")
        };
        let finished = client(&["ecs-read"]).finish();
        finished.assert_code(0);
        assert!(finished.stdout.contains("clusters = 0"), "{mode:?}: {}", finished.stdout);
        assert!(finished.stderr.contains("revoke   step finished · exit 0"), "{mode:?}: {}", finished.stderr);
        // The same step with another policy: refused, as it is before and after the grant.
        let refused = client(&["s3-read"]).finish();
        assert_eq!(refused.status.code(), Some(1), "{mode:?}: Terraform's own code: {}", refused.stdout);
        assert!(refused.stderr.contains("AccessDenied"), "{mode:?}: {}", refused.stderr);
    }
    fixture.broker.wait_until_nothing_is_live();
}
