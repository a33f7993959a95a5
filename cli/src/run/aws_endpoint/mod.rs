//! The credential endpoint of a step that outlives one AWS session.
//!
//! Its SDKs fetch their keys at a loopback address that only the step knows (the protocol of container credentials), and
//! get new keys before the old ones expire.

mod http;
mod session;

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
pub(crate) use self::session::Keys;
use self::session::{KeysResult, Session};
use super::redaction::Redaction;
use crate::step_env::StepEnv;
use jit_client::ActiveGrant;
use jit_client::Env;

/// The timeout of a request and its answer.
const TIMEOUT: Duration = Duration::from_secs(5);
/// The number of requests that are served at the same time.
const CONCURRENCY: usize = 32;
/// The pause after a failed accept, for example with too many open files.
const PAUSE: Duration = Duration::from_millis(50);

#[cfg(unix)]
const NO_FILE: &str = "/dev/null";
#[cfg(windows)]
const NO_FILE: &str = "NUL";

/// The bound address, before requests are served.
pub(crate) struct Endpoint {
    listener: TcpListener,
    address: SocketAddr,
    auth: EndpointAuth,
    keys: Keys,
}

/// The secret path and the token of the step.
struct EndpointAuth {
    path: String,
    token: Secret,
}

/// The endpoint while the step runs.
pub(crate) struct Open {
    session: Arc<Session>,
    task: JoinHandle<()>,
}

impl Endpoint {
    pub(super) fn bind(keys: Keys) -> io::Result<Self> {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let listener = TcpListener::from_std(listener)?;
        let random = || jit_client::new_key().map_err(io::Error::other);
        let auth = EndpointAuth {
            path: format!("/{}", random()?),
            token: Secret::new(format!("{}{}", random()?, random()?)),
        };
        Ok(Self { address: listener.local_addr()?, listener, auth, keys })
    }

    /// The variables that direct the step's SDKs to this endpoint.
    pub(super) fn step_env(&self, region: Option<&str>, env: &Env) -> StepEnv {
        let mut step_env = StepEnv::for_aws(region, env);
        let url = format!("http://{}{}", self.address, self.auth.path);
        step_env.open.push(("AWS_CONTAINER_CREDENTIALS_FULL_URI", url));
        // A file with a default profile takes precedence over an endpoint.
        step_env.open.push(("AWS_SHARED_CREDENTIALS_FILE", NO_FILE.to_owned()));
        step_env.secret.push(("AWS_CONTAINER_AUTHORIZATION_TOKEN", self.auth.token.clone()));
        step_env
    }

    /// The secrets to redact although they are not in the step's environment.
    pub(crate) fn secrets(&self) -> [&Secret; 2] {
        self.keys.secrets()
    }

    /// Serves until it is closed. `redaction` learns every new key before the step can read it.
    pub(crate) fn open(self, grant: Arc<ActiveGrant>, redaction: Arc<Redaction>) -> Open {
        let session = Session::new(self.keys, grant, redaction);
        let task = tokio::spawn(serve(self.listener, Arc::new(self.auth), Arc::clone(&session)));
        Open { session, task }
    }
}

impl Open {
    /// Serves no keys from now on, even if the old ones have not expired.
    pub(crate) fn grant_ended(&self, why: &str) {
        self.session.end(why);
    }

    /// Stops serving after the end of the step.
    pub(crate) fn close(&self) {
        self.session.end("the step has ended");
        self.task.abort();
    }
}

async fn serve(listener: TcpListener, auth: Arc<EndpointAuth>, session: Arc<Session>) {
    let permits = Arc::new(Semaphore::new(CONCURRENCY));
    loop {
        let Ok(permit) = Arc::clone(&permits).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let (auth, session) = (Arc::clone(&auth), Arc::clone(&session));
                tokio::spawn(async move {
                    let _ = timeout(TIMEOUT, serve_one(stream, &auth, &session)).await;
                    drop(permit);
                });
            }
            Err(_) => sleep(PAUSE).await,
        }
    }
}

async fn serve_one(mut stream: TcpStream, auth: &EndpointAuth, session: &Arc<Session>) -> io::Result<()> {
    let response = match http::read(&mut stream).await? {
        None => refusal(Status::BadRequest, "InvalidRequest", "expected a GET request of HTTP/1.1"),
        Some(request) => match auth.check(&request) {
            Ok(()) => answer(session.keys().await),
            Err(refused) => refused,
        },
    };
    http::write(&mut stream, response).await
}

impl EndpointAuth {
    fn check(&self, request: &Request) -> Result<(), Response> {
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

fn answer(result: KeysResult) -> Response {
    match result {
        KeysResult::Keys(keys) => response(Status::Ok, &Document::from(&*keys)),
        KeysResult::Ended(why) => {
            refusal(Status::Forbidden, "GrantEnded", &format!("the grant has ended: {why}"))
        }
        KeysResult::Unavailable(why) => {
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

/// The document of container credentials.
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

/// The error document of container credentials.
#[derive(Serialize)]
struct Problem<'a> {
    code: &'a str,
    message: &'a str,
}
