//! Kubernetes: the kubelet projects a service account's token into a file and renews it.

use std::path::PathBuf;

use super::error::IdentityError;
use super::facts::{self, Fact, ObservedFact};
use super::files::{Files, is_file, read_text};
use super::token_source::TokenSource;
use super::{Layer, Platform};
use crate::environment::Env;

const NAME: &str = "kubernetes";

/// A volume that the manifest projects with the broker's audience.
const PROJECTED: &str = "var/run/secrets/cloudanix/token";
/// The default token of every pod, with the cluster's audience.
const DEFAULT: &str = "var/run/secrets/kubernetes.io/serviceaccount/token";
const NAMESPACE: &str = "var/run/secrets/kubernetes.io/serviceaccount/namespace";

pub(super) const PLATFORM: Platform = Platform {
    name: NAME,
    marker: "`KUBERNETES_SERVICE_HOST` or a projected token",
    layer: Layer::Host,
    is_present: |env, files| env.get("KUBERNETES_SERVICE_HOST").is_some() || token_file(files).is_some(),
    facts,
    source,
    audience_hint: "the service account's default token is for the cluster; project one for us at \
                    /var/run/secrets/cloudanix: `projected: { sources: [{ serviceAccountToken: { path: token, \
                    audience: cloudanix-jit, expirationSeconds: 600 } }] }`",
};

fn token_file(files: &Files) -> Option<PathBuf> {
    [PROJECTED, DEFAULT].into_iter().map(|path| files.path(path)).find(|path| is_file(path))
}

fn facts(env: &Env, files: &Files) -> Vec<ObservedFact> {
    let mut seen = facts::from_variables(
        env,
        &[(Fact::Workflow, &["ARGO_WORKFLOW_NAME"]), (Fact::Step, &["ARGO_NODE_ID"])],
    );
    let first = |names: [&'static str; 2]| names.into_iter().find_map(|name| Some((name, env.get(name)?)));
    let Some((pod_from, pod)) = first(["POD_NAME", "HOSTNAME"]) else { return seen };
    let place = files.path(NAMESPACE);
    let namespace = match env.get("POD_NAMESPACE") {
        Some(namespace) => Some(("POD_NAMESPACE".to_owned(), namespace.to_owned())),
        None => read_text(&place).ok().map(|text| (place.display().to_string(), text)),
    };
    if let Some((namespace_from, namespace)) = namespace {
        let from = format!("{namespace_from}, {pod_from}");
        seen.push(ObservedFact::made(Fact::Pod, format!("{namespace}/{pod}"), &from));
    }
    seen
}

fn source(_: &Env, files: &Files) -> Result<TokenSource, IdentityError> {
    token_file(files).map(TokenSource::File).ok_or_else(|| IdentityError::Misconfigured {
        platform: NAME,
        what: "expected a service account token in /var/run/secrets/cloudanix/token, found none".into(),
        hint: "project one into the pod with audience cloudanix-jit, or set `CLOUDANIX_PLATFORM` to `none` if the \
               agent is trusted by its auth token alone"
            .into(),
    })
}
