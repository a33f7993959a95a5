//! The parts of the configuration that can change while the broker runs.

use std::sync::Arc;
use std::time::Duration;

use engine::{OperatorTokens, People, PostureSource, Settings};
use identity::Http;
use notify::Channel;

use super::{Config, DatabaseUrl, Postgres, aws, rules, tokens};
use crate::http::{observer, rate_limit};
use crate::listen::{self, FileLimit};

impl Config {
    /// The settings of the engine.
    pub(crate) fn settings(&self) -> Settings {
        let reconciling = self.aws.as_ref().map(aws::reconciling);
        Settings {
            heartbeat: self.limits.heartbeat.into(),
            elevations_per_minute: self.limits.elevations_per_minute,
            signing_key_age: Duration::from_secs(u64::from(self.limits.signing_key_days) * 86_400),
            keep_decisions: self.rules.keep_decisions(),
            reconciling: reconciling.unwrap_or_else(|| Settings::default().reconciling),
            ..Settings::default()
        }
    }

    /// The tokens of operators and resource servers.
    pub(crate) fn operators(&self) -> OperatorTokens {
        OperatorTokens {
            operators: tokens::named(&self.operators),
            introspectors: tokens::named(&self.introspectors),
        }
    }

    /// The sources of posture.
    pub(crate) fn posture_sources(&self) -> Vec<PostureSource> {
        rules::sources(&self.posture)
    }

    /// How persons sign in, and what they may do; reads the files that `[people]` names.
    pub(crate) fn people(&self, http: &Http) -> anyhow::Result<Option<People>> {
        self.people.as_ref().map(|people| people.read(&self.url, http.clone())).transpose()
    }

    /// Where persons are told of requests that wait; reads the files that `[notify]` names.
    pub(crate) fn channels(&self) -> anyhow::Result<Vec<Channel>> {
        self.notify.iter().map(|(name, channel)| channel.read(name)).collect()
    }

    /// What is observed of requests.
    pub(crate) fn observer(&self) -> anyhow::Result<observer::Config> {
        let countries = self.rules.country_database.as_deref().map(observer::Countries::read).transpose()?;
        let trusted_proxies = self.limits.trusted_proxies();
        Ok(observer::Config { trusted_proxies, countries: countries.map(Arc::new) })
    }

    /// The rate limit by source address.
    pub(crate) fn rate_limit(&self) -> rate_limit::Config {
        rate_limit::Config {
            per_minute: self.limits.requests_per_minute_per_address,
            trusted_proxies: self.limits.trusted_proxies(),
        }
    }

    /// The limits of client connections.
    pub(crate) fn admission(&self, files: FileLimit) -> listen::Config {
        self.limits.admission(files, self.postgres_connections())
    }

    /// Warns if the limit of open files leaves less room for connections than the configuration does.
    pub(crate) fn warn_if_few_files(&self, files: FileLimit) {
        let (wanted, possible) = (self.limits.connections, files.for_clients(self.postgres_connections()));
        if possible < u64::from(wanted) {
            tracing::warn!(
                wanted,
                possible,
                files = files.limit(),
                "`limits.connections` is more than the limit of open files (RLIMIT_NOFILE) leaves room for"
            );
        }
    }

    fn postgres_connections(&self) -> u32 {
        match self.database() {
            Ok(DatabaseUrl::Postgres(_)) => {
                self.postgres.as_ref().map_or(Postgres::default().connections, |it| it.connections)
            }
            Ok(DatabaseUrl::Sqlite(_)) | Err(_) => 0,
        }
    }

    /// The changed keys that need a restart.
    pub(crate) fn needs_a_restart(&self, new: &Self) -> Vec<&'static str> {
        let differs = [
            ("listen", self.listen != new.listen),
            ("url", self.url != new.url),
            ("database", self.database != new.database),
            ("postgres", self.postgres != new.postgres),
            ("oidc_ca_file", self.oidc_ca_file != new.oidc_ca_file),
            ("tls", self.tls.is_some() != new.tls.is_some()),
            ("telemetry", self.telemetry != new.telemetry),
            ("aws", self.aws != new.aws),
        ];
        differs.into_iter().filter_map(|(key, differs)| differs.then_some(key)).collect()
    }

    /// Copies every key that can change without a restart.
    pub(crate) fn apply_reloadable(&mut self, new: Self) {
        self.agents = new.agents;
        self.operators = new.operators;
        self.introspectors = new.introspectors;
        self.limits = new.limits;
        self.rules = new.rules;
        self.posture = new.posture;
        self.people = new.people;
        self.notify = new.notify;
        // TLS cannot be switched on or off without a restart.
        if self.tls.is_some() && new.tls.is_some() {
            self.tls = new.tls;
        }
    }
}
