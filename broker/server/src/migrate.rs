//! `migrate --config FILE`: brings the tables up to date, while brokers may work with them.

use std::path::PathBuf;

use store::Sqlite;
use store::postgres;

use crate::config::Config;
use crate::database;
use crate::wiring::Database;

/// Says what was done, on standard output.
pub async fn run(path: PathBuf) -> anyhow::Result<()> {
    match database::of(&Config::read(&path)?)? {
        Database::Sqlite(place) => {
            // Opening it is all that it takes; a broker does the same at every start.
            Sqlite::open(place).await.map_err(|error| {
                let hint = error.hint();
                anyhow::Error::new(error).context(hint)
            })?;
            println!("the database is up to date");
        }
        Database::Postgres { place, .. } => {
            let done = postgres::migrate(&place).await.map_err(|error| {
                let hint = error.hint();
                anyhow::Error::new(error).context(hint)
            })?;
            match done.from == done.to {
                true => println!("{place}: up to date, version {}", done.to),
                false => println!("{place}: from version {} to {}", done.from, done.to),
            }
        }
    }
    Ok(())
}
