//! Reloads the configuration, the certificate, the registrations and the rules while the broker runs.
//!
//! At a SIGHUP everything is reloaded. Changed files are also reloaded without a signal, because no process sends one
//! for mounted files: the broker polls them every few seconds. A bad file is logged once and changes nothing.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use engine::{Clock, Engine, SystemClock};
use identity::Http;
use sha2::{Digest, Sha256};
use tokio::signal::unix::Signal;

use crate::config::{Config, NotifyConfig, PeopleConfig, Tls};
use crate::http::observer::Observer;
use crate::http::rate_limit::PerIpLimiter;
use crate::listen::{Admission, Draining, FileLimit};
use crate::registration_folder;
use crate::rules_folder::{self, FolderRefused};
use crate::tls::Certificate;

/// How often the files are polled.
const POLL_INTERVAL: Duration = Duration::from_secs(5);

/// The number of failed reloads.
#[derive(Debug, Clone, Default)]
pub struct Failures(Arc<AtomicU64>);

impl Failures {
    pub(crate) fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    fn increment(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// The files, and the parts of the broker that follow them.
pub(crate) struct Reload {
    pub(crate) path: PathBuf,
    /// The configuration in force.
    pub(crate) config: Config,
    pub(crate) engine: Arc<Engine>,
    pub(crate) per_ip_limiter: Arc<PerIpLimiter>,
    pub(crate) admission: Arc<Admission>,
    pub(crate) files: FileLimit,
    pub(crate) draining: Draining,
    pub(crate) certificate: Option<Certificate>,
    pub(crate) failures: Failures,
    pub(crate) rules_folder_refused: FolderRefused,
    pub(crate) observer: Arc<Observer>,
    pub(crate) oidc_http: Http,
    /// Taken before the first read of the files.
    pub(crate) loaded: Fingerprints,
}

/// Fingerprints of the files at their last reload.
pub(crate) struct Fingerprints {
    config: Fingerprint,
    certificate: Fingerprint,
    agents: Fingerprint,
    rules: Fingerprint,
    countries: Fingerprint,
    people: Fingerprint,
    channels: Fingerprint,
}

/// Which files a reload reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scope {
    All,
    Changed,
}

impl Reload {
    pub(crate) async fn watch(mut self, mut hangups: Signal) {
        loop {
            let scope = tokio::select! {
                _ = hangups.recv() => Scope::All,
                () = tokio::time::sleep(POLL_INTERVAL) => Scope::Changed,
            };
            if scope == Scope::All {
                tracing::info!("SIGHUP: configuration, certificate and agents are read again");
            }
            let scope = self.reload_configuration(scope);
            self.reload_certificate(scope);
            self.apply_agents(scope).await;
            self.apply_rules(scope).await;
            self.reload_countries(scope);
            self.reload_people(scope);
            self.reload_channels(scope);
        }
    }

    /// Reloads the configuration. An error changes nothing. A new configuration may name other files, so all of them are
    /// then reloaded.
    fn reload_configuration(&mut self, scope: Scope) -> Scope {
        // Taken before the file is read, so that a change in between causes another reload.
        let found = Fingerprint::of(&[&self.path]);
        if scope == Scope::Changed && found == self.loaded.config {
            return scope;
        }
        self.loaded.config = found;
        let new = match Config::read(&self.path) {
            Ok(new) => new,
            Err(error) => {
                self.failures.increment();
                let error = format!("{error:#}");
                tracing::error!(error, "the configuration that was there before stays in force");
                return scope;
            }
        };
        for key in self.config.needs_a_restart(&new) {
            tracing::warn!(
                key,
                "changed in the configuration, and needs a restart: the old value stays in force"
            );
        }
        self.config.apply_reloadable(new);
        let sources = self.config.posture_sources();
        self.engine.reconfigure(self.config.settings(), self.config.operators(), sources);
        self.per_ip_limiter.set(self.config.rate_limit());
        self.admission.set(self.config.admission(self.files));
        self.config.warn_if_few_files(self.files);
        self.draining.set_grace(self.config.limits.shutdown_grace());
        tracing::info!(config = %self.path.display(), "configuration read again");
        Scope::All
    }

    fn reload_certificate(&mut self, scope: Scope) {
        let (Some(files), Some(certificate)) = (&self.config.tls, &self.certificate) else { return };
        let found = certificate_files(&self.config);
        if scope == Scope::Changed && found == self.loaded.certificate {
            return;
        }
        self.loaded.certificate = found;
        if let Err(error) = certificate.reload(files, SystemClock.now()) {
            self.failures.increment();
            let error = format!("{error:#}");
            tracing::error!(error, "the certificate that was there before stays in use");
        }
    }

