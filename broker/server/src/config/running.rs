//! What of the configuration is for the running broker, and what can be changed in it?

use std::time::Duration;

use engine::{OperatorTokens, Settings};

use super::{Aws, Config, DatabaseUrl, Postgres, tokens};
use crate::http::address::Terms;
use crate::listen::{self, Files};

impl Config {
    /// For the engine.
    pub(crate) fn settings(&self) -> Settings {
        let reconciling = self.aws.as_ref().map(Aws::reconciling);
        Settings {
            heartbeat: self.limits.heartbeat.into(),
            elevations_per_minute: self.limits.elevations_per_minute,
            signing_key_age: Duration::from_secs(u64::from(self.limits.signing_key_days) * 86_400),
            reconciling: reconciling.unwrap_or_else(|| Settings::default().reconciling),
            ..Settings::default()
        }
    }

    /// Whose tokens are accepted.
    pub(crate) fn operators(&self) -> OperatorTokens {
        OperatorTokens {
            operators: tokens::named(&self.operators),
            introspectors: tokens::named(&self.introspectors),
        }
    }

    /// For whoever asks.
    pub(crate) fn terms(&self) -> Terms {
        Terms {
            per_minute: self.limits.requests_per_minute_per_address,
            trusted_proxies: self.limits.trusted_proxies(),
        }
    }

    /// For clients.
    pub(crate) fn admission(&self, files: Files) -> listen::Terms {
        self.limits.admission(files, self.postgres_connections())
    }

    /// Warns if the limit of open files leaves less room for connections than the configuration does.
    pub(crate) fn say_if_files_are_few(&self, files: Files) {
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

    /// The keys in which a new configuration differs so that only a new process can follow.
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

    /// All but that.
    pub(crate) fn take_what_can_change(&mut self, new: Self) {
        self.agents = new.agents;
        self.operators = new.operators;
        self.introspectors = new.introspectors;
        self.limits = new.limits;
        // Between TLS and none there is no way while it runs.
        if self.tls.is_some() && new.tls.is_some() {
            self.tls = new.tls;
        }
    }
}
