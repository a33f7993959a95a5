//! Sends HTTP requests to a broker without the client.
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

/// A complete response.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// Every header, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body as received.
    pub text: String,
    /// The body as JSON; null if it is not JSON.
    pub json: Value,
    /// The server's certificate, if the client was built to keep it.
    pub certificate: Option<Vec<u8>>,
}

impl Answer {
    /// The code of a problem document; empty if the body is another document.
    pub fn code(&self) -> &str {
        self.text_at("/code")
    }

    /// The text at a JSON pointer; empty if there is none.
    pub fn text_at(&self, pointer: &str) -> &str {
        self.json.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
    }

    /// Status and code, to compare refusals by.
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

/// A new HTTP client.
pub fn client(with: impl FnOnce(ClientBuilder) -> ClientBuilder) -> Client {
    // The first caller installs the provider; the error of every later call is expected.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let builder = Client::builder()
        .no_proxy()
        .timeout(Duration::from_secs(30))
        // Brokers restart under these tests: no connection outlives its response.
        .pool_max_idle_per_host(0);
    with(builder).build().expect("a client")
}

/// A request to complete and send.
pub fn request(method: Method, url: &str) -> RequestBuilder {
    CLIENT.request(method, url)
}

/// Sends the request. An error means that the connection failed: there was no response, or only a part.
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

/// Sends the request; fails the test without a response.
#[track_caller]
pub fn send(request: RequestBuilder) -> Answer {
    match try_send(request) {
        Ok(answer) => answer,
        Err(error) => panic!("no answer: {error:?}"),
    }
}
