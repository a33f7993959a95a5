//! What can be configured? One TOML file, every key checked; see docs/book/src/operate/configuration.md.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::Deserialize;
use store::postgres::PostgresUrl;

mod aws;
mod limits;
mod running;
mod telemetry;
mod tls;

pub use self::aws::{Aws, AwsAccount, OrphanRule};
pub use self::limits::Limits;
pub use self::telemetry::Telemetry;
pub use self::tls::{ClientCertificates, Tls};

/// `serve --config FILE`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where to listen.
    pub listen: SocketAddr,
    /// How the world reaches this broker; the issuer of `token` grants.
    pub url: String,
    /// `sqlite:` and the database file, or `postgres://` and where it is.
    pub database: String,
    /// How a PostgreSQL database is used.
    #[serde(default)]
    pub postgres: Option<Postgres>,
    /// Registration files (`*.toml`) that are applied at every start.
    #[serde(default)]
    pub agents: Option<PathBuf>,
    /// SHA-256 of tokens that may do everything.
    #[serde(default)]
    pub operator_token_hashes: Vec<String>,
    /// SHA-256 of tokens that may introspect.
    #[serde(default)]
    pub introspection_token_hashes: Vec<String>,
    /// Certificates (PEM) of private CAs that OIDC issuers use.
    #[serde(default)]
    pub oidc_ca_file: Option<PathBuf>,
    /// TLS; without it the broker listens on loopback only.
    #[serde(default)]
    pub tls: Option<Tls>,
    /// Limits.
    #[serde(default)]
    pub limits: Limits,
    /// Where traces go; without it there are none.
    #[serde(default)]
    pub telemetry: Option<Telemetry>,
    /// The accounts of the `aws` target; without it the broker has none.
    #[serde(default)]
    pub aws: Option<Aws>,
}

/// How a PostgreSQL database is used.
#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Postgres {
    /// The password, alone in a file.
    pub password_file: Option<PathBuf>,
    /// At most so many connections.
    pub connections: u32,
    /// Whether a start brings the tables up to date.
    pub auto_migrate: bool,
}

impl Default for Postgres {
    fn default() -> Self {
        Self { password_file: None, connections: 16, auto_migrate: false }
    }
}

/// The URL of the database, understood.
#[derive(Debug)]
pub enum DatabaseUrl {
    /// A file.
    Sqlite(PathBuf),
    /// A server.
    Postgres(PostgresUrl),
}

