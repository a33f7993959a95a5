//! Renders the page of metrics from the answer of a running broker.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use engine::{OperatorTokens, Settings};
use server::build::{self, EngineConfig};
use server::config::Tls;
use server::database::Database;
use server::http::ServerState;
use server::listen::{self, Admission, Caps, Config, Draining};
use server::tls::Certificate;
use store::SqlitePath;

pub(crate) async fn page() -> String {
    let mut page = String::from(
        "# Metrics\n\n\
         <!-- Generated from the answer of /metrics: change broker/engine/src/counters.rs and broker/server/src/metrics.rs. -->\n\n\
         `GET /metrics` answers in OpenMetrics text. Replicas share a database: `cloudanix_jit_grants` is the same on each, \
         and counters are each replica's own since its start. [Alerts](../../../../examples/prometheus/alerts.yml) and a \
         [dashboard](../../../../examples/grafana/dashboard.json) are built on them.\n\n\
         | metric | type | labels | what it says |\n|---|---|---|---|\n",
    );
    let text = answer().await;
    let mut help = BTreeMap::new();
    let mut metrics = Vec::new();
    for line in text.lines() {
        if let Some((name, what)) = line.strip_prefix("# HELP ").and_then(|rest| rest.split_once(' ')) {
            help.insert(name, what);
        } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' '))
        {
            metrics.push((name, kind));
        }
    }
    for (name, kind) in metrics {
        let ending = if kind == "counter" { "_total" } else { "" };
        let _ = writeln!(page, "| `{name}{ending}` | {kind} | {} | {} |", labels(&text, name), help[name]);
    }
    page
}

/// The names of the labels that the samples of a metric have.
fn labels(text: &str, metric: &str) -> String {
    let is_sample = |name: &str| {
        name.strip_prefix(metric).is_some_and(|ending| ["", "_total", "_bucket"].contains(&ending))
    };
    let mut samples = text.lines().filter_map(|line| line.split_once('{'));
    let Some((_, labels)) = samples.find(|(name, _)| is_sample(name)) else { return String::new() };
    let labels = labels.split_once('}').unwrap().0.split(',');
    let names = labels.map(|label| label.split_once('=').unwrap().0).filter(|name| *name != "le");
    names.map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// What a broker answers that has a certificate and has answered a request before.
async fn answer() -> String {
    let config = EngineConfig {
        database: Database::Sqlite(SqlitePath::Memory),
        url: "http://127.0.0.1:1".to_owned(),
        operators: OperatorTokens::default(),
        posture_sources: Vec::new(),
        people: None,
        channels: Vec::new(),
        oidc_http: identity::Http::new(None).unwrap(),
        settings: Settings::default(),
        aws: None,
    };
    let engine = build::engine(config).await.unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let limits = Config {
        caps: Caps { all: 10, per_network: 10 },
        idle: Duration::from_secs(75),
        trusted_proxies: Vec::new(),
    };
    let plain = ServerState::plain(engine, Draining::default(), Admission::new(limits));
    let router = server::http::router(ServerState { certificate: Some(certificate()), ..plain.clone() });
    // The certificate is only shown: what listens does not use it.
    let serving = tokio::spawn(listen::until_stopped(listener, router, plain));
    let text = tokio::task::spawn_blocking(move || {
        get(address, "/healthz");
        get(address, "/metrics")
    });
    let text = text.await.unwrap();
    serving.abort();
    text
}

fn get(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(25))).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: broker\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    answer
}

fn certificate() -> Certificate {
    let folder = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let files = Tls {
        certificate: folder.path().join("certificate.pem"),
        key: folder.path().join("key.pem"),
        client_ca: None,
        client_certificates: None,
    };
    std::fs::write(&files.certificate, made.cert.pem()).unwrap();
    std::fs::write(&files.key, made.signing_key.serialize_pem()).unwrap();
    Certificate::read(&files, "2026-06-08T14:00:00Z".parse().unwrap()).unwrap()
}
