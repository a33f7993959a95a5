//! The identity of a job on each platform: its agent's trust rule and its token's claims.

use serde_json::{Value, json};
use system_tests::broker::Broker;
use system_tests::fixture::{AUDIENCE, Agent, Fixture, registration_of};
use system_tests::leak_scan::LeakScan;
use system_tests::oidc_provider::Token;

use super::machine::Machine;

/// A platform as a trust rule names it, with the required claims.
pub(crate) struct Trust {
    pub(crate) platform: &'static str,
    pub(crate) claims: &'static str,
}

pub(crate) const CIRCLECI: Trust = Trust {
    platform: "circleci",
    claims: r#"{ "oidc.circleci.com/project-id" = "p-1", "oidc.circleci.com/vcs-origin" = "github.com/octo/my-app" }"#,
};

pub(crate) const BITBUCKET: Trust =
    Trust { platform: "bitbucket", claims: r#"{ repositoryUuid = "{repository}", branchName = "main" }"# };

pub(crate) const BUILDKITE: Trust = Trust {
    platform: "buildkite",
    claims: r#"{ organization_id = "o-1", pipeline_id = "p-1", build_branch = "main" }"#,
};

pub(crate) const AZURE_DEVOPS: Trust = Trust {
    platform: "azure-devops",
    claims: r#"{ sub = "p://octo/orders/deploy", rpo_ref = "refs/heads/main" }"#,
};

pub(crate) const KUBERNETES: Trust =
    Trust { platform: "kubernetes", claims: r#"{ sub = "system:serviceaccount:prod:orders-deploy" }"# };

/// A job without a platform of its own, such as an AWS role.
pub(crate) const ANY: Trust =
    Trust { platform: "oidc", claims: r#"{ sub = "arn:aws:iam::123456789012:role/codebuild-orders" }"# };

/// A broker and an agent that trusts one project of the platform.
pub(crate) struct PlatformFixture {
    pub(crate) fixture: Fixture,
    pub(crate) agent: Agent,
    pub(crate) scan: LeakScan,
}

impl PlatformFixture {
    /// A fixture with the broker's default limits.
    pub(crate) fn start(trust: &Trust) -> Self {
        Self::with(Broker::start(), trust)
    }

    /// A fixture with this broker.
    pub(crate) fn with(broker: Broker, trust: &Trust) -> Self {
        Self::for_audience(broker, trust, AUDIENCE)
    }

    /// A fixture whose agent's trust rule names this audience.
    pub(crate) fn for_audience(broker: Broker, trust: &Trust, audience: &str) -> Self {
        let fixture = Fixture::with(broker);
        let id = format!("{}-deploy", trust.platform);
        let registration = registration_of(trust.platform, &id, fixture.provider.issuer(), trust.claims, "");
        let wanted = format!("audience = \"{audience}\"");
        let registration = registration.replace(&format!("audience = \"{AUDIENCE}\""), &wanted);
        // The policies that the examples request.
        let more = "policies = { \"ecs-deploy\" = \"ecs:deploy\", \"orders-migrate\" = \"orders:migrate\", ";
        let registration = registration.replace("policies = { ", more);
        let auth_token = fixture.broker.register(&registration);
        let mut scan = LeakScan::default();
        scan.secret("auth token", &auth_token);
        Self { fixture, agent: Agent { id, auth_token }, scan }
    }

    /// A machine with the agent's variables, as a context or the platform's secrets set them.
    pub(crate) fn machine(&self) -> Machine {
        let mut machine = Machine::new();
        machine.set("CLOUDANIX_URL", self.fixture.broker.url());
        machine.set("CLOUDANIX_AGENT_ID", &self.agent.id);
        machine.set("CLOUDANIX_AUTH_TOKEN", &self.agent.auth_token);
        // A deployment that requires a grant and does not print it.
        machine.program(
            "aws",
            "#!/bin/sh\n[ -n \"$CLOUDANIX_GRANT_TOKEN\" ] || { echo 'Unable to locate credentials' >&2; exit 253; }\n\
             printf 'aws %s\\n' \"$*\" >>aws-calls\n",
        );
        machine
    }

    /// Mints a token with these claims and adds it to the leak scan.
    pub(crate) fn mint(&mut self, claims: &Value, audience: impl Into<Value>) -> String {
        let token =
            self.fixture.provider.mint(&Token::with_claims(claims.clone()).audience(audience)).unwrap();
        self.scan.secret("an OIDC token", &token);
        self.scan.secret("an OIDC token's signature", token.rsplit_once('.').unwrap().1);
        token
    }

    /// Asserts that the only grant ended for this reason with its timeline intact; returns the grant.
    #[track_caller]
    pub(crate) fn assert_ended(&self, reason: &str) -> Value {
        self.fixture.broker.wait_until_nothing_is_live();
        let grants = self.fixture.broker.given();
        assert_eq!(grants.len(), 1, "{grants:?}");
        assert_eq!((&grants[0]["status"], &grants[0]["end_reason"]), (&json!("revoked"), &json!(reason)));
        self.fixture.broker.timeline(grants[0]["id"].as_str().unwrap())
    }

    /// Asserts that neither the machine nor the broker's records contain a secret.
    #[track_caller]
    pub(crate) fn assert_no_leak(mut self, machine: &Machine) {
        machine.scan(&mut self.scan);
        self.scan.written("the broker's log", self.fixture.broker.log());
        assert!(self.scan.bytes() > 1000);
        let finds = self.scan.finds();
        assert!(finds.is_empty(), "{}", finds.join("\n"));
    }
}

/// The claims of CircleCI's token for this job.
pub(crate) fn circleci_claims(job: &str) -> Value {
    json!({
        "sub": "org/O/project/p-1/user/U/vcs-origin/github.com/octo/my-app/vcs-ref/refs/heads/main",
        "oidc.circleci.com/project-id": "p-1", "oidc.circleci.com/vcs-origin": "github.com/octo/my-app",
        "oidc.circleci.com/vcs-ref": "refs/heads/main", "oidc.circleci.com/pipeline-id": "pl-1",
        "oidc.circleci.com/workflow-id": "w-1", "oidc.circleci.com/job-id": job,
        "oidc.circleci.com/ssh-rerun": false,
    })
}

/// The claims of Bitbucket's token for this step.
pub(crate) fn bitbucket_claims(step: &str) -> Value {
    json!({
        "sub": format!("{{repository}}:{step}"), "repositoryUuid": "{repository}", "branchName": "main",
        "pipelineUuid": "{pipeline}", "stepUuid": step, "workspaceUuid": "{workspace}",
    })
}
