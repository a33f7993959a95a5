//! Calls over a kept connection that was closed, behind a gate, and to addresses that are refused.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc;
use std::time::Duration;

use protocol::{IdempotencyKey, RevokeCause, Secret};

use super::attempts::Attempts;
use super::{Client, Connections, Gate, GrantRef, Network, Notice, RetryPolicy, Revoked};
use crate::environment::Env;
use crate::settings::{self, Settings};

fn settings_for(listener: &TcpListener) -> Settings {
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let network = Network::from_env(&Env::from_pairs::<&str, &str>([]));
    Settings { url, bearer: Secret::new("bearer"), break_glass_of: None, network, warnings: Vec::new() }
}

fn broker(listener: &TcpListener) -> Client {
    Client::new(&settings_for(listener)).unwrap()
}

/// Reads one request without a body and answers it; the connection stays open.
fn answer(stream: &TcpStream, status: &str, body: &str) {
    let mut lines = BufReader::new(stream).lines();
    while lines.next().is_some_and(|line| line.is_ok_and(|line| !line.is_empty())) {}
    let length = body.len();
    let head =
        format!("HTTP/1.1 {status}\r\ncontent-type: application/problem+json\r\ncontent-length: {length}");
    let mut stream = stream;
    stream.write_all(format!("{head}\r\n\r\n{body}").as_bytes()).unwrap();
}

fn no_such_grant() -> String {
    let code = protocol::ErrorCode::GrantNotFound;
    serde_json::to_string(&protocol::Problem::new(code, "as told by the test")).unwrap()
}

#[tokio::test(flavor = "current_thread")]
async fn a_revoke_survives_an_idle_connection_that_closed_while_the_runtime_was_blocked() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let broker = broker(&listener);
    let (close, closing) = mpsc::channel::<()>();
    let (closed, has_closed) = mpsc::channel();
    let server = std::thread::spawn(move || {
        let (first, _) = listener.accept().unwrap();
        answer(&first, "200 OK", "");
        closing.recv().unwrap();
        drop(first);
        closed.send(()).unwrap();
        let (second, _) = listener.accept().unwrap();
        answer(&second, "404 Not Found", &no_such_grant());
    });
    assert_eq!(broker.ready(RetryPolicy::within(Duration::from_secs(10))).await.unwrap().status, 200);
    close.send(()).unwrap();
    // Blocks the only thread, as a wait for a child without the runtime would.
    has_closed.recv().unwrap();
    let key = IdempotencyKey::from_random([7; 16]);
    // Far too short for a second try after a pause and a time-out.
    let policy = RetryPolicy::within(Duration::from_secs(3));
    let revoked = broker.revoke(GrantRef::Key(&key), RevokeCause::StepExited(0), policy).await.unwrap();
    assert!(matches!(revoked, Revoked::NotFound));
    server.join().unwrap();
}

#[tokio::test(flavor = "current_thread")]
async fn only_the_first_retry_after_a_closed_connection_has_no_pause() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let broker = broker(&listener);
    let server = std::thread::spawn(move || {
        for _ in 0..2 {
            drop(listener.accept().unwrap());
        }
        answer(&listener.accept().unwrap().0, "204 No Content", "");
    });
    let mut pauses = 0;
    let mut attempts = Attempts::begin(&broker, RetryPolicy::within(Duration::from_secs(10)));
    let call = broker.call(reqwest::Method::GET, "/readyz").unwrap();
    let answer = loop {
        let mut notice =
            |notice: Notice<'_>| pauses += usize::from(matches!(notice, Notice::Retrying { .. }));
        if let Some(answer) = attempts.try_once(&call, &mut notice).await.unwrap() {
            break answer;
        }
    };
    assert_eq!((answer.status.as_u16(), pauses), (204, 1));
    server.join().unwrap();
}

#[test]
fn the_address_of_a_broker_is_https_or_loopback() {
    let url = |text: &str| settings::broker_url(&Env::from_pairs([("CLOUDANIX_URL", text)]));
    for right in [
        "https://jit.example.com",
        "https://x.example/behind/a/path",
        "http://127.0.0.1:1",
        "http://[::1]:1",
        "http://localhost",
    ] {
        assert!(url(right).is_ok_and(|url| url.path().ends_with('/')), "{right}");
    }
    for wrong in [
        "",
        "jit.example.com",
        "http://jit.example.com",
        "http://10.0.0.1",
        "ftp://x",
        "https://u:p@x.example",
        "https://x.example/?a=b",
        "http://localhost.example.com",
    ] {
        assert!(url(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn a_password_in_the_address_is_not_quoted() {
    for url in
        ["https://user:hunter2@jit.example.com", "https://user:hunter2@[", "http://user:hunter2@x.example"]
    {
        let error = settings::broker_url(&Env::from_pairs([("CLOUDANIX_URL", url)])).unwrap_err();
        assert!(!format!("{error:?}").contains("hunter2"), "{error}");
    }
}

#[test]
fn a_proxy_that_is_no_url_is_not_quoted() {
    let env = Env::from_pairs([("HTTPS_PROXY", "http://user:hunter2@[")]);
    let error = Network::from_env(&env).client(Connections::Kept).unwrap_err();
    assert!(format!("{error}").contains("`HTTPS_PROXY`") && !format!("{error:?}").contains("hunter2"));
}

/// Lets every task that is ready run, many times.
async fn run_ready_tasks() {
    for _ in 0..1000 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "current_thread")]
async fn behind_a_gate_the_connection_is_made_and_the_request_waits_for_the_gate() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let gate = Gate::closed();
    let broker = Client::behind(gate.clone(), &settings_for(&listener)).unwrap();
    let server = async {
        listener.set_nonblocking(true).unwrap();
        let connected = tokio::net::TcpListener::from_std(listener).unwrap().accept().await.unwrap().0;
        run_ready_tasks().await;
        let early = connected.try_read(&mut [0; 1]).unwrap_err();
        assert_eq!(early.kind(), std::io::ErrorKind::WouldBlock, "nothing may have been sent yet");
        gate.open();
        let connected = connected.into_std().unwrap();
        connected.set_nonblocking(false).unwrap();
        tokio::task::spawn_blocking(move || answer(&connected, "200 OK", "")).await.unwrap();
    };
    let call = broker.ready(RetryPolicy::within(Duration::from_secs(10)));
    assert_eq!(tokio::join!(call, server).0.unwrap().status, 200);
}

#[tokio::test(flavor = "current_thread")]
async fn a_retry_waits_at_the_gate_too() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let gate = Gate::closed();
    let broker = Client::behind(gate, &settings_for(&listener)).unwrap();
    listener.set_nonblocking(true).unwrap();
    let listener = tokio::net::TcpListener::from_std(listener).unwrap();
    let server = async {
        let connected = listener.accept().await.unwrap().0;
        run_ready_tasks().await;
        assert!(connected.try_read(&mut [0; 1]).is_err(), "nothing may have been sent yet");
    };
    tokio::select! {
        biased;
        answer = broker.fresh().unwrap().get(broker.base.clone()).send() => panic!("answered: {answer:?}"),
        () = server => {}
    }
}
