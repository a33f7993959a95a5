//! What a boundary needs for each target and way to authenticate there.

/// A question, and the key of the registration that it is for.
pub(super) struct Field {
    pub(super) key: &'static str,
    pub(super) label: &'static str,
    pub(super) example: &'static str,
    pub(super) required: bool,
}

const fn required(key: &'static str, label: &'static str, example: &'static str) -> Field {
    Field { key, label, example, required: true }
}

const fn optional(key: &'static str, label: &'static str, example: &'static str) -> Field {
    Field { key, label, example, required: false }
}

/// A target, and how access is provisioned there.
pub(super) struct Target {
    pub(super) name: &'static str,
    pub(super) label: &'static str,
    /// The key `auth_mode`; empty where the target has one way only.
    pub(super) auth_mode: &'static str,
    pub(super) target: &'static str,
    pub(super) fields: &'static [Field],
    /// What a policy stands for.
    pub(super) policy: &'static str,
}

const ACCOUNT: Field = required("account", "Account", "123456789012");
const REGION: Field = optional("region", "Region", "eu-west-1");
const ROLE: Field = required("principal", "Role", "arn:aws:iam::123456789012:role/deploy");
const AWS_POLICY: &str = "ecs-read = arn:aws:iam::123456789012:policy/EcsRead";

pub(super) const TARGETS: [Target; 6] = [
    Target {
        name: "token",
        label: "Services of your own, with a token that this broker signs",
        auth_mode: "",
        target: "token",
        fields: &[],
        policy: "orders-read = orders:read",
    },
    Target {
        name: "static-principal",
        label: "AWS: policies on a role that the workload has",
        auth_mode: "static-principal",
        target: "aws",
        fields: &[ACCOUNT, REGION, ROLE],
        policy: AWS_POLICY,
    },
    Target {
        name: "static-access-keys",
        label: "AWS: policies on a user whose keys the workload has",
        auth_mode: "static-access-keys",
        target: "aws",
        fields: &[ACCOUNT, REGION, required("principal", "User", "arn:aws:iam::123456789012:user/deployer")],
        policy: AWS_POLICY,
    },
    Target {
        name: "dynamic-access-keys",
        label: "AWS: keys of a session of a role, narrowed to the policies",
        auth_mode: "dynamic-access-keys",
        target: "aws",
        fields: &[ACCOUNT, REGION, ROLE],
        policy: AWS_POLICY,
    },
    Target {
        name: "dynamic-role",
        label: "AWS: a role for each grant, and keys of its session",
        auth_mode: "dynamic-role",
        target: "aws",
        fields: &[
            ACCOUNT,
            REGION,
            optional(
                "permissions_boundary",
                "Permissions boundary",
                "arn:aws:iam::123456789012:policy/JitMost",
            ),
        ],
        policy: AWS_POLICY,
    },
    Target {
        name: "pod-identity",
        label: "AWS: a role for the service account of a pod in EKS",
        auth_mode: "pod-identity",
        target: "aws",
        fields: &[
            ACCOUNT,
            REGION,
            required("cluster", "Cluster", "production"),
            required("namespace", "Namespace", "shop"),
            required("service_account", "Service account", "web"),
        ],
        policy: "orders-write = arn:aws:iam::123456789012:role/orders-write",
    },
];

/// The target of this name; the first one if it is not known.
pub(super) fn target(name: &str) -> &'static Target {
    let [first, ..] = &TARGETS;
    TARGETS.iter().find(|target| target.name == name).unwrap_or(first)
}
