//! Detection of the workload's identity: the platform, the facts of the run, and the source of its OIDC token.
//!
//! One file per platform states how the platform is detected, which facts its variables hold, and where the token
//! comes from. `token_source` fetches it, the same for all. A platform that is present but not set up is an error
//! that says what to fix. Detection never falls through to the next platform: the next identity would be another
//! workload's, such as that of the machine under the CI runner.

mod azure_devops;
mod bitbucket;
mod buildkite;
mod circleci;
mod endpoint;
mod error;
mod explicit;
mod facts;
mod files;
mod forgejo;
mod gitea;
mod github;
mod gitlab;
mod id_tokens;
mod jenkins;
mod kubernetes;
#[cfg(test)]
mod tests;
mod token_source;
mod unverified;

use protocol::{Facts, Secret, Timestamp};

#[cfg(test)]
pub(crate) use self::tests::fake_token;
pub use error::{IdentityError, IdentityFault};
pub use facts::{Fact, ObservedFact};
pub use files::Files;
pub(crate) use id_tokens::holds_id_token_for;
pub use unverified::{Unfit, UnverifiedClaims};

use crate::environment::Env;
use token_source::TokenSource;

/// The order of detection. An explicit token comes before all of them, see [`explicit`].
const ORDER: &[&Platform] = &[
    &github::PLATFORM,
    &gitea::PLATFORM,
    &forgejo::PLATFORM,
    &gitlab::PLATFORM,
    &bitbucket::PLATFORM,
    &circleci::PLATFORM,
    &jenkins::PLATFORM,
    &buildkite::PLATFORM,
    &azure_devops::PLATFORM,
    &kubernetes::PLATFORM,
];

/// The audience of OIDC tokens when `CLOUDANIX_AUDIENCE` does not name another.
pub const DEFAULT_AUDIENCE: &str = "cloudanix-jit";

/// The audience to request tokens for.
pub fn audience(env: &Env) -> &str {
    env.get("CLOUDANIX_AUDIENCE").unwrap_or(DEFAULT_AUDIENCE)
}

/// One platform, described by its file.
struct Platform {
    /// As in `CLOUDANIX_PLATFORM`.
    name: &'static str,
    /// The sign of the platform, for people: `GITHUB_ACTIONS=true`.
    marker: &'static str,
    layer: Layer,
    is_present: fn(&Env, &Files) -> bool,
    facts: fn(&Env, &Files) -> Vec<ObservedFact>,
    source: fn(&Env, &Files) -> Result<TokenSource, IdentityError>,
    /// The advice when the token is for another audience.
    audience_hint: &'static str,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Layer {
    /// A CI system. Two at once are an error.
    Ci,
    /// The host of a CI system. Detected only where no CI system is.
    Host,
}

/// The identity that the workload can present.
#[derive(Debug)]
pub struct Identity {
    platform: &'static str,
    facts: Vec<ObservedFact>,
    source: TokenSource,
    audience_hint: &'static str,
}

/// Finds the workload's identity: none where no platform is detected, or `CLOUDANIX_PLATFORM` is `none`.
pub fn detect(env: &Env, files: &Files) -> Result<Option<Identity>, IdentityError> {
    if let Some(source) = explicit::source(env)? {
        let platform = match selected_platform(env, files) {
            // The token is explicit: two platforms that could supply the facts are no error.
            Err(IdentityError::Ambiguous { .. }) => None,
            found => found?,
        };
        return Ok(Some(Identity {
            platform: platform.map_or(explicit::NAME, |platform| platform.name),
            facts: platform.map_or_else(Vec::new, |platform| (platform.facts)(env, files)),
            source,
            audience_hint: explicit::AUDIENCE_HINT,
        }));
    }
    let Some(platform) = selected_platform(env, files)? else { return Ok(None) };
    Ok(Some(Identity {
        platform: platform.name,
        facts: (platform.facts)(env, files),
        source: (platform.source)(env, files)?,
        audience_hint: platform.audience_hint,
    }))
}

/// Whether a CI system runs this process: a known one, or any that sets `CI`. `CLOUDANIX_PLATFORM` is about tokens and
/// changes nothing here.
pub fn in_ci(env: &Env, files: &Files) -> bool {
    let known = |platform: &&Platform| platform.layer == Layer::Ci && (platform.is_present)(env, files);
    env.get("CI").is_some_and(|ci| !["false", "0"].contains(&ci)) || ORDER.iter().any(known)
}

