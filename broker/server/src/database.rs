//! Opens and migrates the configured database.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use store::postgres::{IfPending, Migrated, Opening, PostgresUrl, WAIT};
use store::{Postgres, Sqlite, Store};

use crate::config::{self, Config, DatabaseUrl};

/// The database to open.
pub enum Database {
    /// A SQLite file on this machine.
    Sqlite(store::SqlitePath),
    /// A PostgreSQL database, which several brokers can share.
    Postgres {
        place: PostgresUrl,
        /// The limit of connections.
        connections: u32,
        /// Whether pending migrations run.
        pending: IfPending,
    },
}

/// The configured database. Reads the password file.
pub(crate) fn of(config: &Config) -> anyhow::Result<Database> {
    let place = match config.database()? {
        DatabaseUrl::Sqlite(path) => return Ok(Database::Sqlite(store::SqlitePath::File(path))),
        DatabaseUrl::Postgres(place) => place,
    };
    let options = config.postgres.as_ref();
    let place = match options.and_then(|options| options.password_file.as_deref()) {
        Some(path) => place.with_password(&password(path)?),
        None => place,
    };
    Ok(Database::Postgres {
        place,
        connections: options
            .map_or_else(|| config::Postgres::default().connections, |options| options.connections),
        pending: match options.is_some_and(|options| options.auto_migrate) {
            true => IfPending::Run,
            false => IfPending::Refuse,
        },
    })
}

/// Opens the database. An error carries a hint.
pub(crate) async fn open(database: Database) -> anyhow::Result<Arc<dyn Store>> {
    match database {
        Database::Sqlite(place) => {
            let store = Sqlite::open(place).await;
            Ok(Arc::new(store.map_err(|error| with_hint(error.hint(), error))?))
        }
        Database::Postgres { place, connections, pending } => {
            tracing::info!(database = %place, connections, "PostgreSQL");
            let opening = Opening { place: &place, connections, wait: WAIT, pending };
            let store = Postgres::open(opening).await;
            Ok(Arc::new(store.map_err(|error| with_hint(error.hint(), error))?))
        }
    }
}

/// Runs the pending migrations of a PostgreSQL database.
pub(crate) async fn migrate(place: &PostgresUrl) -> anyhow::Result<Migrated> {
    store::postgres::migrate(place).await.map_err(|error| with_hint(error.hint(), error))
}

fn with_hint(hint: &'static str, error: impl std::error::Error + Send + Sync + 'static) -> anyhow::Error {
    anyhow::Error::new(error).context(hint)
}

fn password(path: &Path) -> anyhow::Result<String> {
    let shown = path.display();
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("`postgres.password_file`: cannot read `{shown}`"))?;
    let password = text.trim_end_matches(['\r', '\n']);
    anyhow::ensure!(
        !password.is_empty(),
        "`postgres.password_file`: expected a password in `{shown}`, found none"
    );
    Ok(password.to_owned())
}