    async fn apply_agents(&mut self, scope: Scope) {
        let Some(folder) = &self.config.agents else {
            self.engine.set_agents_from_files(BTreeSet::new());
            return;
        };
        let found = agent_files(&self.config);
        if scope == Scope::Changed && found == self.loaded.agents {
            return;
        }
        match registration_folder::apply(folder, &self.engine).await {
            Ok(()) => self.loaded.agents = found,
            Err(error) => {
                self.failures.increment();
                if !error.is_transient() {
                    self.loaded.agents = found;
                }
                let error = format!("{:#}", anyhow::Error::new(error));
                tracing::error!(error, "the agents stay as they were");
            }
        }
    }
}

impl Reload {
    async fn apply_rules(&mut self, scope: Scope) {
        let Some(folder) = &self.config.rules.folder else { return };
        let found = rule_files(&self.config);
        if scope == Scope::Changed && found == self.loaded.rules {
            return;
        }
        match rules_folder::apply(folder, &self.engine).await {
            Ok(()) => {
                self.loaded.rules = found;
                self.rules_folder_refused.set(false);
            }
            Err(error) => {
                self.failures.increment();
                if !error.is_transient() {
                    self.loaded.rules = found;
                    self.rules_folder_refused.set(true);
                }
                let error = format!("{:#}", anyhow::Error::new(error));
                tracing::error!(error, "the rules stay as they were");
            }
        }
    }

    fn reload_countries(&mut self, scope: Scope) {
        let found = country_file(&self.config);
        if scope == Scope::Changed && found == self.loaded.countries {
            return;
        }
        self.loaded.countries = found;
        match self.config.observer() {
            Ok(config) => self.observer.set(config),
            Err(error) => {
                self.failures.increment();
                let error = format!("{error:#}");
                tracing::error!(error, "the country database that was there before stays in use");
            }
        }
    }
}

impl Reload {
    fn reload_people(&mut self, scope: Scope) {
        let found = people_files(&self.config);
        if scope == Scope::Changed && found == self.loaded.people {
            return;
        }
        self.loaded.people = found;
        match self.config.people(&self.oidc_http) {
            Ok(people) => self.engine.set_people(people),
            Err(error) => {
                self.failures.increment();
                let error = format!("{error:#}");
                tracing::error!(error, "the sign-in and the rights of persons stay as they were");
            }
        }
    }
}

impl Reload {
    fn reload_channels(&mut self, scope: Scope) {
        let found = channel_files(&self.config);
        if scope == Scope::Changed && found == self.loaded.channels {
            return;
        }
        self.loaded.channels = found;
        match self.config.channels() {
            Ok(channels) => {
                let count = channels.len();
                self.engine.set_channels(channels);
                tracing::info!(channels = count, "channels of notifications read again");
            }
            Err(error) => {
                self.failures.increment();
                let error = format!("{error:#}");
                tracing::error!(error, "the channels of notifications stay as they were");
            }
        }
    }
}

impl Fingerprints {
    pub(crate) fn now(path: &Path, config: &Config) -> Self {
        Self {
            config: Fingerprint::of(&[path]),
            certificate: certificate_files(config),
            agents: agent_files(config),
            rules: rule_files(config),
            countries: country_file(config),
            people: people_files(config),
            channels: channel_files(config),
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
    let files = config.agents.as_deref().map(registration_folder::files);
    Fingerprint::of(&files.and_then(Result::ok).unwrap_or_default())
}

fn rule_files(config: &Config) -> Fingerprint {
    let files = config.rules.folder.as_deref().map(rules_folder::files);
    Fingerprint::of(&files.and_then(Result::ok).unwrap_or_default())
}

fn people_files(config: &Config) -> Fingerprint {
    Fingerprint::of(&config.people.as_ref().map(PeopleConfig::files).unwrap_or_default())
}

fn channel_files(config: &Config) -> Fingerprint {
    Fingerprint::of(&config.notify.values().flat_map(NotifyConfig::files).collect::<Vec<_>>())
}

fn country_file(config: &Config) -> Fingerprint {
    Fingerprint::of(config.rules.country_database.as_slice())
}

/// A hash over the names and contents of files. Modification times are not enough: two writes within one tick of the file
/// system's clock have the same.
#[derive(PartialEq, Eq)]
struct Fingerprint(Vec<u8>);

impl Fingerprint {
    fn of(paths: &[impl AsRef<Path>]) -> Self {
        let mut all = Sha256::new();
        for path in paths {
            all.update(Sha256::digest(path.as_ref().as_os_str().as_encoded_bytes()));
            match std::fs::read(path) {
                Ok(content) => all.update(Sha256::digest(&content)),
                Err(error) => all.update(error.kind().to_string()),
            }
        }
        Self(all.finalize().to_vec())
    }
}
