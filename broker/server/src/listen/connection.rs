//! How is one connection served? HTTP/1 alone, see docs/adr/0021-speak-http-1-only.md.

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

use super::slot::Slot;

/// Heads are small, and each connection may hold this much of one.
const HEAD: usize = 16 * 1024;

/// Serves requests until the peer ends the connection, its slot is over, or the broker stops.
pub(super) async fn serve(
    stream: TcpStream,
    peer: SocketAddr,
    slot: Slot,
    tls: Option<Arc<ServerConfig>>,
    router: Router,
    stopping: watch::Receiver<bool>,
) {
    let slot = Arc::new(slot);
    // The slot is free when the stream is closed, and not before.
    tokio::select! {
        biased;
        () = slot.ended() => {}
        () = speak(stream, peer, &slot, tls, router, stopping) => {}
    }
}

async fn speak(
    stream: TcpStream,
    peer: SocketAddr,
    slot: &Arc<Slot>,
    tls: Option<Arc<ServerConfig>>,
    router: Router,
    mut stopping: watch::Receiver<bool>,
) {
    // Answers are small and go out at once: waiting for more to send (Nagle) meets the client's waiting before it
    // acknowledges, and costs 40 ms for each handshake.
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let Some(config) = tls else { return http(stream, peer, slot, router, stopping).await };
    let handshake = TlsAcceptor::from(config).accept(stream);
    let stream = tokio::select! {
        biased;
        _ = stopping.wait_for(|stopping| *stopping) => return,
        stream = handshake => stream,
    };
    // Who cannot do it is told by the protocol itself.
    let Ok(stream) = stream else { return };
    slot.opened();
    http(stream, peer, slot, router, stopping).await;
}

async fn http(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    peer: SocketAddr,
    slot: &Arc<Slot>,
    router: Router,
    mut stopping: watch::Receiver<bool>,
) {
    let routes = TowerToHyperService::new(router);
    let service = service_fn(move |request: Request<Incoming>| {
        slot.request();
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(ConnectInfo(peer));
        request.extensions_mut().insert(Arc::clone(slot));
        let answering = routes.call(request);
        async move {
            let answer = answering.await;
            slot.answered();
            answer
        }
    });
    // Time is the slot's business: also between requests, and while a peer does not take its answer.
    let mut serving = pin!(
        http1::Builder::new()
            .header_read_timeout(None)
            .max_buf_size(HEAD)
            .serve_connection(TokioIo::new(stream), service)
    );
    tokio::select! {
        biased;
        _ = stopping.wait_for(|stopping| *stopping) => {}
        _ = &mut serving => return,
    }
    serving.as_mut().graceful_shutdown();
    let _ = serving.await;
}
