//! Who does this workload say it is, and where does its token come from?
//!
//! One file per platform. Each says how it is recognised, what the environment tells of the run, and where
//! the token comes from; how a token is fetched is in [`token_source`], the same for all. A platform that is
//! here but not set up is an error that says what to fix. It never falls through to the next one: the
//! next identity would be another's, such as that of the machine under the CI runner.

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
mod jenkins;
mod kubernetes;
#[cfg(test)]
mod tests;
mod token_source;
mod unverified;

use protocol::{Facts, Secret, Timestamp};

#[cfg(test)]
pub(crate) use self::tests::fake_token;
pub(crate) use error::{IdentityError, IdentityFault};
pub(crate) use facts::Seen;
pub(crate) use files::Files;
pub(crate) use unverified::UnverifiedClaims;

use crate::environment::Env;
use token_source::TokenSource;

/// How platforms are looked for. The explicit token comes before all of them, see [`explicit`].
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
pub(crate) const DEFAULT_AUDIENCE: &str = "cloudanix-jit";

/// The audience to ask tokens for.
pub(crate) fn audience(env: &Env) -> &str {
    env.get("CLOUDANIX_AUDIENCE").unwrap_or(DEFAULT_AUDIENCE)
}

/// What a platform's file says of it.
struct Platform {
    /// As in `CLOUDANIX_PLATFORM`.
    name: &'static str,
    /// By what it is recognised, for people: `GITHUB_ACTIONS=true`.
    marker: &'static str,
    /// Whether a CI says so itself, or it is what CIs run on.
    layer: Layer,
    here: fn(&Env, &Files) -> bool,
    facts: fn(&Env, &Files) -> Vec<Seen>,
    source: fn(&Env, &Files) -> Result<TokenSource, IdentityError>,
    /// What to do when the token is for another audience.
    audience_hint: &'static str,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Layer {
    /// Two of these at once are an error.
    Ci,
    /// Looked at only where no CI is.
    Host,
}

/// The identity that this workload can present.
#[derive(Debug)]
pub(crate) struct Identity {
    platform: &'static str,
    seen: Vec<Seen>,
    source: TokenSource,
    audience_hint: &'static str,
}

/// The workload's identity: none where no platform is found, or `CLOUDANIX_PLATFORM` is `none`.
pub(crate) fn detect(env: &Env, files: &Files) -> Result<Option<Identity>, IdentityError> {
    if let Some(source) = explicit::source(env)? {
        let around = match surroundings(env, files) {
            // The token is settled; which of two platforms lent us the facts is not worth an error.
            Err(IdentityError::Ambiguous { .. }) => None,
            found => found?,
        };
        return Ok(Some(Identity {
            platform: around.map_or(explicit::NAME, |platform| platform.name),
            seen: around.map_or_else(Vec::new, |platform| (platform.facts)(env, files)),
            source,
            audience_hint: explicit::AUDIENCE_HINT,
        }));
    }
    let Some(platform) = surroundings(env, files)? else { return Ok(None) };
    Ok(Some(Identity {
        platform: platform.name,
        seen: (platform.facts)(env, files),
        source: (platform.source)(env, files)?,
        audience_hint: platform.audience_hint,
    }))
}

/// Whether a CI system runs this process: a known one, or any that sets `CI`. `CLOUDANIX_PLATFORM`, which is
/// about tokens, changes nothing here.
#[cfg(unix)]
pub(crate) fn in_ci(env: &Env, files: &Files) -> bool {
    let known = |platform: &&Platform| platform.layer == Layer::Ci && (platform.here)(env, files);
    env.get("CI").is_some_and(|ci| !["false", "0"].contains(&ci)) || ORDER.iter().any(known)
}

/// The identity, or none and why where the platform's server issues none: an agent that is trusted by its auth token
/// alone needs none, and only the broker knows which agents are.
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

/// What the environment says of the run, whether or not there is an identity, or one is wanted.
pub(crate) fn claimed(env: &Env, files: &Files) -> Facts {
    let found = match env.get("CLOUDANIX_PLATFORM") {
        Some("none") => around(env, files),
        Some(_) | None => surroundings(env, files),
    };
    let seen = found.ok().flatten().map(|platform| (platform.facts)(env, files));
    facts::collect(&seen.unwrap_or_default())
}

/// The one platform that we are on, or are told to take this for.
fn surroundings(env: &Env, files: &Files) -> Result<Option<&'static Platform>, IdentityError> {
    let here = |platform: &Platform| (platform.here)(env, files);
    if let Some(pin) = env.get("CLOUDANIX_PLATFORM") {
        if pin == "none" {
            return Ok(None);
        }
        let pinned = ORDER.iter().find(|platform| platform.name == pin);
        let platform = pinned.ok_or_else(|| IdentityError::UnknownPlatform {
            found: pin.to_owned(),
            known: ORDER.iter().map(|platform| platform.name).collect(),
        })?;
        let not_here = || IdentityError::NotHere { pinned: platform.name, marker: platform.marker };
        return if here(platform) { Ok(Some(platform)) } else { Err(not_here()) };
    }
    around(env, files)
}

/// The one platform that we are on.
fn around(env: &Env, files: &Files) -> Result<Option<&'static Platform>, IdentityError> {
    let here = |platform: &Platform| (platform.here)(env, files);
    let found =
        |layer| ORDER.iter().copied().filter(move |platform| platform.layer == layer && here(platform));
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
    /// `github`, `gitlab`, …; `explicit` for a token that was handed to us where no platform is found.
    pub(crate) fn platform(&self) -> &'static str {
        self.platform
    }

    /// What the environment says of the run. Nobody signed it.
    pub(crate) fn claimed(&self) -> Facts {
        facts::collect(&self.seen)
    }

    /// The same, each with the variables that it was read from.
    pub(crate) fn seen(&self) -> &[Seen] {
        &self.seen
    }

    /// Where the token comes from, never the token: `GET $ACTIONS_ID_TOKEN_REQUEST_URL`.
    pub(crate) fn token_source(&self) -> String {
        self.source.to_string()
    }

    /// A token fit to be sent; a fresh one with each call where the platform mints on demand.
    ///
    /// `http` must not follow redirects. `now` is this machine's clock.
    pub(crate) async fn token(
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

    /// The claims of a token, for people; whether it is fit to be sent is for [`Self::check`] to say.
    pub(crate) async fn look(
        &self,
        http: &reqwest::Client,
        audience: &str,
    ) -> Result<UnverifiedClaims, IdentityError> {
        let token = self.source.fetch(http, audience).await?;
        UnverifiedClaims::read(&token).map_err(|problem| self.unfit(problem))
    }

    /// What the broker would refuse anyway, found here with better words.
    pub(crate) fn check(
        &self,
        claims: &UnverifiedClaims,
        audience: &str,
        now: Timestamp,
    ) -> Result<(), IdentityError> {
        claims.check(self.source.audience(audience), now).map_err(|problem| self.unfit(problem))
    }

    /// The audience that the token will have: the one asked for, where the platform lets us choose.
    pub(crate) fn expected_audience<'a>(&'a self, audience: &'a str) -> &'a str {
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
