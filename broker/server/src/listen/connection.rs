//! Serves one connection: TLS, then HTTP/1 alone, see docs/adr/0021-speak-http-1-only.md.

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

/// The buffer for the head of a request, which bounds the memory of each connection.
const HEAD: usize = 16 * 1024;

/// Serves requests until the peer closes the connection, its slot ends, or the broker stops.
pub(super) async fn serve(
    stream: TcpStream,
    peer: SocketAddr,
    slot: Slot,
    tls: Option<Arc<ServerConfig>>,
    router: Router,
    stopping: watch::Receiver<bool>,
) {
    let slot = Arc::new(slot);
    // The slot outlives the stream, so that it is free only after the stream is closed.
    tokio::select! {
        biased;
        () = slot.ended() => {}
        () = serve_stream(stream, peer, &slot, tls, router, stopping) => {}
    }
}

async fn serve_stream(
    stream: TcpStream,
    peer: SocketAddr,
    slot: &Arc<Slot>,
    tls: Option<Arc<ServerConfig>>,
    router: Router,
    mut stopping: watch::Receiver<bool>,
) {
    // Nagle's algorithm together with the client's delayed acknowledgements would cost 40 ms for each handshake.
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let Some(config) = tls else { return serve_http(stream, peer, slot, router, stopping).await };
    let handshake = TlsAcceptor::from(config).accept(stream);
    let stream = tokio::select! {
        biased;
        _ = stopping.wait_for(|stopping| *stopping) => return,
        stream = handshake => stream,
    };
    // TLS itself tells the peer why a handshake failed.
    let Ok(stream) = stream else { return };
    slot.handshake_done();
    serve_http(stream, peer, slot, router, stopping).await;
}

async fn serve_http(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    peer: SocketAddr,
    slot: &Arc<Slot>,
    router: Router,
    mut stopping: watch::Receiver<bool>,
) {
    let routes = TowerToHyperService::new(router);
    let service = service_fn(move |request: Request<Incoming>| {
        slot.request_received();
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(ConnectInfo(peer));
        request.extensions_mut().insert(Arc::clone(slot));
        let handling = routes.call(request);
        async move {
            let response = handling.await;
            slot.answered();
            response
        }
    });
    // The slot limits the time, also between requests and while the peer does not read the answer.
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
