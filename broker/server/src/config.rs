//! The configuration: one TOML file, every key checked; see docs/book/src/operate/configuration.md.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::Context;
use protocol::{ChannelName, OperatorName};
use serde::Deserialize;
use store::postgres::PostgresUrl;
use targets::aws::AwsConfig;

mod aws;
mod limits;
mod notify;
mod people;
mod reloadable;
mod rules;
mod telemetry;
mod tls;
mod tokens;

pub use self::limits::Limits;
pub use self::notify::NotifyConfig;
pub use self::people::PeopleConfig;
pub use self::rules::{Rules, Source};
pub use self::telemetry::Telemetry;
pub use self::tls::{ClientCertificates, Tls};
pub(crate) use self::tokens::Entry;
pub use self::tokens::{Token, TokenKind, Tokens};

/// `serve --config FILE`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub listen: SocketAddr,
    /// The URL of the broker for clients; the issuer of `token` grants.
    pub url: String,
    /// `sqlite:` and a file, or `postgres://USER@HOST/DATABASE`.
    pub database: String,
    #[serde(default)]
    pub postgres: Option<Postgres>,
    /// The folder of registration files (`*.toml`).
    #[serde(default)]
    pub agents: Option<PathBuf>,
    /// Tokens that may do everything.
    #[serde(default)]
    pub operators: Tokens,
    /// Tokens that may introspect.
    #[serde(default)]
    pub introspectors: Tokens,
    /// The rules that decide within the boundaries.
    #[serde(default)]
    pub rules: Rules,
    /// The provider at which persons sign in; none if they cannot.
    #[serde(default)]
    pub people: Option<PeopleConfig>,
    /// Where persons are told of requests that wait, by name.
    #[serde(default)]
    pub notify: BTreeMap<ChannelName, NotifyConfig>,
    /// Sources of posture by name.
    #[serde(default)]
    pub posture: BTreeMap<OperatorName, Source>,
    /// Certificates (PEM) of private CAs of OIDC issuers.
    #[serde(default)]
    pub oidc_ca_file: Option<PathBuf>,
    /// Without TLS the broker listens on loopback only.
    #[serde(default)]
    pub tls: Option<Tls>,
    #[serde(default)]
    pub limits: Limits,
    /// The collector of traces.
    #[serde(default)]
    pub telemetry: Option<Telemetry>,
    /// The accounts of the `aws` target.
    #[serde(default)]
    pub aws: Option<AwsConfig>,
}

/// Options for a PostgreSQL database.
#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Postgres {
    /// A file with the password and nothing else.
    pub password_file: Option<PathBuf>,
    /// The limit of connections.
    pub connections: u32,
    /// Whether a start runs pending migrations.
    pub auto_migrate: bool,
}

impl Default for Postgres {
    fn default() -> Self {
        Self { password_file: None, connections: 16, auto_migrate: false }
    }
}

/// The parsed URL of the database.
#[derive(Debug)]
pub enum DatabaseUrl {
    Sqlite(PathBuf),
    Postgres(PostgresUrl),
}

