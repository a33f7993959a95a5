//! How does a step outlive one AWS session? Its SDKs fetch their keys at an address on this machine that only
//! the step knows (the protocol of container credentials), and get new ones before the old end.

mod http;
mod session;
mod way;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use protocol::Secret;
use serde::Serialize;
use subtle::ConstantTimeEq as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use zeroize::Zeroizing;

use self::http::{Request, Response, Status};
use self::session::{Given, Keys, Session};
pub(crate) use self::way::Way;
use super::aside::Aside;
use super::redaction::Redaction;
use crate::environment::Env;
use crate::handed::Handed;
use crate::handle;

/// A request is there at once, or never; and so is whoever reads the answer.
const WITHIN: Duration = Duration::from_secs(5);
/// More at the same time wait their turn.
const AT_ONCE: usize = 32;
/// After an accept that failed: too many open files may be fewer soon.
const PAUSE: Duration = Duration::from_millis(50);

#[cfg(unix)]
const NO_FILE: &str = "/dev/null";
#[cfg(windows)]
const NO_FILE: &str = "NUL";

/// The address, before anybody can ask there.
pub(crate) struct Endpoint {
    listener: TcpListener,
    address: SocketAddr,
    door: Door,
    keys: Keys,
}

/// Who is let in.
struct Door {
    path: String,
    token: Secret,
}

/// The endpoint while the step runs.
pub(crate) struct Open {
    session: Arc<Session>,
    task: JoinHandle<()>,
}

impl Endpoint {
    fn bind(keys: Keys) -> io::Result<Self> {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let listener = TcpListener::from_std(listener)?;
        let random = || handle::new_key().map_err(io::Error::other);
        let door = Door {
            path: format!("/{}", random()?),
            token: Secret::new(format!("{}{}", random()?, random()?)),
        };
        Ok(Self { address: listener.local_addr()?, listener, door, keys })
    }

    /// What leads the step's SDKs here.
    fn handed(&self, region: Option<&str>, env: &Env) -> Handed {
        let mut handed = Handed::in_aws(region, env);
        let url = format!("http://{}{}", self.address, self.door.path);
        handed.open.push(("AWS_CONTAINER_CREDENTIALS_FULL_URI", url));
        // A file with a default profile in it goes before an endpoint.
        handed.open.push(("AWS_SHARED_CREDENTIALS_FILE", NO_FILE.to_owned()));
        handed.secret.push(("AWS_CONTAINER_AUTHORIZATION_TOKEN", self.door.token.clone()));
        handed
    }

    /// What nobody may print although it is not in the step's environment.
    pub(crate) fn secrets(&self) -> [&Secret; 2] {
        self.keys.secrets()
    }

    /// Serves until it is closed. `redaction` learns every new key before the step can have it.
    pub(crate) fn open(self, aside: Arc<Aside>, redaction: Arc<Redaction>) -> Open {
        let session = Session::new(self.keys, aside, redaction);
        let task = tokio::spawn(serve(self.listener, Arc::new(self.door), Arc::clone(&session)));
        Open { session, task }
    }
}

impl Open {
    /// The grant is over: no keys from here on, whatever the old ones would last.
    pub(crate) fn grant_ended(&self, why: &str) {
        self.session.end(why);
    }

    /// Nobody is left who may ask.
    pub(crate) fn close(&self) {
        self.session.end("the step has ended");
        self.task.abort();
    }
}

async fn serve(listener: TcpListener, door: Arc<Door>, session: Arc<Session>) {
    let places = Arc::new(Semaphore::new(AT_ONCE));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let (door, session) = (Arc::clone(&door), Arc::clone(&session));
                tokio::spawn(async move {
                    // Whoever does not read its answer has none.
                    let _ = timeout(WITHIN, converse(stream, &door, &session)).await;
                    drop(place);
                });
            }
            Err(_) => sleep(PAUSE).await,
        }
    }
}

async fn converse(mut stream: TcpStream, door: &Door, session: &Arc<Session>) -> io::Result<()> {
    let response = match http::read(&mut stream).await? {
        None => refusal(Status::BadRequest, "InvalidRequest", "expected a GET request of HTTP/1.1"),
        Some(request) => match door.open_for(&request) {
            Ok(()) => answer(session.give().await),
            Err(refused) => refused,
        },
    };
    http::write(&mut stream, response).await
}

impl Door {
    fn open_for(&self, request: &Request) -> Result<(), Response> {
        if !is_same(&request.path, &self.path) {
            return Err(refusal(Status::NotFound, "NotFound", "there is nothing at this path"));
        }
        let token = request.authorization.as_ref().map_or("", Secret::reveal);
        if !is_same(token, self.token.reveal()) {
            let what = "expected the value of AWS_CONTAINER_AUTHORIZATION_TOKEN in the Authorization header";
            return Err(refusal(Status::Unauthorized, "Unauthorized", what));
        }
        if request.method != "GET" {
            return Err(refusal(Status::MethodNotAllowed, "MethodNotAllowed", "expected GET"));
        }
        Ok(())
    }
}

/// In constant time, once the lengths are the same.
fn is_same(found: &str, expected: &str) -> bool {
    found.as_bytes().ct_eq(expected.as_bytes()).into()
}

fn answer(given: Given) -> Response {
    match given {
        Given::Keys(keys) => response(Status::Ok, &Document::from(&*keys)),
        Given::Ended(why) => refusal(Status::Forbidden, "GrantEnded", &format!("the grant has ended: {why}")),
        Given::NotNow(why) => {
            let what = format!("the keys have ended and new ones cannot be had now: {why}");
            refusal(Status::Unavailable, "BrokerUnavailable", &what)
        }
    }
}

fn refusal(status: Status, code: &str, message: &str) -> Response {
    response(status, &Problem { code, message })
}

fn response(status: Status, document: &impl Serialize) -> Response {
    Response { status, json: Zeroizing::new(serde_json::to_string(document).unwrap_or_default()) }
}

/// As container credentials are given.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Document<'a> {
    access_key_id: &'a str,
    secret_access_key: &'a str,
    token: &'a str,
    expiration: String,
}

impl<'a> From<&'a Keys> for Document<'a> {
    fn from(keys: &'a Keys) -> Self {
        Self {
            access_key_id: &keys.id,
            secret_access_key: keys.secret.reveal(),
            token: keys.token.reveal(),
            expiration: keys.expires_at.to_string(),
        }
    }
}

/// As SDKs read what went wrong there.
#[derive(Serialize)]
struct Problem<'a> {
    code: &'a str,
    message: &'a str,
}
