//! Forgejo Actions: GitHub's claims, without a `jti` and without a claim that names the job.

use domain::Claims;
use protocol::Facts;

use super::{Profile, Replay, fill, github, text};

/// A token is minted on demand, but two jobs of a run that ask in the same second get the same one.
pub(super) const PROFILE: Profile = Profile {
    facts,
    exceptions: github::exceptions,
    replay: Replay::OneJob("{repository}|{run_id}|{run_attempt}"),
    run: &["{repository}|{run_id}|{run_attempt}"],
};

fn facts(claims: &Claims) -> Facts {
    Facts { url: address(claims), ..github::facts(claims) }
}

/// The web address of the run: the server's address is the issuer's without its path.
fn address(claims: &Claims) -> Option<String> {
    let issuer = text(claims, "iss")?;
    let server = issuer.strip_suffix("/api/actions")?;
    Some(format!("{server}{}", fill("/{repository}/actions/runs/{run_number}", claims)?))
}
