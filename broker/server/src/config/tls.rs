//! `[tls]`: the broker's certificate, and the verification of client certificates.

use std::path::PathBuf;

use serde::Deserialize;

/// The broker's certificate, and the authorities for client certificates.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// The certificate chain in PEM.
    pub certificate: PathBuf,
    /// Its private key in PEM.
    pub key: PathBuf,
    /// The authorities (PEM) for client certificates; without them the broker requests none.
    #[serde(default)]
    pub client_ca: Option<PathBuf>,
    /// Whether clients need a certificate.
    #[serde(default)]
    pub client_certificates: Option<ClientCertificates>,
}

/// Whether clients need a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClientCertificates {
    /// A client without a certificate is refused.
    Required,
    /// A client may connect without a certificate; a certificate that it sends must be valid.
    Optional,
}

impl Tls {
    pub(super) fn check(&self) -> anyhow::Result<()> {
        anyhow::ensure!(
            self.client_certificates.is_none() || self.client_ca.is_some(),
            "`tls.client_certificates`: expected `client_ca` beside it, which says who signs them"
        );
        Ok(())
    }
}
