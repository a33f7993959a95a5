//! What is read again while the broker runs?
//!
//! Everything at a SIGHUP, and by itself what has changed: the files are looked at every few seconds, because where
//! files are mounted nobody sends a signal. What is bad is said once, and what was there before stays.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use engine::{Clock, Engine, SystemClock};
use sha2::{Digest, Sha256};
use tokio::signal::unix::Signal;

use crate::agents;
use crate::config::{Config, Tls};
use crate::http::address::Addresses;
use crate::listen::{Admission, Draining, Files};
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

    fn one_more(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// What is read again, and what becomes of it.
pub(crate) struct Reload {
    pub(crate) path: PathBuf,
    /// As the file was when it was last good.
    pub(crate) config: Config,
    pub(crate) engine: Arc<Engine>,
    pub(crate) addresses: Arc<Addresses>,
    pub(crate) admission: Arc<Admission>,
    pub(crate) files: Files,
    pub(crate) draining: Draining,
    pub(crate) certificate: Option<Certificate>,
    pub(crate) failures: Failures,
    /// Looked at before anything was read for the first time.
    pub(crate) seen: Seen,
}

/// What the files held when they were last read.
pub(crate) struct Seen {
    config: Fingerprint,
    certificate: Fingerprint,
    agents: Fingerprint,
}

/// What is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Which {
    All,
    Changed,
}

impl Reload {
    pub(crate) async fn for_ever(mut self, mut hangups: Signal) {
        loop {
            let which = tokio::select! {
                _ = hangups.recv() => Which::All,
                () = tokio::time::sleep(LOOK_EVERY) => Which::Changed,
            };
            if which == Which::All {
                tracing::info!("SIGHUP: configuration, certificate and agents are read again");
            }
            let which = self.configuration(which);
            self.exchange_certificate(which);
            self.apply_agents(which).await;
        }
    }

    /// A file with an error changes nothing. A new one may name other files: those are all read then.
    fn configuration(&mut self, which: Which) -> Which {
        // Looked at before it is read: what changes in between is read once more.
        let found = Fingerprint::of(&[&self.path]);
        if which == Which::Changed && found == self.seen.config {
            return which;
        }
        self.seen.config = found;
        let new = match Config::read(&self.path) {
            Ok(new) => new,
            Err(error) => {
                self.failures.one_more();
                let error = format!("{error:#}");
                tracing::error!(error, "the configuration that was there before stays in force");
                return which;
            }
        };
        for key in self.config.needs_a_restart(&new) {
            tracing::warn!(
                key,
                "changed in the configuration, and needs a restart: the old value stays in force"
            );
        }
        self.config.take_what_can_change(new);
        self.engine.reconfigure(self.config.settings(), self.config.operators());
        self.addresses.set(self.config.terms());
        self.admission.set(self.config.admission(self.files));
        self.config.say_if_files_are_few(self.files);
        self.draining.set_grace(self.config.limits.shutdown_grace());
        tracing::info!(config = %self.path.display(), "configuration read again");
        Which::All
    }

    fn exchange_certificate(&mut self, which: Which) {
        let (Some(files), Some(certificate)) = (&self.config.tls, &self.certificate) else { return };
        let found = certificate_files(&self.config);
        if which == Which::Changed && found == self.seen.certificate {
            return;
        }
        self.seen.certificate = found;
        if let Err(error) = certificate.exchange(files, SystemClock.now()) {
            self.failures.one_more();
            let error = format!("{error:#}");
            tracing::error!(error, "the certificate that was there before stays in use");
        }
    }

    async fn apply_agents(&mut self, which: Which) {
        let Some(folder) = &self.config.agents else { return };
        let found = agent_files(&self.config);
        if which == Which::Changed && found == self.seen.agents {
            return;
        }
        match agents::apply(folder, &self.engine).await {
            Ok(()) => self.seen.agents = found,
            Err(error) => {
                self.failures.one_more();
                if !error.may_pass() {
                    self.seen.agents = found;
                }
                let error = format!("{:#}", anyhow::Error::new(error));
                tracing::error!(error, "the agents stay as they were");
            }
        }
    }
}

impl Seen {
    pub(crate) fn now(path: &Path, config: &Config) -> Self {
        Self {
            config: Fingerprint::of(&[path]),
            certificate: certificate_files(config),
            agents: agent_files(config),
        }
    }
}

fn certificate_files(config: &Config) -> Fingerprint {
    let files = |tls: &Tls| {
        [&tls.certificate, &tls.key].into_iter().chain(&tls.client_ca).cloned().collect::<Vec<_>>()
    };
    Fingerprint::of(&config.tls.as_ref().map(files).unwrap_or_default())
}

fn agent_files(config: &Config) -> Fingerprint {
    let files = config.agents.as_deref().map(agents::files);
    Fingerprint::of(&files.and_then(Result::ok).unwrap_or_default())
}

/// What files are called and hold. Not when they were written: whoever writes twice in one tick of the file system's
/// clock would be half read.
#[derive(PartialEq, Eq)]
struct Fingerprint(Vec<u8>);

impl Fingerprint {
    fn of(paths: &[impl AsRef<Path>]) -> Self {
        let mut all = Sha256::new();
        for path in paths {
            all.update(Sha256::digest(path.as_ref().as_os_str().as_encoded_bytes()));
            match std::fs::read(path) {
                Ok(held) => all.update(Sha256::digest(&held)),
                Err(error) => all.update(error.kind().to_string()),
            }
        }
        Self(all.finalize().to_vec())
    }
}
