//! The credential endpoint of a step: authentication, renewal, and its end.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::Stdio;

use protocol::ErrorCode;

use crate::fake_broker::{AWS_SECRETS, Call, FakeBroker, Fault, Issues, Session};
use crate::harness::{Finished, Running, Wrapper};

/// A step that waits, and the endpoint in its environment.
struct Asking {
    running: Running,
    address: String,
    path: String,
    token: String,
}

/// One line of each, then it waits for its input to end.
const STEP: &str =
    "echo $AWS_CONTAINER_CREDENTIALS_FULL_URI $AWS_CONTAINER_AUTHORIZATION_TOKEN; read wait; env";

impl Asking {
    fn start(broker: &FakeBroker, arguments: &[&str]) -> Self {
        let mut all = arguments.to_vec();
        all.extend(["--redact", "never", "--", "sh", "-c", STEP]);
        let mut wrapper = Wrapper::new(broker, &all);
        wrapper.command.stdin(Stdio::piped());
        let mut running = wrapper.start();
        let mut line = String::new();
        let stdout = running.child.stdout.as_mut().unwrap();
        let mut byte = [0];
        while !line.ends_with('\n') {
            stdout.read_exact(&mut byte).unwrap();
            line.push(char::from(byte[0]));
        }
        let (url, token) = line.trim().split_once(' ').unwrap();
        let (address, path) = url.strip_prefix("http://").unwrap().split_once('/').unwrap();
        let (address, path, token) = (address.to_owned(), format!("/{path}"), token.to_owned());
        Self { running, address, path, token }
    }

    /// The status, and the answer.
    fn send(&self, request: &str) -> (u16, serde_json::Value) {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut reader = BufReader::new(stream);
        let mut status = String::new();
        reader.read_line(&mut status).unwrap();
        let mut rest = String::new();
        reader.read_to_string(&mut rest).unwrap();
        let status = status.split(' ').nth(1).unwrap().parse().unwrap();
        (status, serde_json::from_str(rest.split_once("\r\n\r\n").unwrap().1).unwrap())
    }

    fn get(&self, path: &str, token: &str) -> (u16, serde_json::Value) {
        self.send(&format!("GET {path} HTTP/1.1\r\nHost: {}\r\nAuthorization: {token}\r\n\r\n", self.address))
    }

    fn keys(&self) -> (u16, serde_json::Value) {
        self.get(&self.path, &self.token)
    }

    /// Which of the fake broker's sessions these keys are of.
    fn session(&self) -> usize {
        let (status, keys) = self.keys();
        assert_eq!(status, 200, "{keys}");
        let token = keys["Token"].as_str().unwrap();
        let at = AWS_SECRETS.iter().position(|(_, known)| *known == token).unwrap();
        assert_eq!(keys["SecretAccessKey"], AWS_SECRETS[at].0);
        at
    }

    fn finish(mut self) -> Finished {
        drop(self.running.child.stdin.take());
        self.running.finish()
    }
}

#[test]
fn keys_are_served_only_with_the_path_and_the_token() {
    let broker = FakeBroker::start();
    broker.issues(Issues::Aws(Session::lasting(600)));
    let asking = Asking::start(&broker, &["--aws-credentials", "endpoint"]);
    assert!(asking.address.starts_with("127.0.0.1:"), "{}", asking.address);
    let (status, keys) = asking.keys();
    assert_eq!((status, &keys["AccessKeyId"]), (200, &"ASIAFAKE1".into()));
    assert!(keys["Expiration"].as_str().unwrap().ends_with('Z'), "{keys}");
    assert_eq!(keys.as_object().unwrap().len(), 4);
    let wrong = "0".repeat(asking.token.len());
    for token in ["", wrong.as_str(), &asking.token[1..], &format!("{}0", asking.token)] {
        let (status, answer) = asking.get(&asking.path, token);
        assert_eq!((status, &answer["code"]), (401, &"Unauthorized".into()), "{token}");
    }
    assert_eq!(asking.get("/", &asking.token).0, 404);
    assert_eq!(asking.get(&format!("{}x", asking.path), &asking.token).0, 404);
    assert_eq!(asking.send(&format!("GET {} HTTP/1.1\r\n\r\n", asking.path)).0, 401);
    let post = format!("POST {} HTTP/1.1\r\nAuthorization: {}\r\n\r\n", asking.path, asking.token);
    assert_eq!(asking.send(&post).0, 405);
    assert_eq!(asking.send("nonsense\r\n\r\n").0, 400);
    assert_eq!(broker.books().renewals(), 0, "the first keys are good for now");
    let step = asking.finish();
    step.assert_code(0);
    for name in ["AWS_ACCESS_KEY_ID=", "AWS_SECRET_ACCESS_KEY=", "AWS_SESSION_TOKEN="] {
        assert!(!step.stdout.contains(name), "{name}");
    }
    assert!(step.stdout.contains("AWS_SHARED_CREDENTIALS_FILE=/dev/null\n"));
}

