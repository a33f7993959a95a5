//! Sets up the smallest account for a grant in AWS.

use serde_json::json;

use super::account::Account;
use super::calls::{Calls, Keys};
use super::ministack::Ministack;
use super::outcome::Outcome;
use super::policies::{allow, trusts};

/// The permissions of the user `broker`.
const OF_A_BROKER: [&str; 5] =
    ["sts:AssumeRole", "iam:GetRole", "iam:GetRolePolicy", "iam:PutRolePolicy", "iam:DeleteRolePolicy"];

/// An account of its own, with a user `broker`, a role `deploy` that this user may assume and that has no
/// permissions, and a session of this role.
pub struct RoleFixture<'a> {
    /// The account.
    pub account: Account<'a>,
    /// An access key of the user `broker`.
    pub broker: Keys,
    /// The ARN of the role `deploy`.
    pub role: String,
    /// A session of the role.
    pub session: Keys,
}

impl<'a> RoleFixture<'a> {
    /// Creates the account.
    #[track_caller]
    pub fn on(emulator: &'a Ministack) -> Self {
        let account = emulator.new_account();
        let broker = account.user("broker", &allow(&OF_A_BROKER));
        let role = account.role("deploy", &trusts(&account.arn("user/broker")));
        let session = account.session(&broker, &role, json!({}));
        Self { account, broker, role, session }
    }

    /// Provisions as a broker does: the inline policy `grant`, for `ecs:ListClusters`.
    pub fn put_policy(&self, through: &Calls) -> Outcome {
        let document = allow(&["ecs:ListClusters"]).to_string();
        let arguments = json!({"RoleName": "deploy", "PolicyName": "grant", "PolicyDocument": document});
        through.call(&self.broker, "iam", "put_role_policy", arguments)
    }

    /// Observes as a broker does: reads the inline policy.
    pub fn get_policy(&self, through: &Calls) -> Outcome {
        let arguments = json!({"RoleName": "deploy", "PolicyName": "grant"});
        through.call(&self.broker, "iam", "get_role_policy", arguments)
    }

    /// Whether the role has any inline policy.
    #[track_caller]
    pub fn has_policy(&self) -> bool {
        !self.account.role_policies("deploy").is_empty()
    }
}
