//! What tests of the AWS target share: two independent emulators, and ways to observe them and to inject faults.
//!
//! [`ministack::Ministack`] enforces IAM on every call, and is the main emulator of these tests. The findings below
//! are from experiments with version 1.5.33; where it differs from AWS, a test that passes here proves nothing.
//!
//! # Several accounts
//!
//! Every account exists from the start. An access key id of twelve digits is the root of that account (secret
//! `test`); a user's or a session's key belongs to the account that it was made in; `test` is root of
//! [`ministack::ACCOUNT`]. IAM and EKS are separate for each. A role that is assumed across accounts needs both
//! the caller's own policy and the role's trust, and its `sts:ExternalId` is checked: missing or wrong is
//! AccessDenied. Sessions stay in the role's account.
//!
//! # Enforced as AWS does
//!
//! Trust policies with conditions · inline and managed policies · session policies · `aws:CurrentTime` on the
//! identity's, the session's and the trust policy · `aws:TokenIssueTime` · `aws:PrincipalTag` from session and
//! role · `aws:RequestTag` in a trust policy, and `sts:TagSession` · expired, unknown, inactive and deleted keys,
//! signatures that are wrong, or too old · `NoSuchEntity` (404) for everything of IAM's that is not there, also
//! on delete and detach, and `ResourceNotFoundException` (404) for EKS · `EntityAlreadyExists` and
//! `DeleteConflict` (409).
//!
//! # Different from AWS
//!
//! * `aws:SourceIdentity` is never there in a condition: an allow on it refuses, a deny on it has no effect. The
//!   parameter is accepted without `sts:SetSourceIdentity`. Transitive tags do not reach the next session.
//! * On IAM's own actions there is no `iam:PolicyARN`, `iam:PermissionsBoundary`, `iam:PassedToService`,
//!   `aws:RequestTag` or `aws:ResourceTag`: an allow that requires one always refuses.
//! * IAM's own actions see a role's ARN without its path: `role/jit/*` never matches, `role/jit-*` does.
//!   `AssumeRole` sees the path. `SimulatePrincipalPolicy` is wrong for roles that have one.
//! * Nothing has a limit: policy sizes and numbers, names, `MaxSessionDuration`, an hour for chained roles.
//!   (Session policies and versions of a managed policy have.) A managed policy that does not exist can be
//!   attached. `iam:PassRole` is not required. Lists come in one page.
//! * The same caller in the same account needs `sts:AssumeRole` of its own, even if the trust policy names it.
//! * The same `clientRequestToken` twice is ResourceInUseException (409), where AWS repeats its answer.
//! * A read sees every earlier write. Delay, loss and refusal come from [`fault_proxy::FaultProxy`].
//!
//! [`moto::Moto`] is a second emulator, for the parts that it supports.

pub mod account;
pub mod calls;
pub mod cli;
pub mod clock;
pub mod fault_proxy;
pub mod fixture;
pub mod ledger;
pub mod ministack;
pub mod moto;
pub mod outcome;
pub mod policies;
pub mod python;
pub mod role_fixture;
mod server;
pub mod snapshot;
pub mod steps;
