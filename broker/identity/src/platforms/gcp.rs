//! Identity tokens of Google Cloud's metadata server.

use domain::Claims;
use protocol::Facts;

use super::{Profile, Replay, fill};

/// A token in the short format does not name the instance, and so not the run.
pub(super) const PROFILE: Profile = Profile {
    facts,
    exceptions: |_, _| Vec::new(),
    replay: Replay::SingleUse,
    run: &["{google.compute_engine.project_id}|{google.compute_engine.instance_id}"],
};

fn facts(claims: &Claims) -> Facts {
    let from = |template| fill(template, claims);
    Facts {
        repository: from("{google.compute_engine.project_id}"),
        run: from("{google.compute_engine.instance_id}"),
        actor: from("{email}"),
        environment: from("{google.compute_engine.zone}"),
        ..Facts::default()
    }
}