impl Config {
    /// Reads and checks the configuration file.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let text =
            std::fs::read_to_string(path).with_context(|| format!("cannot read `{}`", path.display()))?;
        Self::parse(&text).with_context(|| format!("in `{}`", path.display()))
    }

    fn parse(text: &str) -> anyhow::Result<Self> {
        tokens::check_form(&toml::from_str(text)?)?;
        let config: Self = toml::from_str(text)?;
        let database = config.database()?;
        if let Some(postgres) = &config.postgres {
            anyhow::ensure!(
                matches!(database, DatabaseUrl::Postgres(_)),
                "`postgres` is for a PostgreSQL database: expected `postgres://…` in `database`"
            );
            anyhow::ensure!(postgres.connections > 0, "`postgres.connections`: expected at least 1, found 0");
        }
        tokens::check(TokenKind::Operator, &config.operators)?;
        tokens::check(TokenKind::Introspection, &config.introspectors)?;
        anyhow::ensure!(
            !config.operators.is_empty(),
            "`operators`: expected at least one, found none: without one, no agent can be registered. Make a token with \
             `cloudanix-jit-broker operator-token --name NAME`"
        );
        config.rules.check()?;
        rules::check_sources(&config.posture)?;
        config.people.iter().try_for_each(PeopleConfig::check)?;
        config.notify.iter().try_for_each(|(name, channel)| channel.check(name))?;
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
            aws.check().map_err(anyhow::Error::msg)?;
        }
        Ok(config)
    }

    /// Parses the URL of the database. Does not read the password file.
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
        operators.release-bot.sha256 = "0123456789012345678901234567890123456789012345678901234567890123"
    "#;

    #[test]
    fn a_good_file_is_accepted() {
        let config = Config::parse(GOOD).unwrap();
        let DatabaseUrl::Sqlite(path) = config.database().unwrap() else { panic!("expected a file") };
        assert_eq!(path, PathBuf::from("/var/lib/cloudanix-jit/broker.db"));
        assert_eq!(config.limits.heartbeat.as_secs(), 10);
    }

    #[test]
    fn a_token_in_the_place_of_its_hash_is_not_shown() {
        for wrong in [
            "operators.a = \"cjop_1234\"",
            "operators.a.token = \"cjop_1234\"",
            "operators.a = { sha256 = \"0\", token = \"cjop_1234\" }",
            "operators.a.sha256 = \"cjop_1234\"",
            "operators.a.sha256 = [\"cjop_1234\"]",
            "operators = [\"cjop_1234\"]",
        ] {
            let text = GOOD.replacen("operators.release-bot.sha256 = ", &format!("{wrong} # "), 1);
            let error = format!("{:#}", Config::parse(&text).unwrap_err());
            assert!(error.contains("sha256") && !error.contains("1234"), "{wrong}: {error}");
        }
    }

    #[test]
    fn the_entry_that_is_printed_for_a_token_is_accepted() {
        let hash = "f".repeat(64);
        let entry = |kind, name: &str| Entry { kind, name: &name.parse().unwrap(), hash: &hash }.to_string();
        let entries =
            [entry(TokenKind::Operator, "on-call"), entry(TokenKind::Introspection, "orders")].join("\n");
        let config = Config::parse(&format!("{GOOD}\n[limits]\n{entries}\n")).unwrap();
        let tokens = config.operators();
        let names = |tokens: &[engine::NamedToken]| {
            tokens.iter().map(|token| token.name.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(names(&tokens.operators), ["on-call", "release-bot"]);
        assert_eq!(names(&tokens.introspectors), ["orders"]);
        assert_eq!(tokens.introspectors[0].hash, hash);
    }

    #[test]
    fn postgres_urls_are_accepted() {
        let text =
            GOOD.replacen(SQLITE, "postgres://jit@db.example.com/jit", 1) + "postgres.connections = 4\n";
        let config = Config::parse(&text).unwrap();
        let DatabaseUrl::Postgres(place) = config.database().unwrap() else { panic!("expected a server") };
        assert_eq!(place.to_string(), "jit at db.example.com:5432 as jit");
        let postgres = config.postgres.unwrap();
        assert_eq!((postgres.connections, postgres.auto_migrate), (4, false));
    }

    #[test]
    fn each_refusal_names_the_key_and_the_expectation() {
        for (from, to, reason) in [
            ("127.0.0.1:8700", "0.0.0.0:8700", "is not a loopback address"),
            ("https://jit.example.com", "http://jit.example.com", "expected https"),
            ("https://jit.example.com", "https://jit.example.com/", "no slash at the end"),
            (SQLITE, "mysql://x", "expected `sqlite:` and a path, or `postgres://"),
            (SQLITE, "postgres://jit:secret@localhost/jit", "the password does not belong into the URL"),
            (SQLITE, "postgres://jit@db.example.com/jit?sslmode=prefer", "for this machine only"),
            ("listen", "postgres.connections = 4\nlisten", "is for a PostgreSQL database"),
            ("\"0123", "\"sha:", "`operators.release-bot.sha256`: expected SHA-256"),
            ("operators.release-bot", "introspectors.release-bot", "`operators`: expected at least one"),
            ("release-bot", "\"Release Bot\"", "`Release Bot` is not an operator's name: expected 1 to 64"),
            (".sha256 = \"", " = \"", "`operators.release-bot`: expected a table with the key `sha256`"),
            (
                "operators.release-bot.sha256 = ",
                "operators = [] #",
                "`operators`: expected `operators.NAME.sha256",
            ),
            ("listen", "operators.release-bot.sha256 = \"0\"\nlisten", "duplicate key"),
            (
                "listen",
                "operators.a.sha256 = \"0123456789012345678901234567890123456789012345678901234567890123\"\nlisten",
                "`operators.release-bot.sha256`: expected a token of its own, found the one of `operators.a`",
            ),
            (
                "operators.release-bot.sha256 = ",
                "operator_token_hashes = [] #",
                "`operator_token_hashes`: each token has a name: expected `operators.NAME.sha256 = \"…\"`",
            ),
            (
                "listen",
                "introspection_token_hashes = []\nlisten",
                "expected `introspectors.NAME.sha256 = \"…\"` for each hash instead of the list",
            ),
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
            (
                "listen",
                "notify.desk = { kind = \"slack\" }\nlisten",
                "`notify.desk`: expected one of `url` and",
            ),
            (
                "listen",
                "notify.desk = { kind = \"slack\", url = \"u\", url_file = \"f\" }\nlisten",
                "`notify.desk`: expected one of `url` and `url_file`",
            ),
            (
                "listen",
                "notify.desk = { kind = \"webhook\", url = \"u\" }\nlisten",
                "`notify.desk.secret_file`: expected with kind `webhook`, and with no other",
            ),
            (
                "listen",
                "notify.desk = { kind = \"slack\", url = \"u\", template = \"t\" }\nlisten",
                "`notify.desk.template`: expected with kind `template`, and with no other",
            ),
            (
                "listen",
                "notify.desk = { kind = \"slack\", url = \"u\", content_type = \"text/plain\" }\nlisten",
                "`notify.desk.content_type`: expected with kind `template`, and with no other",
            ),
            (
                "listen",
                "notify.desk = { kind = \"slack\", url = \"u\", agents = [] }\nlisten",
                "`notify.desk.agents`: expected at least one glob",
            ),
            ("listen", "notify.Desk = { kind = \"slack\" }\nlisten", "`Desk` is not a channel's name"),
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