impl Config {
    /// Reads and checks the file.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let text =
            std::fs::read_to_string(path).with_context(|| format!("cannot read `{}`", path.display()))?;
        Self::parse(&text).with_context(|| format!("in `{}`", path.display()))
    }

    fn parse(text: &str) -> anyhow::Result<Self> {
        let config: Self = toml::from_str(text)?;
        let database = config.database()?;
        if let Some(postgres) = &config.postgres {
            anyhow::ensure!(
                matches!(database, DatabaseUrl::Postgres(_)),
                "`postgres` is for a PostgreSQL database: expected `postgres://…` in `database`"
            );
            anyhow::ensure!(postgres.connections > 0, "`postgres.connections`: expected at least 1, found 0");
        }
        let is_hash = |hash: &String| {
            hash.len() == 64 && hash.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
        };
        for (key, hashes) in [
            ("operator_token_hashes", &config.operator_token_hashes),
            ("introspection_token_hashes", &config.introspection_token_hashes),
        ] {
            anyhow::ensure!(
                hashes.iter().all(is_hash),
                "`{key}`: expected SHA-256 in 64 hexadecimal digits, as `cloudanix-jit-broker operator-token` prints it"
            );
        }
        anyhow::ensure!(
            !config.operator_token_hashes.is_empty(),
            "`operator_token_hashes` is empty: nobody could register an agent. Make a token with \
             `cloudanix-jit-broker operator-token`"
        );
        config.limits.check()?;
        anyhow::ensure!(
            config.tls.is_some() || config.listen.ip().is_loopback(),
            "`listen`: `{}` is not a loopback address, and there is no `[tls]`: tokens would cross the network in the \
             clear. Add `[tls]`, or listen on 127.0.0.1 behind a proxy that ends TLS",
            config.listen
        );
        let authority =
            config.url.split("://").nth(1).and_then(|rest| rest.split('/').next()).unwrap_or_default();
        anyhow::ensure!(
            config.url.starts_with("https://")
                || (config.url.starts_with("http://") && domain::registration::is_loopback(authority)),
            "`url`: expected https (or http for a loopback address), found `{}`",
            config.url
        );
        anyhow::ensure!(
            !config.url.ends_with('/'),
            "`url`: expected no slash at the end, found `{}`",
            config.url
        );
        if let Some(tls) = &config.tls {
            tls.check()?;
        }
        if let Some(telemetry) = &config.telemetry {
            telemetry.check()?;
        }
        if let Some(aws) = &config.aws {
            aws.check()?;
        }
        Ok(config)
    }

    /// The database that the URL names. Its password, if it has one, is not looked for yet.
    pub fn database(&self) -> anyhow::Result<DatabaseUrl> {
        if self.database.starts_with("postgres") {
            return Ok(DatabaseUrl::Postgres(PostgresUrl::parse(&self.database).context("`database`")?));
        }
        let path = self.database.strip_prefix("sqlite:").map(|path| path.strip_prefix("//").unwrap_or(path));
        let path = path.filter(|path| !path.is_empty() && !path.contains('?'));
        path.map(|path| DatabaseUrl::Sqlite(PathBuf::from(path))).with_context(|| {
            format!("`database`: expected `sqlite:` and a path, or `postgres://…`, found `{}`", self.database)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SQLITE: &str = "sqlite:///var/lib/cloudanix-jit/broker.db";
    const GOOD: &str = r#"
        listen = "127.0.0.1:8700"
        url = "https://jit.example.com"
        database = "sqlite:///var/lib/cloudanix-jit/broker.db"
        operator_token_hashes = ["0123456789012345678901234567890123456789012345678901234567890123"]
    "#;

    #[test]
    fn a_good_file() {
        let config = Config::parse(GOOD).unwrap();
        let DatabaseUrl::Sqlite(path) = config.database().unwrap() else { panic!("expected a file") };
        assert_eq!(path, PathBuf::from("/var/lib/cloudanix-jit/broker.db"));
        assert_eq!(config.limits.heartbeat.as_secs(), 10);
    }

    #[test]
    fn a_database_on_a_server() {
        let text =
            GOOD.replacen(SQLITE, "postgres://jit@db.example.com/jit", 1) + "postgres.connections = 4\n";
        let config = Config::parse(&text).unwrap();
        let DatabaseUrl::Postgres(place) = config.database().unwrap() else { panic!("expected a server") };
        assert_eq!(place.to_string(), "jit at db.example.com:5432 as jit");
        let postgres = config.postgres.unwrap();
        assert_eq!((postgres.connections, postgres.auto_migrate), (4, false));
    }

    #[test]
    fn what_is_refused_and_the_reason() {
        for (from, to, reason) in [
            ("127.0.0.1:8700", "0.0.0.0:8700", "is not a loopback address"),
            ("https://jit.example.com", "http://jit.example.com", "expected https"),
            ("https://jit.example.com", "https://jit.example.com/", "no slash at the end"),
            (SQLITE, "mysql://x", "expected `sqlite:` and a path, or `postgres://"),
            (SQLITE, "postgres://jit:secret@localhost/jit", "the password does not belong into the URL"),
            (SQLITE, "postgres://jit@db.example.com/jit?sslmode=prefer", "for this machine only"),
            ("listen", "postgres.connections = 4\nlisten", "is for a PostgreSQL database"),
            ("\"0123", "\"sha:", "expected SHA-256"),
            ("listen", "limits.signing_key_days = 0\nlisten", "expected at least 1"),
            ("listen", "limits.elevations_per_minute = 0\nlisten", "expected at least 1"),
            ("listen", "limits.requests_per_minute_per_address = 0\nlisten", "expected at least 1"),
            ("listen", "limits.connections = 0\nlisten", "`limits.connections`: expected at least 1"),
            (
                "listen",
                "limits = { connections = 10, connections_per_network = 11 }\nlisten",
                "expected at most `limits.connections`, 10, found 11",
            ),
            (
                "listen",
                "limits.connection_idle = \"10s\"\nlisten",
                "`limits.connection_idle`: expected more than `limits.heartbeat`, 10s, found 10s",
            ),
            (
                "listen",
                "limits.trusted_proxies = [\"10.0.0.0/33\"]\nlisten",
                "expected a network like `10.0.0.0/8`",
            ),
            (
                "listen",
                "tls = { certificate = \"c\", key = \"k\", client_certificates = \"optional\" }\nlisten",
                "expected `client_ca` beside it",
            ),
            ("listen", "telemetry.otlp_endpoint = \"127.0.0.1:4318\"\nlisten", "expected a URL like"),
            (
                "listen",
                "telemetry.otlp_endpoint = \"http://u:p@x\"\nlisten",
                "OTEL_EXPORTER_OTLP_HEADERS), found `x`",
            ),
            ("listen", "listne", "unknown field `listne`"),
            ("listen", "aws.accounts = {}\nlisten", "expected at least one account"),
            ("listen", "aws.accounts.1 = {}\nlisten", "twelve digits, found `1`"),
            ("listen", "aws.accounts.123456789012.role = \"x\"\nlisten", "is not a role's ARN"),
            ("listen", "aws.accounts.123456789012.external_id = \"x\"\nlisten", "expected `role` beside it"),
        ] {
            let error = format!("{:#}", Config::parse(&GOOD.replacen(from, to, 1)).unwrap_err());
            assert!(error.contains(reason), "expected {reason:?} in {error:?}");
        }
    }
}
