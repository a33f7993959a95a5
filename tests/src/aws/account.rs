//! Sets up an AWS account for a test, and reads what is in it.
//!
//! Every call is made as the account's root, which no policy binds: never pass these keys to the programs under
//! test. A broker gets a user of its own, by [`Account::user`].

use serde_json::{Value, json};

use super::calls::{Calls, Keys};
use super::outcome::Outcome;
use super::policies::policy;
use super::snapshot::Snapshot;

/// One account, used as its root.
pub struct Account<'a> {
    calls: &'a Calls,
    number: String,
}

impl<'a> Account<'a> {
    pub(super) fn new(calls: &'a Calls, number: &str) -> Self {
        Self { calls, number: number.to_owned() }
    }

    /// The account's id, twelve digits.
    pub fn number(&self) -> &str {
        &self.number
    }

    /// The ARN of an IAM resource of the account: `role/deploy`.
    pub fn arn(&self, what: &str) -> String {
        format!("arn:aws:iam::{}:{what}", self.number)
    }

    /// Root's keys, for set-up only.
    pub fn root(&self) -> Keys {
        Keys { id: self.number.clone(), secret: "test".into(), token: None }
    }

    /// A call as root; fails the test unless it succeeds.
    #[track_caller]
    pub fn call(&self, service: &str, operation: &str, arguments: Value) -> Value {
        self.try_call(service, operation, arguments).expect_allowed()
    }

    /// A call as root.
    pub fn try_call(&self, service: &str, operation: &str, arguments: Value) -> Outcome {
        self.calls.call(&self.root(), service, operation, arguments)
    }

    /// A user with this inline policy, and an access key of theirs.
    #[track_caller]
    pub fn user(&self, name: &str, policy: &Value) -> Keys {
        self.call("iam", "create_user", json!({"UserName": name}));
        self.call(
            "iam",
            "put_user_policy",
            json!({"UserName": name, "PolicyName": "own", "PolicyDocument": policy.to_string()}),
        );
        self.access_key(name)
    }

    /// Creates another access key of a user.
    #[track_caller]
    pub fn access_key(&self, user: &str) -> Keys {
        Keys::from_answer(&self.call("iam", "create_access_key", json!({"UserName": user})))
    }

    /// Creates a role with this trust policy; returns its ARN.
    #[track_caller]
    pub fn role(&self, name: &str, trust: &Value) -> String {
        let arguments = json!({"RoleName": name, "AssumeRolePolicyDocument": trust.to_string()});
        text(&self.call("iam", "create_role", arguments), "/Role/Arn")
    }

    /// Creates a customer managed policy; returns its ARN.
    #[track_caller]
    pub fn managed_policy(&self, name: &str, document: &Value) -> String {
        let arguments = json!({"PolicyName": name, "PolicyDocument": document.to_string()});
        text(&self.call("iam", "create_policy", arguments), "/Policy/Arn")
    }

    /// Puts an inline policy on a role.
    #[track_caller]
    pub fn put_role_policy(&self, role: &str, name: &str, document: &Value) {
        let arguments = json!({"RoleName": role, "PolicyName": name, "PolicyDocument": document.to_string()});
        self.call("iam", "put_role_policy", arguments);
    }

    /// Deletes an inline policy of a role.
    #[track_caller]
    pub fn delete_role_policy(&self, role: &str, name: &str) {
        self.call("iam", "delete_role_policy", json!({"RoleName": role, "PolicyName": name}));
    }

    /// Attaches a managed policy to a role.
    #[track_caller]
    pub fn attach(&self, role: &str, policy_arn: &str) {
        self.call("iam", "attach_role_policy", json!({"RoleName": role, "PolicyArn": policy_arn}));
    }

    /// Detaches a managed policy from a role.
    #[track_caller]
    pub fn detach(&self, role: &str, policy_arn: &str) {
        self.call("iam", "detach_role_policy", json!({"RoleName": role, "PolicyArn": policy_arn}));
    }

