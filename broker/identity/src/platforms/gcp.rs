//! What does an identity token of Google Cloud's metadata server say?

use domain::Claims;
use protocol::Facts;

use super::{Profile, Replay, fill};

pub(super) const PROFILE: Profile =
    Profile { facts, exceptions: |_, _| Vec::new(), replay: Replay::SingleUse };

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
