//! Projected tokens of Kubernetes service accounts.

use domain::Claims;
use protocol::Facts;

use super::{Profile, Replay, fill};

/// The kubelet renews the file well before it expires, and every process of the pod reads the same one.
pub(super) const PROFILE: Profile = Profile {
    facts,
    exceptions: |_, _| Vec::new(),
    replay: Replay::OneAgent,
    run: &["{kubernetes.io.pod.uid}"],
};

fn facts(claims: &Claims) -> Facts {
    let from = |template| fill(template, claims);
    Facts {
        actor: from("{kubernetes.io.namespace}/{kubernetes.io.serviceaccount.name}"),
        pod: from("{kubernetes.io.namespace}/{kubernetes.io.pod.name}"),
        ..Facts::default()
    }
}
