//! The broker's TLS certificate, which can be replaced while the broker runs.
//!
//! A new connection gets the newest valid pair of certificate and key, and keeps it.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use anyhow::Context;
use arc_swap::ArcSwap;
use protocol::Timestamp;
use rustls::RootCertStore;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoClientAuth, ServerConfig, WebPkiClientVerifier};
use x509_cert::der::Decode;

use crate::config::{ClientCertificates, Tls};

/// The protocol that ALPN offers, see docs/adr/0021-speak-http-1-only.md.
const PROTOCOL: &[u8] = b"http/1.1";

/// The certificate for new connections.
#[derive(Clone)]
pub struct Certificate {
    current: Arc<ArcSwap<ServerConfig>>,
    not_after: Arc<AtomicI64>,
}

/// A certificate with its key, and the authorities for client certificates.
struct Pair {
    config: ServerConfig,
    info: CertificateInfo,
}

/// Facts about a certificate, for the log and metrics.
struct CertificateInfo {
    serial: String,
    not_after: Timestamp,
}

impl Certificate {
    /// Reads the files at start. An expired certificate does not prevent the start: the broker can still revoke grants.
    pub fn read(files: &Tls, now: Timestamp) -> anyhow::Result<Self> {
        let pair = Pair::read(files)?;
        if pair.info.not_after <= now {
            tracing::error!(
                certificate = %files.certificate.display(),
                serial = pair.info.serial,
                "the certificate has expired: clients will refuse it until there is a new one"
            );
        }
        let not_after = Arc::new(AtomicI64::new(pair.info.not_after.as_millis()));
        Ok(Self { current: Arc::new(ArcSwap::from_pointee(pair.config)), not_after })
    }

    /// Reads the files again. An error changes nothing.
    pub fn reload(&self, files: &Tls, now: Timestamp) -> anyhow::Result<()> {
        let pair = Pair::read(files)?;
        anyhow::ensure!(
            pair.info.not_after > now,
            "`tls.certificate`: expected one that has not expired in `{}`, found serial {}",
            files.certificate.display(),
            pair.info.serial
        );
        self.current.store(Arc::new(pair.config));
        self.not_after.store(pair.info.not_after.as_millis(), Ordering::Relaxed);
        tracing::info!(serial = pair.info.serial, "new connections get the certificate that was read");
        Ok(())
    }

    /// When the certificate expires.
    pub(crate) fn not_after(&self) -> Timestamp {
        Timestamp::from_millis(self.not_after.load(Ordering::Relaxed))
    }

    pub(crate) fn current(&self) -> Arc<ServerConfig> {
        self.current.load_full()
    }
}

impl Pair {
    fn read(files: &Tls) -> anyhow::Result<Self> {
        let chain = certificates("tls.certificate", &files.certificate)?;
        let shown = files.key.display();
        // The parser's message may contain the key.
        let key = PrivateKeyDer::from_pem_slice(&read("tls.key", &files.key)?).map_err(|_| {
            anyhow::anyhow!("`tls.key`: expected a private key (PEM) in `{shown}`, found none")
        })?;
        let info = CertificateInfo::of(chain.first()).with_context(|| {
            format!("`tls.certificate`: cannot understand the first in `{}`", files.certificate.display())
        })?;
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_client_cert_verifier(verifier(files)?)
            .with_single_cert(chain, key)
            .with_context(|| {
                format!(
                    "`tls`: cannot use the certificate `{}` with the key `{shown}`",
                    files.certificate.display()
                )
            })?;
        config.alpn_protocols = vec![PROTOCOL.to_vec()];
        Ok(Self { config, info })
    }
}

impl CertificateInfo {
    fn of(certificate: Option<&CertificateDer<'_>>) -> anyhow::Result<Self> {
        let certificate = certificate.context("there is none")?;
        let tbs = x509_cert::Certificate::from_der(certificate)?.tbs_certificate;
        let serial: String = tbs.serial_number.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        let not_after = i64::try_from(tbs.validity.not_after.to_unix_duration().as_secs())?;
        Ok(Self { serial, not_after: Timestamp::from_secs(not_after) })
    }
}

/// Verifies client certificates, if the configuration names authorities.
fn verifier(files: &Tls) -> anyhow::Result<Arc<dyn ClientCertVerifier>> {
    let Some(path) = &files.client_ca else { return Ok(Arc::new(NoClientAuth)) };
    let shown = path.display();
    let mut authorities = RootCertStore::empty();
    for authority in certificates("tls.client_ca", path)? {
        authorities
            .add(authority)
            .with_context(|| format!("`tls.client_ca`: cannot use a certificate in `{shown}`"))?;
    }
    let builder = WebPkiClientVerifier::builder_with_provider(
        Arc::new(authorities),
        Arc::new(ring::default_provider()),
    );
    let builder = match files.client_certificates.unwrap_or(ClientCertificates::Required) {
        ClientCertificates::Required => builder,
        ClientCertificates::Optional => builder.allow_unauthenticated(),
    };
    builder.build().with_context(|| format!("`tls.client_ca`: cannot use `{shown}`"))
}

/// Reads at least one certificate.
fn certificates(key: &str, path: &Path) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let shown = path.display();
    let found: Vec<_> =
        CertificateDer::pem_slice_iter(&read(key, path)?).collect::<Result<_, _>>().map_err(|_| {
            anyhow::anyhow!("`{key}`: expected certificates (PEM) in `{shown}`, found something broken")
        })?;
    anyhow::ensure!(!found.is_empty(), "`{key}`: expected certificates (PEM) in `{shown}`, found none");
    Ok(found)
}

fn read(key: &str, path: &Path) -> anyhow::Result<Vec<u8>> {
    std::fs::read(path).with_context(|| format!("`{key}`: cannot read `{}`", path.display()))
}
