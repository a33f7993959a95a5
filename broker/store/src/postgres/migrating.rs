//! How do the tables get from one release to the next while brokers work with them?
//!
//! Forward only: what is released is never edited, a change is another file. A migration leaves the tables such that
//! the brokers of the release before go on with them; the one that takes away what they need comes a release later and
//! raises `pulse.needs`, and from then on they are not ready and do not start.

use std::borrow::Cow;

use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection, PgConnection, Row};

use super::{OpenError, Pending, Place};
use crate::StoreError;
use crate::columns::Columns;

const MIGRATIONS: &[(i64, &str, &str)] = &[
    (1, "first", include_str!("../../migrations/postgres/0001_first.sql")),
];

/// The version of the tables that this program is made for.
fn known() -> i64 {
    MIGRATIONS.last().map_or(0, |(version, ..)| *version)
}

/// From where to where the tables went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Migrated {
    /// Their version before; 0 for an empty database.
    pub from: i64,
    /// Their version now.
    pub to: i64,
}

/// Brings the tables of this database up to date. Whoever comes second waits for the first.
pub async fn migrate(place: &Place) -> Result<Migrated, OpenError> {
    // No time limit on a statement here: a migration may take its time, and so may the one that is waited for.
    run(place.options().application_name("cloudanix-jit-broker migrate")).await
}

pub(super) async fn run(options: PgConnectOptions) -> Result<Migrated, OpenError> {
    let mut connection =
        options.disable_statement_logging().connect().await.map_err(OpenError::unreachable)?;
    let migrations = MIGRATIONS
        .iter()
        .map(|(version, name, sql)| {
            let sql = sqlx::SqlSafeStr::into_sql_str(*sql);
            Migration::new(*version, Cow::Borrowed(*name), MigrationType::Simple, sql, false)
        })
        .collect();
    let mut migrator = Migrator::with_migrations(migrations);
    // A newer program was here: its tables are not ours to judge.
    migrator.set_ignore_missing(true);
    let from = version(&mut connection).await.map_err(OpenError::unreachable)?;
    let done = migrator.run(&mut connection).await;
    done.map_err(|error| OpenError::NotMigrated(Box::new(error)))?;
    let to = version(&mut connection).await.map_err(OpenError::unreachable)?;
    connection.close().await.map_err(OpenError::unreachable)?;
    Ok(Migrated { from, to })
}

/// What this program can do with the tables as they are.
pub(super) async fn check(connection: &mut PgConnection) -> Result<Option<Pending>, OpenError> {
    let found = version(connection).await.map_err(OpenError::unreachable)?;
    if found < known() {
        return Ok(Some(Pending { found, expected: known() }));
    }
    let needs = sqlx::query("SELECT needs FROM pulse").fetch_one(connection).await;
    let needs: i64 = needs.and_then(|row| row.try_get("needs")).map_err(OpenError::unreachable)?;
    if needs > known() { Err(OpenError::Newer { needs, expected: known() }) } else { Ok(None) }
}

async fn version(connection: &mut PgConnection) -> sqlx::Result<i64> {
    let there: bool = sqlx::query("SELECT to_regclass('_sqlx_migrations') IS NOT NULL AS there")
        .fetch_one(&mut *connection)
        .await?
        .try_get("there")?;
    if !there {
        return Ok(0);
    }
    sqlx::query("SELECT coalesce(max(version), 0) AS version FROM _sqlx_migrations")
        .fetch_one(connection)
        .await?
        .try_get("version")
}

/// The tables have changed under this broker, and it does not know them any more.
#[derive(Debug, thiserror::Error)]
#[error("the tables need a broker that knows version {needs}: this one knows {}", known())]
struct Overtaken {
    needs: i64,
}

pub(super) async fn ping(connection: &mut PgConnection) -> Result<(), StoreError> {
    let row = sqlx::query("UPDATE pulse SET beats = beats + 1 RETURNING needs").fetch_one(connection).await?;
    let needs = row.number("needs")?;
    if needs > known() {
        return Err(StoreError::Unavailable(Box::new(Overtaken { needs })));
    }
    Ok(())
}
