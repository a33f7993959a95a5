//! Does a connection on which nothing is said, or not all of it, end by itself? Whoever opens many would else keep out everybody,
//! those who give back too.

#![expect(clippy::unwrap_used, reason = "in a test, whatever is not as expected is a failure")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use engine::{OperatorTokens, Settings};
use server::database::Database;
use server::http::Front;
use server::listen::{self, Admission, Caps, Draining, Terms};
use server::wiring::{self, Plan};
use store::SqlitePath;
use tokio::task::JoinHandle;

const OPERATOR: &str = "cjop_of-this-test";

/// A broker in this process, and where it is.
async fn serving() -> (JoinHandle<anyhow::Result<()>>, SocketAddr) {
    let plan = Plan {
        database: Database::Sqlite(SqlitePath::Memory),
        url: "http://127.0.0.1:1".to_owned(),
        operators: OperatorTokens { operators: vec![engine::hash_of(OPERATOR)], ..OperatorTokens::default() },
        oidc_ca: None,
        settings: Settings::default(),
        aws: None,
    };
    let engine = wiring::engine(plan).await.unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let terms = Terms {
        caps: Caps { all: 100, per_network: 100 },
        idle: Duration::from_secs(75),
        trusted_proxies: Vec::new(),
    };
    let front = Front::plain(engine, Draining::default(), Admission::new(terms));
    let router = server::http::router(front.clone());
    (tokio::spawn(listen::until_stopped(listener, router, front)), address)
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_does_not_finish_a_request_s_body_is_told_so() {
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
async fn whoever_does_not_finish_a_request_s_head_is_hung_up_on() {
    let (serving, address) = serving().await;
    let waiting: Vec<_> = [&b""[..], b"G", b"GET /healthz HTTP/1.1\r\n", b"PRI * HTTP/2.0\r\n"]
        .map(|said| {
            std::thread::spawn(move || {
                let mut stream = TcpStream::connect(address).unwrap();
                // Far beyond what is expected: it only keeps a failing test from hanging.
                stream.set_read_timeout(Some(Duration::from_secs(25))).unwrap();
                stream.write_all(said).unwrap();
                let hung_up = stream.read_to_end(&mut Vec::new());
                assert!(hung_up.is_ok(), "after `{}`: {hung_up:?}", String::from_utf8_lossy(said));
            })
        })
        .into();
    for one in waiting {
        tokio::task::spawn_blocking(move || one.join().unwrap()).await.unwrap();
    }
    serving.abort();
}