    /// The names of a role's inline policies.
    #[track_caller]
    pub fn role_policies(&self, role: &str) -> Vec<String> {
        let found = self.call("iam", "list_role_policies", json!({"RoleName": role}));
        texts(&found, "/PolicyNames", "")
    }

    /// The ARNs of a role's managed policies.
    #[track_caller]
    pub fn attached_to_role(&self, role: &str) -> Vec<String> {
        let found = self.call("iam", "list_attached_role_policies", json!({"RoleName": role}));
        texts(&found, "/AttachedPolicies", "/PolicyArn")
    }

    /// The names of a user's inline policies.
    #[track_caller]
    pub fn user_policies(&self, user: &str) -> Vec<String> {
        let found = self.call("iam", "list_user_policies", json!({"UserName": user}));
        texts(&found, "/PolicyNames", "")
    }

    /// The ARNs of a user's managed policies.
    #[track_caller]
    pub fn attached_to_user(&self, user: &str) -> Vec<String> {
        let found = self.call("iam", "list_attached_user_policies", json!({"UserName": user}));
        texts(&found, "/AttachedPolicies", "/PolicyArn")
    }

    /// The names of the roles with this prefix.
    #[track_caller]
    pub fn roles_named(&self, beginning: &str) -> Vec<String> {
        let mut names = texts(&self.call("iam", "list_roles", json!({})), "/Roles", "/RoleName");
        names.retain(|name| name.starts_with(beginning));
        names
    }

    /// Creates an EKS cluster, with a role `eks-NAME` for it. No nodes run in it.
    #[track_caller]
    pub fn cluster(&self, name: &str) {
        let service = json!({"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": "eks.amazonaws.com"}});
        let role = self.role(&format!("eks-{name}"), &policy(&[service]));
        self.call("eks", "create_cluster", json!({"name": name, "roleArn": role, "resourcesVpcConfig": {}}));
    }

    /// The pod identity associations of a cluster, as `DescribePodIdentityAssociation` describes them.
    #[track_caller]
    pub fn associations(&self, cluster: &str) -> Vec<Value> {
        let found = self.call("eks", "list_pod_identity_associations", json!({"clusterName": cluster}));
        let ids = texts(&found, "/associations", "/associationId");
        let describe = |id| {
            let which = json!({"clusterName": cluster, "associationId": id});
            let whole = self.call("eks", "describe_pod_identity_association", which);
            whole.pointer("/association").cloned().expect("an association")
        };
        ids.iter().map(describe).collect()
    }

    /// The keys of a new session of a role, with these further arguments of `AssumeRole`.
    #[track_caller]
    pub fn session(&self, by: &Keys, role_arn: &str, further: Value) -> Keys {
        Keys::from_answer(&self.assume(by, role_arn, further).expect_allowed())
    }

    /// The same, with the outcome of the call.
    pub fn assume(&self, by: &Keys, role_arn: &str, further: Value) -> Outcome {
        let mut arguments = json!({"RoleArn": role_arn, "RoleSessionName": "test"});
        if let (Some(all), Value::Object(further)) = (arguments.as_object_mut(), further) {
            all.extend(further);
        }
        self.calls.call(by, "sts", "assume_role", arguments)
    }

    /// The account's current snapshot.
    #[track_caller]
    pub fn snapshot(&self) -> Snapshot {
        self.calls.snapshot(&self.root())
    }
}

#[track_caller]
fn text(answer: &Value, pointer: &str) -> String {
    answer.pointer(pointer).and_then(Value::as_str).expect("a text in the answer").to_owned()
}

#[track_caller]
fn texts(answer: &Value, list: &str, each: &str) -> Vec<String> {
    let list = answer.pointer(list).and_then(Value::as_array).expect("a list in the answer");
    list.iter().map(|entry| text(entry, each)).collect()
}
