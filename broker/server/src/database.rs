//! Where is the database, how does one get in, and what if one does not?

use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use store::postgres::{IfPending, Migrated, Opening, PostgresUrl};
use store::{Postgres, Sqlite, Store};

use crate::config::{self, Config, DatabaseUrl};

/// Where the data is.
pub enum Database {
    /// On this machine.
    Sqlite(store::SqlitePath),
    /// On a server, where other brokers may use it too.
    Postgres {
        /// Which.
        place: PostgresUrl,
        /// At most so many connections.
        connections: u32,
        /// What is done about migrations that are pending.
        pending: IfPending,
    },
}

/// As it is configured; reads the file with the password.
pub(crate) fn of(config: &Config) -> anyhow::Result<Database> {
    let place = match config.database()? {
        DatabaseUrl::Sqlite(path) => return Ok(Database::Sqlite(store::SqlitePath::File(path))),
        DatabaseUrl::Postgres(place) => place,
    };
    let how = config.postgres.as_ref();
    let place = match how.and_then(|how| how.password_file.as_deref()) {
        Some(path) => place.with_password(&password(path)?),
        None => place,
    };
    Ok(Database::Postgres {
        place,
        connections: how.map_or_else(|| config::Postgres::default().connections, |how| how.connections),
        pending: match how.is_some_and(|how| how.auto_migrate) {
            true => IfPending::Run,
            false => IfPending::Refuse,
        },
    })
}

/// Opens it, or says what to do about that it cannot be.
pub(crate) async fn open(database: Database) -> anyhow::Result<Arc<dyn Store>> {
    match database {
        Database::Sqlite(place) => {
            let store = Sqlite::open(place).await;
            Ok(Arc::new(store.map_err(|error| advised(error.hint(), error))?))
        }
        Database::Postgres { place, connections, pending } => {
            tracing::info!(database = %place, connections, "PostgreSQL");
            let store = Postgres::open(Opening { place: &place, connections, pending }).await;
            Ok(Arc::new(store.map_err(|error| advised(error.hint(), error))?))
        }
    }
}

/// Brings the tables of a PostgreSQL database up to date.
pub(crate) async fn migrate(place: &PostgresUrl) -> anyhow::Result<Migrated> {
    store::postgres::migrate(place).await.map_err(|error| advised(error.hint(), error))
}

fn advised(hint: &'static str, error: impl std::error::Error + Send + Sync + 'static) -> anyhow::Error {
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
