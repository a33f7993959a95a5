//! What is pinned in a step: all that doing and undoing it needs.

use domain::Step;
use domain::aws::IamKind;

/// The account's twelve digits.
pub(super) const ACCOUNT: &str = "account";
/// `role` or `user`.
pub(super) const KIND: &str = "kind";
/// A role's or user's name.
pub(super) const PRINCIPAL: &str = "principal";
/// An inline policy's name.
pub(super) const POLICY: &str = "policy";
/// The document, with its deadline.
pub(super) const DOCUMENT: &str = "document";
/// A managed policy, or a role.
pub(super) const ARN: &str = "arn";
/// Managed policies of a session, separated by spaces.
pub(super) const MANAGED: &str = "managed";
/// What assuming the role asks for; only roles of our own have one.
pub(super) const EXTERNAL_ID: &str = "external_id";
/// The most that a role of our own may have.
pub(super) const BOUNDARY: &str = "boundary";
/// The permitted policies that it gives, for people.
pub(super) const GIVES: &str = "gives";
/// Where.
pub(super) const REGION: &str = "region";
/// An EKS cluster.
pub(super) const CLUSTER: &str = "cluster";
/// A Kubernetes namespace.
pub(super) const NAMESPACE: &str = "namespace";
/// A Kubernetes service account.
pub(super) const SERVICE_ACCOUNT: &str = "service_account";

/// Whose policies a step changes.
pub(super) fn principal_kind(step: &Step) -> IamKind {
    if step.fact(KIND) == IamKind::User.as_str() { IamKind::User } else { IamKind::Role }
}
