//! `[tls]`: which certificate does the broker have, and must its clients have one?

use std::path::PathBuf;

use serde::Deserialize;

/// The broker's own certificate, and who signs those of its clients.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// The certificate chain in PEM.
    pub certificate: PathBuf,
    /// Its private key in PEM.
    pub key: PathBuf,
    /// The authorities (PEM) that sign the certificates of clients; without them nobody is asked for one.
    #[serde(default)]
    pub client_ca: Option<PathBuf>,
    /// Whether a client has to have one.
    #[serde(default)]
    pub client_certificates: Option<ClientCertificates>,
}

/// Whether a client has to have a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClientCertificates {
    /// Without one there is no connection.
    Required,
    /// It may do without; one that it shows has to be good.
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
