//! Who signs certificates here? Private authorities, and what they sign for brokers and their clients.

use std::fs;
use std::path::Path;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    PKCS_ECDSA_P256_SHA256,
};

/// An authority.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// Its own certificate in PEM.
    pub pem: String,
}

/// A certificate and its key.
pub struct Pair {
    /// The certificate in PEM.
    pub certificate: String,
    /// The same as it is sent.
    pub der: Vec<u8>,
    /// The key in PEM.
    pub key: String,
}

impl Authority {
    /// With a key of its own.
    pub fn new(name: &str) -> Self {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// For a broker on this machine.
    pub fn for_a_broker(&self) -> Pair {
        self.sign(ExtendedKeyUsagePurpose::ServerAuth, |_| {})
    }

    /// The same, that was good once.
    pub fn expired(&self) -> Pair {
        self.sign(ExtendedKeyUsagePurpose::ServerAuth, |params| {
            params.not_before = rcgen::date_time_ymd(2001, 1, 1);
            params.not_after = rcgen::date_time_ymd(2002, 1, 1);
        })
    }

    /// For a client.
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
    /// As `tls.pem` and `tls.key`: each appears whole, the key first.
    pub fn put(&self, folder: &Path) {
        put(&folder.join("tls.key"), &self.key);
        put(&folder.join("tls.pem"), &self.certificate);
    }

    /// For a client that shows it.
    pub fn identity(&self) -> reqwest::Identity {
        reqwest::Identity::from_pem(format!("{}{}", self.key, self.certificate).as_bytes()).unwrap()
    }
}

/// A file appears whole, over what was there.
pub fn put(path: &Path, text: &str) {
    let unfinished = path.with_extension("unfinished");
    fs::write(&unfinished, text).unwrap();
    fs::rename(unfinished, path).unwrap();
}
