//! Migrates the schema while brokers of the release before use it.
//!
//! Forward only: a released file is never edited, a change is another file. Brokers of the release before must work
//! with the migrated tables. A migration that removes what they need comes one release later and raises
//! `meta.min_broker_schema`: from then on they are not ready and do not start.

use std::borrow::Cow;

use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection, PgConnection, Row};

use super::{OpenError, Pending, PostgresUrl};
use crate::StoreError;
use crate::columns::Columns;

const MIGRATIONS: &[(i64, &str, &str)] =
    &[(1, "first", include_str!("../../migrations/postgres/0001_first.sql"))];

/// The schema version that this broker is made for.
fn known() -> i64 {
    MIGRATIONS.last().map_or(0, |(version, ..)| *version)
}

/// The schema versions before and after.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Migrated {
    /// 0 for an empty database.
    pub from: i64,
    pub to: i64,
}

/// Runs pending migrations. A second broker waits for the first.
pub async fn migrate(place: &PostgresUrl) -> Result<Migrated, OpenError> {
    // Without a statement timeout: a migration may take long, and so may the wait for another broker's.
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
    // The schema of a newer broker is not checked against this one's files.
    migrator.set_ignore_missing(true);
    let from = version(&mut connection).await.map_err(OpenError::unreachable)?;
    let done = migrator.run(&mut connection).await;
    done.map_err(|error| OpenError::NotMigrated(Box::new(error)))?;
    let to = version(&mut connection).await.map_err(OpenError::unreachable)?;
    connection.close().await.map_err(OpenError::unreachable)?;
    Ok(Migrated { from, to })
}

/// Finds out whether this broker can use the schema.
pub(super) async fn check(connection: &mut PgConnection) -> Result<Option<Pending>, OpenError> {
    let found = version(connection).await.map_err(OpenError::unreachable)?;
    if found < known() {
        return Ok(Some(Pending { found, expected: known() }));
    }
    let needs = sqlx::query("SELECT min_broker_schema FROM meta").fetch_one(connection).await;
    let needs: i64 =
        needs.and_then(|row| row.try_get("min_broker_schema")).map_err(OpenError::unreachable)?;
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

/// A newer broker migrated the schema while this one was running.
#[derive(Debug, thiserror::Error)]
#[error("the tables need a broker that knows version {needs}: this one knows {}", known())]
struct Overtaken {
    needs: i64,
}

pub(super) async fn ping(connection: &mut PgConnection) -> Result<(), StoreError> {
    let row = sqlx::query("UPDATE meta SET write_probe = write_probe + 1 RETURNING min_broker_schema")
        .fetch_one(connection)
        .await?;
    let needs = row.number("min_broker_schema")?;
    if needs > known() {
        return Err(StoreError::Unavailable(Box::new(Overtaken { needs })));
    }
    Ok(())
}
