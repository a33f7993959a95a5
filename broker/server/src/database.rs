//! Where is the database, with all that it takes to get in?

use std::path::Path;

use anyhow::Context;
use store::postgres::IfPending;

use crate::config::{self, Config};
use crate::wiring::Database;

/// As it is configured; reads the file with the password.
pub(crate) fn of(config: &Config) -> anyhow::Result<Database> {
    let place = match config.database()? {
        config::Database::Sqlite(path) => return Ok(Database::Sqlite(store::Place::File(path))),
        config::Database::Postgres(place) => place,
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
