//! Which keys does an issuer publish just now?

use std::time::Duration;

use domain::registration::is_loopback;
use reqwest::Url;
use serde::Deserialize;

use crate::http::Http;
use crate::key_set::KeySet;

/// Why an issuer's keys could not be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{url}` {problem}")]
pub struct Outage {
    /// What was asked for.
    pub url: String,
    /// What came of it.
    pub problem: String,
}

/// The two members that we need. The metadata types of `openidconnect` want an authorization endpoint, which
/// an issuer that logs nobody in does not have; GitHub's document is one of those.
#[derive(Deserialize)]
struct Document {
    issuer: String,
    jwks_uri: String,
}

pub(crate) struct Published {
    pub(crate) keys: KeySet,
    pub(crate) max_age: Option<Duration>,
}

/// Asks the issuer for its discovery document, and whom that names for the keys.
pub(crate) async fn fetch(http: &Http, issuer: &str) -> Result<Published, Outage> {
    let url = format!("{}/.well-known/openid-configuration", issuer.strip_suffix('/').unwrap_or(issuer));
    let outage = |problem: String| Outage { url: url.clone(), problem };
    let parsed = Url::parse(&url).map_err(|error| outage(format!("is not a URL: {error}")))?;
    if !may_ask(issuer, &parsed) {
        return Err(outage("is neither https nor on this machine".to_owned()));
    }
    let answer = http.get(parsed).await.map_err(outage)?;
    let document: Document = serde_json::from_slice(&answer.body)
        .map_err(|error| outage(format!("is not a discovery document: {error}")))?;
    if document.issuer != issuer {
        let found = crate::token::cut(&document.issuer);
        return Err(outage(format!("is the document of the issuer `{found}`: expected `{issuer}`")));
    }

    let url = crate::token::cut(&document.jwks_uri);
    let outage = |problem: String| Outage { url: url.clone(), problem };
    let parsed = Url::parse(&document.jwks_uri).map_err(|error| outage(format!("is not a URL: {error}")))?;
    if !may_ask(issuer, &parsed) {
        return Err(outage(format!("is where `{issuer}` says its keys are: expected an https URL")));
    }
    let answer = http.get(parsed).await.map_err(outage)?;
    let keys = KeySet::parse(&answer.body).map_err(outage)?;
    Ok(Published { keys, max_age: answer.max_age })
}

/// https; or plain http from this machine to this machine, for development.
fn may_ask(issuer: &str, url: &Url) -> bool {
    let nobody = url.username().is_empty() && url.password().is_none();
    match url.scheme() {
        "https" => nobody,
        "http" => nobody && issuer.starts_with("http://") && url.host_str().is_some_and(is_loopback),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_https_is_asked_and_plain_http_only_from_loopback_to_loopback() {
        let secure = "https://issuer.example";
        let local = "http://127.0.0.1:8080";
        for (issuer, url, expected) in [
            (secure, "https://issuer.example/keys", true),
            (secure, "https://keys.example/keys", true),
            (secure, "http://issuer.example/keys", false),
            (secure, "http://127.0.0.1/keys", false),
            (secure, "http://169.254.169.254/latest", false),
            (secure, "https://user@issuer.example/keys", false),
            (secure, "file:///etc/passwd", false),
            (local, "http://127.0.0.1:8080/keys", true),
            (local, "http://localhost:9/keys", true),
            (local, "http://[::1]:9/keys", true),
            (local, "http://169.254.169.254/latest", false),
            (local, "http://127.0.0.1.evil.example/keys", false),
        ] {
            assert_eq!(may_ask(issuer, &Url::parse(url).unwrap()), expected, "{issuer} {url}");
        }
    }
}
