//! The broker speaks HTTP/1 only, so HTTP/2 adds no second set of limits.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use reqwest::Certificate;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use system_tests::broker::{Broker, NO_RATE_LIMIT};
use system_tests::certificates::Authority;
use system_tests::http;
use system_tests::waiting::SOON;

use super::flood::Opening;

#[test]
fn http2_by_prior_knowledge_is_refused() {
    let broker = Broker::start();
    let mut stream = TcpStream::connect(broker.url().trim_start_matches("http://")).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    stream.write_all(&Opening::Http2.bytes()).unwrap();
    let mut answer = Vec::new();
    // The connection may end with a reset, because the broker has not read everything.
    let ended = stream.read_to_end(&mut answer).map_err(|error| error.kind());
    assert!(!matches!(ended, Err(std::io::ErrorKind::WouldBlock)), "the connection stays open");
    assert!(!answer.windows(2).any(|frame| frame == [4, 0]), "settings of HTTP/2: {answer:?}");
}

#[test]
fn http2_is_not_offered_behind_tls() {
    let authority = Authority::new("ours");
    let folder = tempfile::tempdir().unwrap();
    authority.for_a_broker().put(folder.path());
    let shown = folder.path().display();
    let tls = format!("{NO_RATE_LIMIT}\n[tls]\ncertificate = \"{shown}/tls.pem\"\nkey = \"{shown}/tls.key\"");
    let root = Certificate::from_pem(authority.pem.as_bytes()).unwrap();
    let broker = Broker::behind_tls(http::client(|builder| builder.tls_certs_only([root])), &tls);
    let negotiated = |offered: &[&str]| {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(authority.pem.as_bytes()).unwrap()).unwrap();
        let mut config =
            ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_root_certificates(roots)
                .with_no_client_auth();
        config.alpn_protocols = offered.iter().map(|name| name.as_bytes().to_vec()).collect();
        let mut stream = TcpStream::connect(broker.url().trim_start_matches("https://")).unwrap();
        let mut tls =
            ClientConnection::new(Arc::new(config), ServerName::try_from("127.0.0.1").unwrap()).unwrap();
        while tls.is_handshaking() {
            if tls.complete_io(&mut stream).is_err() {
                return None;
            }
        }
        tls.alpn_protocol().map(|name| String::from_utf8(name.to_vec()).unwrap())
    };
    assert_eq!(negotiated(&["h2", "http/1.1"]).as_deref(), Some("http/1.1"));
    assert_eq!(negotiated(&["h2"]), None);
}
