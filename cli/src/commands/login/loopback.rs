//! Receives the code of a sign-in from the browser, on this machine (RFC 8252, section 7.3).

use std::time::Duration;

use jit_client::Url;
use protocol::Secret;
use subtle::ConstantTimeEq;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use crate::error::CliError;

/// The longest head of a request that is read. Browsers send cookies of other programs on this machine too.
const LONGEST_HEAD: usize = 64 * 1024;
/// A connection that sends nothing does not keep the browser's answer away for longer.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);

const DONE: &str = "You are signed in. This window can be closed.";
const OTHER: &str = "This is not the answer to a sign-in.";

pub(crate) struct Loopback {
    listener: TcpListener,
    port: u16,
    state: Secret,
}

impl Loopback {
    /// Listens on a free port of this machine, for the answer with this `state`.
    pub(crate) async fn listen(state: Secret) -> Result<Self, CliError> {
        let unusable = |error| CliError::unexpected(format!("no port of this machine can be used: {error}"));
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.map_err(unusable)?;
        let port = listener.local_addr().map_err(unusable)?.port();
        Ok(Self { listener, port, state })
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Waits for the code. Requests with another `state` are answered, and change nothing.
    pub(crate) async fn code(self, longest: Duration) -> Result<Secret, CliError> {
        let waiting = async {
            loop {
                let Ok((mut stream, _)) = self.listener.accept().await else { continue };
                let Ok(Some(target)) = timeout(HEAD_TIMEOUT, target(&mut stream)).await else { continue };
                let code = self.code_in(&target);
                answer(&mut stream, code.is_some()).await;
                if let Some(code) = code {
                    return code;
                }
            }
        };
        timeout(longest, waiting).await.map_err(|_| {
            CliError::usage(format!("no sign-in within {} s", longest.as_secs()))
                .with_hint("run it again; where the browser is on another machine, with `--no-browser`")
        })
    }

    fn code_in(&self, target: &str) -> Option<Secret> {
        let url = Url::parse("http://127.0.0.1").ok()?.join(target).ok()?;
        let value = |name: &str| url.query_pairs().find(|(found, _)| found == name).map(|(_, value)| value);
        let state = value("state")?;
        let expected = bool::from(state.as_bytes().ct_eq(self.state.reveal().as_bytes()));
        value("code").filter(|code| expected && !code.is_empty()).map(|code| Secret::new(code.into_owned()))
    }
}

/// The target of a GET request; none for anything else.
async fn target(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        if head.len() > LONGEST_HEAD || stream.read_buf(&mut head).await.ok()? == 0 {
            return None;
        }
    }
    let head = String::from_utf8(head).ok()?;
    let (method, rest) = head.split_once(' ')?;
    let (target, _) = rest.split_once(' ')?;
    (method == "GET" && target.starts_with('/')).then(|| target.to_owned())
}

async fn answer(stream: &mut TcpStream, accepted: bool) {
    let (status, text) = if accepted { ("200 OK", DONE) } else { ("404 Not Found", OTHER) };
    let answer = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\nCache-Control: no-store\r\n\
         Referrer-Policy: no-referrer\r\nConnection: close\r\n\r\n{text}",
        text.len()
    );
    // A browser that is gone has sent what is needed.
    let _ = stream.write_all(answer.as_bytes()).await;
    let _ = stream.shutdown().await;
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn get(port: u16, target: &str) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        let request = format!("GET {target} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn only_the_answer_to_this_sign_in_is_taken() {
        let loopback = Loopback::listen(Secret::new("expected")).await.unwrap();
        let port = loopback.port();
        let waiting = tokio::spawn(loopback.code(Duration::from_secs(60)));
        for other in [
            "/favicon.ico",
            "/?code=forged",
            "/?code=forged&state=other",
            "/?state=expected",
            "/?code=&state=expected",
        ] {
            assert!(get(port, other).await.starts_with("HTTP/1.1 404"), "{other}");
        }
        assert!(get(port, "/?code=real&state=expected").await.ends_with(DONE));
        assert_eq!(waiting.await.unwrap().unwrap().reveal(), "real");
    }

    #[tokio::test(start_paused = true)]
    async fn waiting_has_an_end() {
        let loopback = Loopback::listen(Secret::new("expected")).await.unwrap();
        let error = loopback.code(Duration::from_secs(300)).await.unwrap_err();
        assert_eq!(error.to_string(), "no sign-in within 300 s");
    }
}
