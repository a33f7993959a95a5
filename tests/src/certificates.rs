//! Private authorities, and the certificates that they sign for brokers and their clients.

use std::fs;
use std::path::Path;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    PKCS_ECDSA_P256_SHA256,
};

/// An authority.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// The authority's own certificate in PEM.
    pub pem: String,
}

/// A certificate and its key.
pub struct Pair {
    /// The certificate in PEM.
    pub certificate: String,
    /// The certificate as sent in the handshake.
    pub der: Vec<u8>,
    /// The key in PEM.
    pub key: String,
}

impl Authority {
    /// Creates an authority with a new key.
    pub fn new(name: &str) -> Self {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// Signs a certificate for a broker on this machine.
    pub fn for_a_broker(&self) -> Pair {
        self.sign(ExtendedKeyUsagePurpose::ServerAuth, |_| {})
    }

    /// The same, but expired.
    pub fn expired(&self) -> Pair {
        self.sign(ExtendedKeyUsagePurpose::ServerAuth, |params| {
            params.not_before = rcgen::date_time_ymd(2001, 1, 1);
            params.not_after = rcgen::date_time_ymd(2002, 1, 1);
        })
    }

    /// Signs a certificate for a client.
    pub fn for_a_client(&self) -> Pair {
        self.sign(ExtendedKeyUsagePurpose::ClientAuth, |_| {})
    }

    fn sign(&self, purpose: ExtendedKeyUsagePurpose, change: impl FnOnce(&mut CertificateParams)) -> Pair {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        params.extended_key_usages = vec![purpose];
        change(&mut params);
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let der = certificate.der().to_vec();
        Pair { certificate: certificate.pem(), der, key: key.serialize_pem() }
    }
}

impl Pair {
    /// Writes `tls.pem` and `tls.key`, each atomically, the key first.
    pub fn put(&self, folder: &Path) {
        put(&folder.join("tls.key"), &self.key);
        put(&folder.join("tls.pem"), &self.certificate);
    }

    /// The identity of a client that presents the certificate.
    pub fn identity(&self) -> reqwest::Identity {
        reqwest::Identity::from_pem(format!("{}{}", self.key, self.certificate).as_bytes()).unwrap()
    }
}

/// Replaces a file atomically.
pub fn put(path: &Path, text: &str) {
    let unfinished = path.with_extension("unfinished");
    fs::write(&unfinished, text).unwrap();
    fs::rename(unfinished, path).unwrap();
}
