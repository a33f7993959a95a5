//! `migrate --config FILE`: runs pending migrations, while brokers may use the database.

use std::path::PathBuf;

use crate::config::Config;
use crate::database::{self, Database};

/// Migrates the database, and prints the result.
pub async fn run(path: PathBuf) -> anyhow::Result<()> {
    match database::of(&Config::read(&path)?)? {
        sqlite @ Database::Sqlite(_) => {
            // Opening a SQLite database runs its migrations.
            database::open(sqlite).await?;
            println!("the database is up to date");
        }
        Database::Postgres { place, .. } => {
            let done = database::migrate(&place).await?;
            match done.from == done.to {
                true => println!("{place}: up to date, version {}", done.to),
                false => println!("{place}: from version {} to {}", done.from, done.to),
            }
        }
    }
    Ok(())
}
