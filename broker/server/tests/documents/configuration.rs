//! Renders the page of configuration keys, and compares the keys and defaults with the parser.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use server::config::Config;
use toml::{Table, Value};

/// A table of the configuration file and its keys.
struct Section {
    /// The path of the table; empty for the top level.
    path: &'static str,
    about: &'static str,
    keys: &'static [(&'static str, Preset, &'static str)],
}

/// What holds when a key is not there.
enum Preset {
    /// The start is refused, if the table is there.
    Required,
    /// This value, as TOML.
    Is(&'static str),
    /// Described in words, because it is the absence of a value or follows from another key.
    Words(&'static str),
}

use Preset::{Is, Required, Words};

/// The smallest file with every table.
const SMALLEST: &str = r#"
listen = "127.0.0.1:8700"
url = "https://jit.example.com"
database = "postgres://jit@db.example.com/jit"
[operators.release-bot]
sha256 = "0123456789012345678901234567890123456789012345678901234567890123"
[introspectors.orders-service]
sha256 = "0123456789012345678901234567890123456789012345678901234567890123"
[rules]
[people]
issuer = "https://login.example.com"
client_id = "cloudanix-jit"
rules = "people.cedar"
[notify.platform]
kind = "slack"
url_file = "slack-url"
[posture.scanner]
sha256 = "0123456789012345678901234567890123456789012345678901234567890123"
max_age_minutes = 1440
[posture.scanner.security_events]
issuer = "https://idp.example.com"
audience = "https://jit.example.com"
subject = "actor"
[postgres]
[limits]
[tls]
certificate = "tls.pem"
key = "tls.key"
[telemetry]
otlp_endpoint = "http://127.0.0.1:4318"
[aws.accounts.123456789012]
"#;

const SECTIONS: [Section; 14] = [
    Section {
        path: "",
        about: "At the top of the file.",
        keys: &[
            ("listen", Required, "Address and port. Without `[tls]` it has to be a loopback address."),
            (
                "url",
                Required,
                "How clients and resource servers reach the broker; the `iss` of `token` grants. https, or http for a loopback address, without a slash at the end.",
            ),
            (
                "database",
                Required,
                "`sqlite:` and a file in a folder that exists, or `postgres://USER@HOST/DATABASE`. See [PostgreSQL and replicas](../operate/postgresql.md).",
            ),
            (
                "agents",
                Words("none"),
                "A folder of registration files (`*.toml`). They are applied at every start and when one changes. Removing a file does not disable its agent.",
            ),
            (
                "oidc_ca_file",
                Words("none"),
                "PEM certificates of private CAs of OIDC issuers, beside the public ones.",
            ),
        ],
    },
    Section {
        path: "operators.release-bot",
        about: "One table for each operator token; at least one. The name of the table is the operator's name on timelines and in the log: 1 to 64 characters of `a-z`, `0-9`, `-` and `_`, beginning with a letter or digit. `cloudanix-jit-broker operator-token --name NAME` makes a token and prints it with its table.",
        keys: &[(
            "sha256",
            Required,
            "SHA-256 of the token, in 64 hexadecimal digits. No two names share one.",
        )],
    },
    Section {
        path: "introspectors.orders-service",
        about: "One table for each token with which a resource server may introspect, named like an operator's. `cloudanix-jit-broker introspection-token --name NAME` makes a token and prints it with its table.",
        keys: &[(
            "sha256",
            Required,
            "SHA-256 of the token, in 64 hexadecimal digits. No two names share one.",
        )],
    },
    Section {
        path: "rules",
        about: "[Rules](../operate/rules.md) decide within the boundaries.",
        keys: &[
            (
                "folder",
                Words("none"),
                "A folder of rules (`*.cedar`) and test cases (`*.toml`). It becomes the active rule set at every start and when a file changes, if its test cases pass.",
            ),
            (
                "keep_decisions_days",
                Is("90"),
                "How long decisions are kept, with their facts: 2 to 3650 days.",
            ),
            (
                "country_database",
                Words("none"),
                "A database of countries by address in MaxMind's format (`.mmdb`), read again when it changes. Without it no request has a country.",
            ),
        ],
    },
    Section {
        path: "people",
        about: "Where [persons](../operate/people.md) sign in, and what they may do. Without the table operator tokens alone do.",
        keys: &[
            ("issuer", Required, "The OIDC issuer of the organisation's persons."),
            (
                "client_id",
                Required,
                "The broker's id as a client of the issuer. Its redirect URI there is `url` and `/sign-in/callback`.",
            ),
            (
                "client_secret_file",
                Words("none"),
                "A file with the client's secret and nothing else. Without it the broker is a public client.",
            ),
            (
                "rules",
                Required,
                "The file with the rules of what persons may do, in Cedar. It is read again when it changes.",
            ),
            ("scopes", Is(r#"["profile"]"#), "What is requested beside `openid`."),
            ("groups_claim", Is(r#""groups""#), "The claim with the person's groups, an array of texts."),
            (
                "accounts",
                Words("none"),
                "The claim with the person's account at each CI platform: `{ github = \"github_login\" }`, for `github`, `forgejo`, `gitlab` and `bitbucket`. Without it persons cannot [approve](../operate/approvals.md) runs of the platform.",
            ),
            (
                "fresh_minutes",
                Is("15"),
                "How old a sign-in may be to approve a policy of high sensitivity, or to take a grant by break-glass: 1 to 1440 minutes.",
            ),
            ("approval_minutes", Is("60"), "How long a request waits for approval: 1 to 1440 minutes."),
            ("session_hours", Is("12"), "The longest session: 1 to 24 hours."),
            ("idle_minutes", Is("60"), "A session that is not used for so long ends: 1 to 1440 minutes."),
        ],
    },
    Section {
        path: "notify.platform",
        about: "One table for each channel that is [told of requests that wait](../operate/notifications.md), named like an operator's.",
        keys: &[
            (
                "kind",
                Required,
                "`webhook` (Standard Webhooks), `slack` (an incoming webhook of Slack) or `template`.",
            ),
            (
                "url",
                Words("required without `url_file`"),
                "Where messages are posted to: https, or http for a loopback address.",
            ),
            ("url_file", Words("none"), "A file with the address and nothing else, instead of `url`."),
            (
                "secret_file",
                Words("required with `webhook`"),
                "A file with the secret that signs, `whsec_…`. Several lines: each signs.",
            ),
            ("template", Words("required with `template`"), "A file with the template of the body."),
            (
                "content_type",
                Words("`application/json`"),
                "The content type of the body that the template makes.",
            ),
            (
                "ca_file",
                Words("none"),
                "PEM certificates of private CAs of the receiver, beside the public ones.",
            ),
            ("agents", Is(r#"["*"]"#), "Globs of the agents whose requests are told."),
        ],
    },
    Section {
        path: "posture.scanner",
        about: "One table for each system that reports posture, named like an operator's. `cloudanix-jit-broker posture-token --name NAME` makes a token and prints it with its table.",
        keys: &[
            (
                "sha256",
                Words("required without `security_events`"),
                "SHA-256 of the token, in 64 hexadecimal digits.",
            ),
            (
                "max_age_minutes",
                Required,
                "How long a finding of this source holds at most: 1 to 43200 minutes.",
            ),
            ("security_events", Words("none"), "The table below, for a source that pushes security events."),
        ],
    },
    Section {
        path: "posture.scanner.security_events",
        about: "For a source that pushes security events (CAEP over the Shared Signals Framework) to `/v2/security-events/NAME`, instead of `sha256`.",
        keys: &[
            (
                "issuer",
                Required,
                "The `iss` of its tokens. The keys are those that its `.well-known/ssf-configuration` names.",
            ),
            ("audience", Required, "The `aud` of its tokens, and the only one."),
            (
                "subject",
                Required,
                "The signed fact that its subjects are values of, like `actor`; or `agent`. A subject that begins with such a name and `/` is taken as it is.",
            ),
            ("member", Is("\"user\""), "The member of a complex subject that counts."),
        ],
    },
    Section {
        path: "postgres",
        about: "For a PostgreSQL database only.",
        keys: &[
            (
                "password_file",
                Words("`PGPASSWORD` or `PGPASSFILE`"),
                "A file that contains the database password and nothing else.",
            ),
            ("connections", Is("16"), "The most connections of this broker, at least 1."),
            (
                "auto_migrate",
                Is("false"),
                "Whether a start brings the tables up to date. Otherwise the start refuses older tables, and `cloudanix-jit-broker migrate` does it.",
            ),
        ],
    },
    Section {
        path: "tls",
        about: "Without this table the broker listens on a loopback address only.",
        keys: &[
            ("certificate", Required, "The certificate chain of the broker, in PEM."),
            ("key", Required, "Its private key, in PEM."),
            (
                "client_ca",
                Words("no client certificates"),
                "PEM certificates of the authorities that sign client certificates (mutual TLS, in addition to the tokens).",
            ),
            (
                "client_certificates",
                Words("`required` with `client_ca`"),
                "`required`: a handshake without a valid client certificate fails. `optional`: a client may have none.",
            ),
        ],
    },
    Section {
        path: "limits",
        about: "Each broker counts for itself.",
        keys: &[
            (
                "elevations_per_minute",
                Is("600"),
                "Elevations per agent, at least 1. [More](../operate/configuration.md#rate-limits).",
            ),
            (
                "requests_per_minute_per_address",
                Is("6000"),
                "Requests per IPv4 address or IPv6 /64, at least 1. [More](../operate/configuration.md#rate-limits).",
            ),
            (
                "connections",
                Is("8192"),
                "The most connections of clients, at least 1. The limit of open files can lower it. [More](../operate/configuration.md#connections).",
            ),
            (
                "connections_per_network",
                Words("half of `connections`"),
                "The most connections from one IPv4 address or IPv6 /64, at most `connections`. Trusted proxies are exempt.",
            ),
            (
                "connection_idle",
                Words("`heartbeat` and 65 s"),
                "How long a connection may wait for its next request, or for the client to read the answer. Longer than `heartbeat`.",
            ),
            (
                "trusted_proxies",
                Is("[]"),
                "Networks or addresses of proxies whose `X-Forwarded-For` counts. [More](../operate/configuration.md#behind-a-proxy).",
            ),
            (
                "heartbeat",
                Is("\"10s\""),
                "How often a client sends a heartbeat. A grant whose heartbeats stop for three intervals is revoked.",
            ),
            (
                "signing_key_days",
                Is("30"),
                "The age in days, at least 1, at which the broker makes a new signing key. It is published ten minutes before it signs; the old key stays published for 25 hours.",
            ),
            (
                "shutdown_grace",
                Words("none"),
                "How long (`1s` to `24h`) the broker keeps serving after SIGTERM, while `/readyz` fails.",
            ),
        ],
    },
    Section {
        path: "telemetry",
        about: "Without this table there are no traces.",
        keys: &[(
            "otlp_endpoint",
            Required,
            "An OpenTelemetry collector that takes OTLP over HTTP, without `/v1/traces`. [More](../operate/configuration.md#traces).",
        )],
    },
    Section {
        path: "aws",
        about: "Without an account the broker has no `aws` target. The broker's own credentials come from the SDK's standard chain.",
        keys: &[
            ("accounts", Required, "The accounts in which grants may be provisioned; see below."),
            ("read_back_delay", Is("\"5s\""), "How long after a revert the target is observed."),
            (
                "late_write_window",
                Is("\"5m\""),
                "How long after a timed-out call AWS may still apply it. Do not lower it for AWS itself ([ADR 22](../../../adr/0022-send-no-call-after-its-claim-ends.md)).",
            ),
            ("reconcile_every", Is("\"5m\""), "How often accounts are compared with the database."),
            ("orphan_grace", Is("\"15m\""), "How long an orphan is kept after the end of its grant."),
            (
                "orphans",
                Is("\"remove\""),
                "`remove` or `report` orphans of ended grants. Objects of unknown grants are only ever reported ([backup](../operate/backup.md)).",
            ),
        ],
    },
    Section {
        path: "aws.accounts.123456789012",
        about: "One table for each account, named by its twelve digits.",
        keys: &[
            (
                "role",
                Words("the broker's own principal"),
                "The role, in this account, that the broker assumes.",
            ),
            ("external_id", Words("none"), "The external id that the role's trust policy demands."),
            (
                "calls_per_second",
                Is("15"),
                "The most calls per second, at least 1. Reverts count and never wait.",
            ),
        ],
    },
];

pub(crate) fn page() -> String {
    let mut page = String::from(
        "# Configuration keys\n\n\
         <!-- Generated from broker/server/tests/documents/configuration.rs, which compares it with the parser. -->\n\n\
         `cloudanix-jit-broker serve --config FILE` reads one TOML file. An unknown key stops the start. Durations are a \
         number and `s`, `m` or `h`. [Configure the broker](../operate/configuration.md) explains them, and says which \
         keys need a restart.\n",
    );
    for section in &SECTIONS {
        let heading = match section.path {
            "" => "Top level".to_owned(),
            path => {
                let path = path
                    .replace("123456789012", "ID")
                    .replace("release-bot", "NAME")
                    .replace("scanner", "NAME");
                format!("`[{}]`", path.replace("orders-service", "NAME"))
            }
        };
        let _ = write!(
            page,
            "\n## {heading}\n\n{}\n\n| key | meaning | default |\n|---|---|---|\n",
            section.about
        );
        for (key, preset, about) in section.keys {
            let preset = match preset {
                Required => "required".to_owned(),
                Is("[]") => "none".to_owned(),
                Is(value) => format!("`{}`", value.trim_matches('"')),
                Words(words) => (*words).to_owned(),
            };
            let _ = writeln!(page, "| `{key}` | {about} | {preset} |");
        }
    }
    page
}

/// The smallest file with one more value in it.
fn with(path: &str, key: &str, value: &str) -> Result<Config, toml::de::Error> {
    let mut file: Table = SMALLEST.parse().unwrap();
    let mut table = &mut file;
    for part in path.split('.').filter(|part| !part.is_empty()) {
        table = table[part].as_table_mut().unwrap();
    }
    let value: Table = format!("value = {value}").parse().unwrap();
    table.insert(key.to_owned(), value["value"].clone());
    Value::Table(file).try_into()
}

#[test]
fn the_page_names_each_key_that_the_parser_knows() {
    for section in &SECTIONS {
        let refused = with(section.path, "no_such_key", "1").unwrap_err().to_string();
        let expected = refused.split_once("expected").unwrap_or_else(|| panic!("{refused}")).1;
        let known: BTreeSet<&str> = expected.lines().next().unwrap().split('`').skip(1).step_by(2).collect();
        let mut listed: BTreeSet<&str> = section.keys.iter().map(|(key, _, _)| *key).collect();
        if section.path.is_empty() {
            listed.extend(
                SECTIONS
                    .iter()
                    .map(|section| section.path)
                    .filter_map(|path| path.split('.').next())
                    .filter(|table| !table.is_empty()),
            );
        }
        assert_eq!(listed, known, "in `[{}]`", section.path);
    }
}

#[test]
fn each_default_of_the_page_is_that_of_the_parser() {
    let plain: Config = toml::from_str(SMALLEST).unwrap();
    for section in &SECTIONS {
        for (key, preset, _) in section.keys {
            let Is(value) = preset else { continue };
            let explicit = with(section.path, key, value).unwrap();
            assert_eq!(format!("{explicit:?}"), format!("{plain:?}"), "`{key}` in `[{}]`", section.path);
        }
    }
}
