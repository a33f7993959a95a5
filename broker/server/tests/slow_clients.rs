//! Time limits of connections on which no request, or only a part of one, arrives.

#![expect(clippy::unwrap_used, reason = "in a test, whatever is not as expected is a failure")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use engine::{NamedToken, OperatorTokens, Settings};
use server::build::{self, EngineConfig};
use server::database::Database;
use server::http::ServerState;
use server::listen::{self, Admission, Caps, Config, Draining};
use store::SqlitePath;
use tokio::task::JoinHandle;

const OPERATOR: &str = "cjop_of-this-test";

/// Starts a broker in this process; its address.
async fn serving() -> (JoinHandle<anyhow::Result<()>>, SocketAddr) {
    let operator = NamedToken { name: "release-bot".parse().unwrap(), hash: engine::hash_of(OPERATOR) };
    let config = EngineConfig {
        database: Database::Sqlite(SqlitePath::Memory),
        url: "http://127.0.0.1:1".to_owned(),
        operators: OperatorTokens { operators: vec![operator], ..OperatorTokens::default() },
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
        caps: Caps { all: 100, per_network: 100 },
        idle: Duration::from_secs(75),
        trusted_proxies: Vec::new(),
    };
    let state = ServerState::plain(engine, Draining::default(), Admission::new(limits));
    let router = server::http::router(state.clone());
    (tokio::spawn(listen::until_stopped(listener, router, state)), address)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unfinished_body_is_answered_with_request_timeout() {
    let (serving, address) = serving().await;
    let answer = tokio::task::spawn_blocking(move || {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(25))).unwrap();
        let head = "POST /v2/agents HTTP/1.1\r\nHost: broker\r\nContent-Type: application/toml\r\n";
        write!(stream, "{head}Authorization: Bearer {OPERATOR}\r\nContent-Length: 9\r\n\r\nid = ").unwrap();
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer);
        answer
    });
    let answer = answer.await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert!(
        answer.contains("application/problem+json") && answer.contains("\"request_timeout\""),
        "{answer}"
    );
    serving.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_with_an_unfinished_head_is_closed() {
    let (serving, address) = serving().await;
    let waiting: Vec<_> = [&b""[..], b"G", b"GET /healthz HTTP/1.1\r\n", b"PRI * HTTP/2.0\r\n"]
        .map(|said| {
            std::thread::spawn(move || {
                let mut stream = TcpStream::connect(address).unwrap();
                // Far above the expected time: it only keeps a failing test from hanging.
                stream.set_read_timeout(Some(Duration::from_secs(25))).unwrap();
                stream.write_all(said).unwrap();
                let closed = stream.read_to_end(&mut Vec::new());
                assert!(closed.is_ok(), "after `{}`: {closed:?}", String::from_utf8_lossy(said));
            })
        })
        .into();
    for one in waiting {
        tokio::task::spawn_blocking(move || one.join().unwrap()).await.unwrap();
    }
    serving.abort();
}
