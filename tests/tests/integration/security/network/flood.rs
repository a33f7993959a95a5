//! Floods the broker with cheap connections from other addresses, and opens closed ones again.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use system_tests::waiting::eventually;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;
use tokio::runtime::{Builder, Runtime};
use tokio::time::sleep;

/// The delay before a closed connection is opened again, so that the flood leaves processor time for parallel tests.
const AGAIN: Duration = Duration::from_millis(100);

/// The bytes that a connection sends before it becomes idle.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Opening {
    /// No bytes.
    Silence,
    /// An HTTP/1 request, which leaves the connection open.
    Http1,
    /// An HTTP/2 request with prior knowledge.
    Http2,
    /// The beginning of a TLS handshake.
    HalfOfTls,
    /// A request without its announced body.
    NoBody,
}

impl Opening {
    /// Whether the connection stays open until one of both sides needs it no more. HTTP/2 is refused, so how many such
    /// connections are open at once depends on which side is faster.
    pub(crate) fn stays_open(self) -> bool {
        match self {
            Self::Silence | Self::Http1 | Self::HalfOfTls | Self::NoBody => true,
            Self::Http2 => false,
        }
    }

    pub(crate) fn bytes(self) -> Vec<u8> {
        match self {
            Self::Silence => Vec::new(),
            Self::Http1 => b"GET /healthz HTTP/1.1\r\nHost: broker\r\n\r\n".to_vec(),
            Self::Http2 => {
                let mut said = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
                // A SETTINGS frame and a SETTINGS acknowledgement: heads of 9 bytes without payload.
                said.extend([0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 4, 1, 0, 0, 0, 0]);
                // A HEADERS frame with GET, http, a path and an authority, which ends both headers and stream.
                let headers = b"\x82\x86\x04\x08/healthz\x01\x06broker";
                said.extend([0, 0, u8::try_from(headers.len()).unwrap(), 1, 5, 0, 0, 0, 1]);
                said.extend(headers);
                said
            }
            Self::HalfOfTls => vec![0x16, 3, 1, 2, 0, 1, 0, 1],
            Self::NoBody => {
                b"POST /v2/agentic/jit HTTP/1.1\r\nHost: broker\r\nContent-Type: application/json\r\n\
                Idempotency-Key: 0123456789abcdef0123456789abcdef\r\nContent-Length: 100\r\n\r\n{"
                    .to_vec()
            }
        }
    }
}

/// A flood that lasts until it is dropped.
pub(crate) struct Flood {
    runtime: Option<Runtime>,
    begun: Arc<AtomicUsize>,
    wanted: usize,
}

impl Flood {
    /// Opens `each` connections from every address. Returns when each of them has been open once.
    #[track_caller]
    pub(crate) fn from(addresses: &[Ipv4Addr], each: usize, broker: SocketAddr, opening: Opening) -> Self {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let begun = Arc::new(AtomicUsize::new(0));
        for address in addresses {
            for _ in 0..each {
                runtime.spawn(hold_one(*address, broker, opening, Arc::clone(&begun)));
            }
        }
        let flood = Self { runtime: Some(runtime), begun, wanted: addresses.len() * each };
        eventually("a flood", || (flood.begun.load(Ordering::Relaxed) >= flood.wanted).then_some(()));
        flood
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

async fn hold_one(from: Ipv4Addr, broker: SocketAddr, opening: Opening, begun: Arc<AtomicUsize>) {
    let mut first = true;
    loop {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::from((from, 0))).unwrap();
        if let Ok(mut stream) = socket.connect(broker).await {
            if std::mem::take(&mut first) {
                begun.fetch_add(1, Ordering::Relaxed);
            }
            if stream.write_all(&opening.bytes()).await.is_ok() {
                let mut answer = [0; 1024];
                while stream.read(&mut answer).await.is_ok_and(|read| read > 0) {}
            }
        }
        sleep(AGAIN).await;
    }
}
