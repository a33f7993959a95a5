//! `migrate --config FILE`: brings the tables up to date, while brokers may work with them.

use std::path::PathBuf;

use crate::config::Config;
use crate::database::{self, Database};

/// Says what was done, on standard output.
pub async fn run(path: PathBuf) -> anyhow::Result<()> {
    match database::of(&Config::read(&path)?)? {
        sqlite @ Database::Sqlite(_) => {
            // Opening it is all that it takes; a broker does the same at every start.
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
