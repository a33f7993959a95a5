//! Parses database URLs and enforces TLS to servers on the network.

use std::fmt;
use std::str::FromStr;

use sqlx::postgres::{PgConnectOptions, PgSslMode};

/// Parameters of libpq that make sense here. The password is not one of them: it does not belong in a configuration
/// file.
const PARAMETERS: [&str; 11] = [
    "sslmode",
    "sslrootcert",
    "sslcert",
    "sslkey",
    "host",
    "port",
    "user",
    "dbname",
    "application_name",
    "options",
    "statement-cache-capacity",
];

/// A database on a PostgreSQL server. The environment supplies what the URL lacks (`PGPASSWORD`, `PGPASSFILE`,
/// `PGSSLROOTCERT` and other variables of libpq).
#[derive(Clone)]
pub struct PostgresUrl(Box<PgConnectOptions>);

/// Why a URL is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPostgresUrl {
    #[error("expected `postgres://USER@HOST/DATABASE`: {0}")]
    NotUnderstood(String),
    #[error(
        "the password does not belong into the URL: expected it in `PGPASSWORD`, in the file that `PGPASSFILE` names, or \
         in `postgres.password_file`"
    )]
    Password,
    #[error("the parameter `{name}` is unknown: expected one of {}", PARAMETERS.join(", "))]
    Parameter { name: String },
    /// Signing keys would cross the network in clear, or go to a server that is not the database.
    #[error(
        "`sslmode={0}` is for this machine only: expected `verify-full` (which is what counts without `sslmode`) or \
         `verify-ca` for a server on the network"
    )]
    InTheClear(&'static str),
}

impl PostgresUrl {
    /// Parses `postgres://USER@HOST:PORT/DATABASE?parameter=value`. A server on the network must present a certificate
    /// for its name, unless the URL says `verify-ca`.
    pub fn parse(url: &str) -> Result<Self, InvalidPostgresUrl> {
        let not_understood = |why: &str| InvalidPostgresUrl::NotUnderstood(why.to_owned());
        let rest = ["postgres://", "postgresql://"].iter().find_map(|scheme| url.strip_prefix(scheme));
        let (address, query) = match rest.map(|rest| rest.split_once('?').unwrap_or((rest, ""))) {
            Some(both) => both,
            None => return Err(not_understood("it begins with something else")),
        };
        let authority = address.split('/').next().unwrap_or_default();
        if authority.rsplit_once('@').is_some_and(|(user, _)| user.contains(':')) {
            return Err(InvalidPostgresUrl::Password);
        }
        let names = query.split('&').map(|pair| pair.split('=').next().unwrap_or_default());
        let mut mode_is_given = false;
        for name in names.filter(|name| !name.is_empty()) {
            if name == "password" {
                return Err(InvalidPostgresUrl::Password);
            }
            if !PARAMETERS.contains(&name) {
                return Err(InvalidPostgresUrl::Parameter { name: name.to_owned() });
            }
            mode_is_given |= name == "sslmode";
        }
        // sqlx's error may quote parts of the URL, which has no secret in it.
        let mut options =
            PgConnectOptions::from_str(url).map_err(|error| not_understood(&error.to_string()))?;
        if !is_this_machine(&options) {
            if !mode_is_given {
                options = options.ssl_mode(PgSslMode::VerifyFull);
            }
            match options.get_ssl_mode() {
                PgSslMode::VerifyFull | PgSslMode::VerifyCa => {}
                PgSslMode::Disable => return Err(InvalidPostgresUrl::InTheClear("disable")),
                PgSslMode::Allow => return Err(InvalidPostgresUrl::InTheClear("allow")),
                PgSslMode::Prefer => return Err(InvalidPostgresUrl::InTheClear("prefer")),
                PgSslMode::Require => return Err(InvalidPostgresUrl::InTheClear("require")),
            }
        }
        Ok(Self(Box::new(options)))
    }

    /// Uses this password instead of the environment's.
    pub fn with_password(self, password: &str) -> Self {
        Self(Box::new(self.0.password(password)))
    }

    pub(super) fn options(&self) -> PgConnectOptions {
        (*self.0).clone()
    }
}

fn is_this_machine(options: &PgConnectOptions) -> bool {
    let host = options.get_host();
    let address = host.trim_start_matches('[').trim_end_matches(']');
    options.get_socket().is_some()
        || host.starts_with('/')
        || host == "localhost"
        || address.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

impl fmt::Display for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = match self.0.get_socket() {
            Some(folder) => folder.display().to_string(),
            None => format!("{}:{}", self.0.get_host(), self.0.get_port()),
        };
        let database = self.0.get_database().unwrap_or_else(|| self.0.get_username());
        write!(f, "{database} at {at} as {}", self.0.get_username())
    }
}

/// Never the password.
impl fmt::Debug for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PostgresUrl({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn over_the_network_the_server_proves_who_it_is() {
        let mode = |url: &str| PostgresUrl::parse(url).map(|place| place.0.get_ssl_mode());
        assert!(matches!(mode("postgres://jit@db.example.com/jit"), Ok(PgSslMode::VerifyFull)));
        assert!(matches!(mode("postgres://jit@10.0.0.7/jit?sslmode=verify-ca"), Ok(PgSslMode::VerifyCa)));
        for weak in ["disable", "allow", "prefer", "require"] {
            let refused = mode(&format!("postgres://jit@db.example.com/jit?sslmode={weak}")).unwrap_err();
            assert_eq!(refused, InvalidPostgresUrl::InTheClear(weak));
        }
        let elsewhere = mode("postgres://jit@localhost/jit?host=db.example.com&sslmode=disable");
        assert_eq!(elsewhere.unwrap_err(), InvalidPostgresUrl::InTheClear("disable"));
        for here in ["localhost", "127.0.0.1:5433", "[::1]", "%2Frun%2Fpostgresql"] {
            assert!(mode(&format!("postgres://jit@{here}/jit")).is_ok(), "{here}");
        }
    }

    #[test]
    fn a_password_in_the_url_is_refused_and_one_from_elsewhere_is_not_shown() {
        for url in ["postgres://jit:hunter2@localhost/jit", "postgres://jit@localhost/jit?password=hunter2"] {
            let refused = PostgresUrl::parse(url).unwrap_err();
            assert_eq!(refused, InvalidPostgresUrl::Password);
            assert!(!format!("{refused} {refused:?}").contains("hunter2"));
        }
        let place =
            PostgresUrl::parse("postgres://jit@localhost:5433/grants").unwrap().with_password("hunter2");
        assert_eq!(format!("{place:?}"), "PostgresUrl(grants at localhost:5433 as jit)");
    }

    #[test]
    fn an_error_names_the_part_that_is_wrong() {
        for (url, said) in [
            ("mysql://jit@localhost/jit", "begins with something else"),
            ("postgres://jit@localhost/jit?sslmod=verify-full", "`sslmod` is unknown"),
            ("postgres://jit@localhost/jit?sslmode=sometimes", "expected `postgres://"),
            ("postgres://jit@localhost:port/jit", "expected `postgres://"),
        ] {
            let refused = PostgresUrl::parse(url).unwrap_err().to_string();
            assert!(refused.contains(said), "expected {said:?} in {refused:?}");
        }
    }
}
