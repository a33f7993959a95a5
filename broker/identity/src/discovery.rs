//! Fetches the keys of an issuer through OIDC discovery.

use std::time::Duration;

use domain::registration::is_loopback;
use reqwest::Url;
use serde::Deserialize;

use crate::http::Http;
use crate::key_set::KeySet;

/// Why an issuer's keys could not be fetched.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{url}` {problem}")]
pub struct Outage {
    /// The URL of the failed request.
    pub url: String,
    /// The failure, as text.
    pub problem: String,
}

/// The two needed members. The metadata types of `openidconnect` require an authorization endpoint, which issuers
/// without sign-in, like GitHub's, do not have.
#[derive(Deserialize)]
struct Document {
    issuer: String,
    jwks_uri: String,
}

pub(crate) struct Published {
    pub(crate) keys: KeySet,
    pub(crate) max_age: Option<Duration>,
}

/// The document in which an issuer names its keys.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Discovery {
    /// OpenID Connect Discovery: below the issuer's URL.
    OpenidConfiguration,
    /// Shared Signals Framework: between the host and the path of the issuer's URL.
    SsfConfiguration,
}

impl Discovery {
    fn url(self, issuer: &str) -> String {
        let issuer = issuer.strip_suffix('/').unwrap_or(issuer);
        match self {
            Self::OpenidConfiguration => format!("{issuer}/.well-known/openid-configuration"),
            Self::SsfConfiguration => {
                let host = issuer.find("://").map_or(0, |scheme| scheme + 3);
                let path = issuer.get(host..).and_then(|rest| rest.find('/')).map(|at| host + at);
                let (origin, path) = issuer.split_at(path.unwrap_or(issuer.len()));
                format!("{origin}/.well-known/ssf-configuration{path}")
            }
        }
    }
}

/// Fetches the discovery document of the issuer, and the keys that it names.
pub(crate) async fn fetch(http: &Http, discovery: Discovery, issuer: &str) -> Result<Published, Outage> {
    let url = discovery.url(issuer);
    let outage = |problem: String| Outage { url: url.clone(), problem };
    let parsed = Url::parse(&url).map_err(|error| outage(format!("is not a URL: {error}")))?;
    if !is_fetchable(issuer, &parsed) {
        return Err(outage("is neither https nor on this machine".to_owned()));
    }
    let answer = http.get(&parsed).await.map_err(outage)?;
    let document: Document = serde_json::from_slice(&answer.body)
        .map_err(|error| outage(format!("is not a discovery document: {error}")))?;
    if document.issuer != issuer {
        let found = crate::token::cut(&document.issuer);
        return Err(outage(format!("is the document of the issuer `{found}`: expected `{issuer}`")));
    }

    let url = crate::token::cut(&document.jwks_uri);
    let outage = |problem: String| Outage { url: url.clone(), problem };
    let parsed = Url::parse(&document.jwks_uri).map_err(|error| outage(format!("is not a URL: {error}")))?;
    if !is_fetchable(issuer, &parsed) {
        return Err(outage(format!("is where `{issuer}` says its keys are: expected an https URL")));
    }
    let answer = http.get(&parsed).await.map_err(outage)?;
    let keys = KeySet::parse(&answer.body).map_err(outage)?;
    Ok(Published { keys, max_age: answer.max_age })
}

/// Whether the URL may be fetched: https, or http on this machine for development.
pub(crate) fn is_fetchable(issuer: &str, url: &Url) -> bool {
    let no_credentials = url.username().is_empty() && url.password().is_none();
    match url.scheme() {
        "https" => no_credentials,
        "http" => no_credentials && issuer.starts_with("http://") && url.host_str().is_some_and(is_loopback),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_of_a_transmitter_is_between_host_and_path() {
        for (issuer, expected) in [
            ("https://idp.example", "https://idp.example/.well-known/ssf-configuration"),
            ("https://idp.example/", "https://idp.example/.well-known/ssf-configuration"),
            ("https://idp.example:8443/a/b", "https://idp.example:8443/.well-known/ssf-configuration/a/b"),
        ] {
            assert_eq!(Discovery::SsfConfiguration.url(issuer), expected);
        }
    }

    #[test]
    fn only_https_and_loopback_http_are_fetched() {
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
            assert_eq!(is_fetchable(issuer, &Url::parse(url).unwrap()), expected, "{issuer} {url}");
        }
    }
}
