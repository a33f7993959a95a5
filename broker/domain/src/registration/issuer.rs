//! Checks an issuer's URL and finds the platform that it belongs to.

use protocol::Platform;

use super::{InvalidRegistration, refused};

/// The hosts of EKS issuers: IPv4 and dual-stack, and those of the other partitions.
const EKS: &[(&str, &str)] = &[
    ("oidc.eks.", ".amazonaws.com"),
    ("oidc.eks.", ".amazonaws.com.cn"),
    ("oidc-eks.", ".api.aws"),
    ("oidc-eks.", ".api.amazonwebservices.com.cn"),
    ("oidc-eks.", ".api.amazonwebservices.eu"),
];

/// An https URL, or plain http to a loopback address; exactly as the token carries it.
pub fn check(issuer: &str) -> Result<(), String> {
    let expected =
        "expected an https URL (plain http only for a loopback address), without user, query or fragment";
    let wrong = || Err(format!("`{issuer}` is not an issuer: {expected}"));
    let Some((scheme, rest)) = issuer.split_once("://") else { return wrong() };
    let authority = rest.split('/').next().unwrap_or_default();
    let plain = rest.bytes().all(|b| b.is_ascii_graphic() && !b"?#@\\\"<>".contains(&b));
    if authority.is_empty() || !plain {
        return wrong();
    }
    match scheme {
        "https" => Ok(()),
        "http" if is_loopback(authority) => Ok(()),
        _ => wrong(),
    }
}

/// Whether a URL's host, with or without a port, is this machine.
pub fn is_loopback(authority: &str) -> bool {
    let host = match authority.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    };
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// The platform of a rule: its issuer's, else the one that the rule names. It is never assumed, because it decides which
/// runs count as forks and how often a token can be used.
pub(super) fn platform(
    issuer: &str,
    named: Option<Platform>,
    key: impl Fn(&str) -> String,
) -> Result<Platform, InvalidRegistration> {
    match (platform_of(issuer), named) {
        (None, Some(named)) => Ok(named),
        (Some(known), None) => Ok(known),
        (Some(known), Some(named)) if known == named => Ok(known),
        (Some(known), Some(named)) => Err(refused(
            key("platform"),
            format!(
                "`{issuer}` is {known}'s issuer: expected `{known}` or nothing, found `{named}`",
                known = known.as_str(),
                named = named.as_str()
            ),
        )),
        (None, None) => {
            let choices: Vec<_> =
                Platform::ALL.iter().map(|platform| format!("`{}`", platform.as_str())).collect();
            Err(refused(
                key("platform"),
                format!(
                    "missing, and `{issuer}` is not an issuer that says by itself which platform it belongs to: \
                     expected one of {}{}",
                    choices.join(", "),
                    likely(issuer)
                ),
            ))
        }
    }
}

/// The platform that the host's name suggests: only a hint, because a name proves nothing.
fn likely(issuer: &str) -> String {
    let host = host_and_path(issuer).0;
    let named = [("gitlab", Platform::Gitlab), ("jenkins", Platform::Jenkins), ("github", Platform::Github)];
    let found = named.iter().find(|(name, _)| host.contains(name)).map(|(_, platform)| platform.as_str());
    found.map_or_else(
        || ". `oidc` is for an issuer that belongs to none of the others".to_owned(),
        |platform| format!(". The host's name suggests `platform = \"{platform}\"`"),
    )
}

fn host_and_path(issuer: &str) -> (&str, &str) {
    let rest = issuer.split_once("://").map_or("", |(_, rest)| rest);
    rest.split_once('/').unwrap_or((rest, ""))
}

/// The platform that an issuer belongs to, where its URL says so.
pub(super) fn platform_of(issuer: &str) -> Option<Platform> {
    let (host, path) = host_and_path(issuer);
    let one_label = |label: &str| !label.is_empty() && !label.contains('.');
    let between = |start: &str, end: &str| {
        host.strip_prefix(start).and_then(|rest| rest.strip_suffix(end)).is_some_and(one_label)
    };
    match host {
        "token.actions.githubusercontent.com" => Some(Platform::Github),
        "gitlab.com" => Some(Platform::Gitlab),
        "api.bitbucket.org" => Some(Platform::Bitbucket),
        "oidc.circleci.com" => Some(Platform::Circleci),
        "agent.buildkite.com" => Some(Platform::Buildkite),
        "vstoken.dev.azure.com" => Some(Platform::AzureDevops),
        "accounts.google.com" => Some(Platform::Gcp),
        "container.googleapis.com" => Some(Platform::Kubernetes),
        _ if between("token.actions.", ".ghe.com") => Some(Platform::Github),
        // `https://codeberg.org/api/actions`: every server of Forgejo has its issuer at this path.
        _ if issuer.ends_with("/api/actions") => Some(Platform::Forgejo),
        // GitHub Enterprise Server.
        _ if path == "_services/token" => Some(Platform::Github),
        _ if path.starts_with("id/") && EKS.iter().any(|(start, end)| between(start, end)) => {
            Some(Platform::Kubernetes)
        }
        _ if host == "oidc.prod-aks.azure.com" || between("", ".oic.prod-aks.azure.com") => {
            Some(Platform::Kubernetes)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_this_machine_only() {
        for yes in ["127.0.0.1", "127.8.9.1:80", "localhost:8080", "[::1]:80"] {
            assert!(is_loopback(yes), "{yes}");
        }
        for no in ["127.0.0.1.evil.example", "localhost.evil.example", "10.0.0.1", "[::2]:80", ""] {
            assert!(!is_loopback(no), "{no}");
        }
    }

    #[test]
    fn self_managed_issuers_are_recognised_by_their_url() {
        for (issuer, expected) in [
            ("https://token.actions.githubusercontent.com/octo", Some(Platform::Github)),
            ("https://token.actions.octo.ghe.com", Some(Platform::Github)),
            ("https://github.example.com/_services/token", Some(Platform::Github)),
            ("https://oidc.eks.eu-west-1.amazonaws.com/id/0123ABCD", Some(Platform::Kubernetes)),
            ("https://oidc.eks.us-gov-west-1.amazonaws.com/id/0123ABCD", Some(Platform::Kubernetes)),
            ("https://oidc.eks.cn-north-1.amazonaws.com.cn/id/0123ABCD", Some(Platform::Kubernetes)),
            ("https://oidc-eks.eu-west-1.api.aws/id/0123ABCD", Some(Platform::Kubernetes)),
            ("https://westeurope.oic.prod-aks.azure.com/TENANT/CLUSTER/", Some(Platform::Kubernetes)),
            (
                "https://container.googleapis.com/v1/projects/p/locations/l/clusters/c",
                Some(Platform::Kubernetes),
            ),
            ("https://codeberg.org/api/actions", Some(Platform::Forgejo)),
            ("https://gitlab.example.com", None),
            ("https://app.terraform.io", None),
            ("https://login.microsoftonline.com/TENANT/v2.0", None),
            ("https://sts.windows.net/TENANT/", None),
            ("https://token.actions.githubusercontent.com.evil.example", None),
            ("https://token.actions.evil.example.ghe.com", None),
            ("https://token.actions..ghe.com", None),
            ("https://oidc.eks.eu-west-1.amazonaws.com", None),
            ("https://oidc.eks.evil.example.amazonaws.com/id/A", None),
            ("https://evil.example/_services/token/more", None),
            ("https://evil.example/id/A", None),
            ("http://127.0.0.1:8080", None),
        ] {
            assert_eq!(platform_of(issuer), expected, "{issuer}");
        }
    }
}