/// The identity, or the reason why the platform's server issues none. Only the broker knows whether the agent is
/// trusted by its auth token alone.
pub(crate) fn detect_or_none(
    env: &Env,
    files: &Files,
) -> Result<(Option<Identity>, Option<IdentityError>), IdentityError> {
    match detect(env, files) {
        Ok(identity) => Ok((identity, None)),
        Err(error @ IdentityError::NoIssuer { .. }) => Ok((None, Some(error))),
        Err(error) => Err(error),
    }
}

/// The facts of the run, with or without an identity.
pub fn claimed(env: &Env, files: &Files) -> Facts {
    let found = match env.get("CLOUDANIX_PLATFORM") {
        Some("none") => detected_platform(env, files),
        Some(_) | None => selected_platform(env, files),
    };
    let facts = found.ok().flatten().map(|platform| (platform.facts)(env, files));
    facts::collect(&facts.unwrap_or_default())
}

/// The detected platform, or the one that `CLOUDANIX_PLATFORM` pins.
fn selected_platform(env: &Env, files: &Files) -> Result<Option<&'static Platform>, IdentityError> {
    let is_present = |platform: &Platform| (platform.is_present)(env, files);
    if let Some(pin) = env.get("CLOUDANIX_PLATFORM") {
        if pin == "none" {
            return Ok(None);
        }
        let pinned = ORDER.iter().find(|platform| platform.name == pin);
        let platform = pinned.ok_or_else(|| IdentityError::UnknownPlatform {
            found: pin.to_owned(),
            known: ORDER.iter().map(|platform| platform.name).collect(),
        })?;
        let not_detected = || IdentityError::NotHere { pinned: platform.name, marker: platform.marker };
        return if is_present(platform) { Ok(Some(platform)) } else { Err(not_detected()) };
    }
    detected_platform(env, files)
}

/// The detected platform.
fn detected_platform(env: &Env, files: &Files) -> Result<Option<&'static Platform>, IdentityError> {
    let is_present = |platform: &Platform| (platform.is_present)(env, files);
    let found =
        |layer| ORDER.iter().copied().filter(move |platform| platform.layer == layer && is_present(platform));
    let ci: Vec<&Platform> = found(Layer::Ci).collect();
    match ci.as_slice() {
        [] => Ok(found(Layer::Host).next()),
        [platform] => Ok(Some(platform)),
        several => Err(IdentityError::Ambiguous {
            found: several.iter().map(|platform| platform.name).collect(),
            markers: several.iter().map(|platform| platform.marker).collect(),
        }),
    }
}

impl Identity {
    /// `github`, `gitlab`, …; `explicit` for an explicit token where no platform is detected.
    pub fn platform(&self) -> &'static str {
        self.platform
    }

    /// The facts of the run from the environment, unsigned.
    pub fn claimed(&self) -> Facts {
        facts::collect(&self.facts)
    }

    /// The facts of the run, each with the variables that it was read from.
    pub fn observed_facts(&self) -> &[ObservedFact] {
        &self.facts
    }

    /// The source of the token, never the token: `GET $ACTIONS_ID_TOKEN_REQUEST_URL`.
    pub fn token_source(&self) -> String {
        self.source.to_string()
    }

    /// A token that the broker could accept; a fresh one with each call where the platform mints on demand.
    ///
    /// `http` must not follow redirects. `now` is this machine's clock.
    pub async fn token(
        &self,
        http: &reqwest::Client,
        audience: &str,
        now: Timestamp,
    ) -> Result<Secret, IdentityError> {
        let token = self.source.fetch(http, audience).await?;
        let claims = UnverifiedClaims::read(&token).map_err(|problem| self.unfit(problem))?;
        self.check(&claims, audience, now)?;
        Ok(token)
    }

    /// The claims of a token, for people. [`Self::check`] checks them.
    pub async fn claims(
        &self,
        http: &reqwest::Client,
        audience: &str,
    ) -> Result<UnverifiedClaims, IdentityError> {
        let token = self.source.fetch(http, audience).await?;
        UnverifiedClaims::read(&token).map_err(|problem| self.unfit(problem))
    }

    /// Refuses a token that the broker would refuse, with advice for this platform.
    pub fn check(
        &self,
        claims: &UnverifiedClaims,
        audience: &str,
        now: Timestamp,
    ) -> Result<(), IdentityError> {
        claims.check(self.source.audience(audience), now).map_err(|problem| self.unfit(problem))
    }

    /// The audience that the token will have: the requested one, where the platform lets the workload choose.
    pub fn expected_audience<'a>(&'a self, audience: &'a str) -> &'a str {
        self.source.audience(audience)
    }

    fn unfit(&self, problem: unverified::Unfit) -> IdentityError {
        IdentityError::Unfit {
            source_of_token: self.token_source(),
            problem,
            audience_hint: self.audience_hint,
        }
    }
}
