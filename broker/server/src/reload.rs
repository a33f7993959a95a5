//! What is read again while the broker runs?
//!
//! Everything at a SIGHUP, and by itself what has changed: the files are looked at every few seconds, because where
//! secrets are mounted nobody sends a signal. What is bad is said once, and what was there before stays.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use engine::{Clock, SystemClock};
use sha2::{Digest, Sha256};
use tokio::signal::unix::Signal;

use crate::config::Tls;
use crate::tls::Certificate;

/// How often the files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// How often something was read again that could not be used.
#[derive(Debug, Clone, Default)]
pub struct Failures(Arc<AtomicU64>);

impl Failures {
    pub(crate) fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What is read again.
pub(crate) struct Reload {
    tls: Option<Watched>,
    failures: Failures,
}

/// The certificate in use, and what its files held when they were last read.
struct Watched {
    files: Tls,
    certificate: Certificate,
    seen: Fingerprint,
}

impl Reload {
    pub(crate) fn new(tls: Option<Tls>, certificate: Option<Certificate>, failures: Failures) -> Self {
        let tls = tls.zip(certificate).map(|(files, certificate)| {
            let seen = Fingerprint::of(&paths(&files));
            Watched { files, certificate, seen }
        });
        Self { tls, failures }
    }

    pub(crate) async fn for_ever(mut self, mut hangups: Signal) {
        loop {
            tokio::select! {
                _ = hangups.recv() => {
                    tracing::info!("SIGHUP: everything is read again");
                    self.certificate(Which::All);
                }
                () = tokio::time::sleep(LOOK_EVERY) => self.certificate(Which::Changed),
            }
        }
    }

    fn certificate(&mut self, which: Which) {
        let Some(Watched { files, certificate, seen }) = &mut self.tls else { return };
        // Looked at before it is read: what changes in between is read once more.
        let found = Fingerprint::of(&paths(files));
        if which == Which::Changed && found == *seen {
            return;
        }
        *seen = found;
        if let Err(error) = certificate.exchange(files, SystemClock.now()) {
            self.failures.0.fetch_add(1, Ordering::Relaxed);
            let error = format!("{error:#}");
            tracing::error!(error, "the certificate that was there before stays in use");
        }
    }
}

/// What is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Which {
    All,
    Changed,
}

fn paths(files: &Tls) -> Vec<PathBuf> {
    [&files.certificate, &files.key].into_iter().chain(&files.client_ca).cloned().collect()
}

/// What files hold. Not when they were written: whoever writes twice in one tick of the file system's clock would
/// be half read.
#[derive(PartialEq, Eq)]
struct Fingerprint(Vec<u8>);

impl Fingerprint {
    fn of(paths: &[impl AsRef<Path>]) -> Self {
        let mut all = Sha256::new();
        for path in paths {
            match std::fs::read(path.as_ref()) {
                Ok(held) => all.update(Sha256::digest(&held)),
                Err(error) => all.update(error.kind().to_string()),
            }
        }
        Self(all.finalize().to_vec())
    }
}