#[test]
fn expiring_keys_are_renewed_once_for_concurrent_requests() {
    let broker = FakeBroker::start();
    // They have ended for us, and the grant has not: `auto` takes the endpoint.
    broker.issues(Issues::Aws(Session::lasting(0)));
    broker.renews(Session::lasting(600));
    let asking = Asking::start(&broker, &[]);
    let sessions: Vec<usize> = std::thread::scope(|scope| {
        let asked: Vec<_> = (0..8).map(|_| scope.spawn(|| asking.session())).collect();
        asked.into_iter().map(|asked| asked.join().unwrap()).collect()
    });
    assert_eq!(sessions, [1; 8]);
    assert_eq!(broker.books().renewals(), 1);
    asking.finish().assert_code(0);
}

#[test]
fn without_a_broker_expired_keys_are_unavailable() {
    let broker = FakeBroker::start();
    broker.issues(Issues::Aws(Session::lasting(0)));
    let asking = Asking::start(&broker, &[]);
    // As a broker that knows of no renewals answers: it does not say that the grant has ended.
    broker.plan(Call::Renew, &[Fault::Refuse(ErrorCode::RouteNotFound)]);
    let (status, answer) = asking.keys();
    assert_eq!((status, &answer["code"]), (503, &"BrokerUnavailable".into()), "{answer}");
    asking.finish().assert_code(0);
}

#[test]
fn no_keys_are_served_after_the_grant_has_ended() {
    let broker = FakeBroker::start();
    broker.issues(Issues::Aws(Session::lasting(0)));
    let asking = Asking::start(&broker, &[]);
    broker.end_all();
    let (status, answer) = asking.keys();
    assert_eq!((status, &answer["code"]), (403, &"GrantEnded".into()), "{answer}");
    assert_eq!(asking.keys().0, 403);
    assert_eq!(broker.books().renewals(), 1, "the end is final");
    asking.finish().assert_code(0);
}

#[test]
fn a_refused_heartbeat_ends_valid_keys_too() {
    let broker = FakeBroker::start();
    broker.set_heartbeat_seconds(1);
    broker.issues(Issues::Aws(Session::lasting(600)));
    let asking = Asking::start(&broker, &["--aws-credentials", "endpoint"]);
    assert_eq!(asking.keys().0, 200);
    broker.end_all();
    crate::harness::eventually("the end of the keys", || (asking.keys().0 == 403).then_some(()));
    asking.finish().assert_code(0);
}

#[test]
fn renewed_keys_are_redacted_too() {
    let step = r#"exec 3<>/dev/tcp/127.0.0.1/$(echo $AWS_CONTAINER_CREDENTIALS_FULL_URI | tr -s '/:' ' ' | cut -d' ' -f3)
        printf 'GET /%s HTTP/1.1\r\nAuthorization: %s\r\n\r\n' ${AWS_CONTAINER_CREDENTIALS_FULL_URI##*/} $AWS_CONTAINER_AUTHORIZATION_TOKEN >&3
        cat <&3"#;
    for platform in ["GITHUB_ACTIONS", "NOT_A_PLATFORM"] {
        let broker = FakeBroker::start();
        broker.issues(Issues::Aws(Session::lasting(0)));
        broker.renews(Session::lasting(600));
        let wrapper = Wrapper::new(&broker, &["--", "bash", "-c", step]).env(platform, "true");
        let finished = wrapper.finish();
        finished.assert_code(0);
        assert!(finished.stdout.contains("\"AccessKeyId\":\"ASIAFAKE2\""), "{}", finished.stdout);
        assert!(
            finished.stdout.contains("\"SecretAccessKey\":\"***\",\"Token\":\"***\""),
            "{}",
            finished.stdout
        );
    }
}
