//! How does a test talk to a broker without our client?
//!
//! Calls block, and may be made from any thread.

use std::sync::LazyLock;
use std::time::Duration;

use reqwest::{Client, ClientBuilder, Method, RequestBuilder};
use serde_json::Value;
use tokio::runtime::Runtime;

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime")
});

static CLIENT: LazyLock<Client> = LazyLock::new(|| client(|builder| builder));

/// A whole answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// Every header, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body as it came.
    pub text: String,
    /// The body as JSON; null where it is none.
    pub json: Value,
    /// The certificate of whoever answered, if the client was built to keep it.
    pub certificate: Option<Vec<u8>>,
}

impl Answer {
    /// A problem's code; empty when it is none.
    pub fn code(&self) -> &str {
        self.text_at("/code")
    }

    /// A text at a JSON pointer; empty when there is none.
    pub fn text_at(&self, pointer: &str) -> &str {
        self.json.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
    }

    /// Status and code, which is what most refusals are compared by.
    pub fn outcome(&self) -> (u16, &str) {
        (self.status, self.code())
    }

    /// Fails the test unless the status is this one.
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        if self.status != status {
            panic!("expected {status}, found {} {}", self.status, self.text);
        }
        self
    }
}

/// A client of one's own.
pub fn client(with: impl FnOnce(ClientBuilder) -> ClientBuilder) -> Client {
    // Whoever comes first installs it; for the others there is nothing left to do.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let builder = Client::builder()
        .no_proxy()
        .timeout(Duration::from_secs(30))
        // Brokers come and go under these tests: no connection outlives its answer.
        .pool_max_idle_per_host(0);
    with(builder).build().expect("a client")
}

/// A request to be finished and sent.
pub fn request(method: Method, url: &str) -> RequestBuilder {
    CLIENT.request(method, url)
}

/// Sends it. An error is one of the connection: there was no answer, or not all of it.
pub fn try_send(request: RequestBuilder) -> reqwest::Result<Answer> {
    RUNTIME.block_on(async {
        let response = request.send().await?;
        let status = response.status().as_u16();
        let headers = response
            .headers()
            .iter()
            .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
            .collect();
        let tls = response.extensions().get::<reqwest::tls::TlsInfo>();
        let certificate = tls.and_then(|tls| tls.peer_certificate()).map(<[u8]>::to_vec);
        let text = response.text().await?;
        let json = serde_json::from_str(&text).unwrap_or(Value::Null);
        Ok(Answer { status, headers, text, json, certificate })
    })
}

/// Sends it; fails the test when there is no answer.
#[track_caller]
pub fn send(request: RequestBuilder) -> Answer {
    match try_send(request) {
        Ok(answer) => answer,
        Err(error) => panic!("no answer: {error:?}"),
    }
}
