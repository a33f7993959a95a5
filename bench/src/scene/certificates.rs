//! Whom does a client trust that is measured?

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;

/// A private authority and a certificate of its for loopback; both ECDSA P-256.
pub(super) struct Certificates {
    pub(super) ca: PathBuf,
    pub(super) chain: PathBuf,
    pub(super) key: PathBuf,
}

impl Certificates {
    pub(super) fn make(folder: &Path) -> Result<Self> {
        use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, PKCS_ECDSA_P256_SHA256};
        let key_pair = || KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256);
        let mut authority = CertificateParams::new(Vec::new())?;
        authority.distinguished_name.push(rcgen::DnType::CommonName, "bench authority");
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority_key = key_pair()?;
        let authority_certificate = authority.self_signed(&authority_key)?;
        let key = key_pair()?;
        let certificate = CertificateParams::new(vec!["127.0.0.1".to_owned()])?
            .signed_by(&key, &Issuer::from_params(&authority, &authority_key))?;
        let made = Self {
            ca: folder.join("ca.pem"),
            chain: folder.join("certificate.pem"),
            key: folder.join("key.pem"),
        };
        fs::write(&made.ca, authority_certificate.pem())?;
        fs::write(&made.chain, certificate.pem())?;
        fs::write(&made.key, key.serialize_pem())?;
        Ok(made)
    }
}
