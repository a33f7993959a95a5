//! Can this program work with the database, and with how many connections?

use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection, PgConnection, Row};

use super::pool::{Pool, WAIT};
use super::{Place, migrating};

/// What is opened, and how.
#[derive(Debug, Clone)]
pub struct Opening<'a> {
    /// Where it is.
    pub place: &'a Place,
    /// At most so many connections.
    pub connections: u32,
    /// What is done about migrations that are pending.
    pub pending: IfPending,
}

/// What is done about migrations that are pending.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IfPending {
    /// The database is not opened.
    Refuse,
    /// They are run.
    Run,
}

/// How far the tables are behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pending {
    /// Their version; 0 for an empty database.
    pub found: i64,
    /// The version that this program is made for.
    pub expected: i64,
}

/// The database cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The server cannot be reached, or does not let us in.
    #[error("PostgreSQL cannot be used")]
    Unreachable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// It answers, and only lets us read.
    #[error("the server is a standby, or lets this user only read: expected one that can be written")]
    ReadOnly,
    /// A commit would be answered before it is on disk.
    #[error("`{0}` is off: what was answered could be lost")]
    NotDurable(&'static str),
    /// There are migrations to be run.
    #[error("the database has tables of version {}: expected {}", .0.found, .0.expected)]
    Pending(Pending),
    /// A newer program has changed the tables in a way that this one cannot work with.
    #[error("the database needs a broker that knows its version {needs}: this one knows {expected}")]
    Newer {
        /// What a broker has to know.
        needs: i64,
        /// What this one knows.
        expected: i64,
    },
    /// A migration failed, and was undone.
    #[error("the tables cannot be brought up to date")]
    NotMigrated(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl OpenError {
    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Unreachable(_) => {
                "see whether the server runs, `database` names it, and the password is in PGPASSWORD, PGPASSFILE or \
                 `postgres.password_file`"
            }
            Self::ReadOnly => "name the primary in `database`",
            Self::NotDurable(_) => "switch it on for the server, the database or the user",
            Self::Pending(_) => {
                "run `cloudanix-jit-broker migrate --config FILE`, or set `postgres.auto_migrate = true`"
            }
            Self::Newer { .. } => "start the newer broker, or restore the database from before the upgrade",
            Self::NotMigrated(_) => {
                "nothing was changed; docs/book/src/operate/postgresql.md says what the user has to be allowed"
            }
        }
    }

    pub(super) fn unreachable(error: sqlx::Error) -> Self {
        Self::Unreachable(Box::new(error))
    }
}

/// So that nobody waits for ever: not for a lock whose holder was stopped, not for a server that was.
const LIMITS: [(&str, &str); 4] = [
    ("lock_timeout", "5s"),
    ("statement_timeout", "10s"),
    ("idle_in_transaction_session_timeout", "5s"),
    ("default_transaction_isolation", "read committed"),
];

pub(super) async fn open(opening: Opening<'_>) -> Result<Pool, OpenError> {
    let options = options(opening.place);
    // Not through the pool, which would say that it got no connection and not why.
    let mut first = connect(&options).await?;
    durable(&mut first).await?;
    if let Some(pending) = migrating::check(&mut first).await? {
        match opening.pending {
            IfPending::Refuse => return Err(OpenError::Pending(pending)),
            IfPending::Run => {
                migrating::migrate(opening.place).await?;
                migrating::check(&mut first).await?;
            }
        }
    }
    first.close().await.map_err(OpenError::unreachable)?;
    Pool::new(options, opening.connections).map_err(|error| OpenError::Unreachable(Box::new(error)))
}

fn options(place: &Place) -> PgConnectOptions {
    place.options().application_name("cloudanix-jit-broker").options(LIMITS).disable_statement_logging()
}

async fn connect(options: &PgConnectOptions) -> Result<PgConnection, OpenError> {
    let connected = tokio::time::timeout(WAIT, options.connect()).await;
    let connected = connected.map_err(|elapsed| OpenError::Unreachable(Box::new(elapsed)))?;
    connected.map_err(OpenError::unreachable)
}

/// What a standby says may be old: a token that was revoked would still be good there.
pub(super) async fn writable(connection: &mut PgConnection) -> sqlx::Result<()> {
    if setting(connection, "SHOW transaction_read_only").await? == "on" {
        return Err(sqlx::Error::Configuration(Box::new(OpenError::ReadOnly)));
    }
    Ok(())
}

async fn durable(connection: &mut PgConnection) -> Result<(), OpenError> {
    if setting(connection, "SHOW transaction_read_only").await.map_err(OpenError::unreachable)? == "on" {
        return Err(OpenError::ReadOnly);
    }
    for (name, show) in [("fsync", "SHOW fsync"), ("synchronous_commit", "SHOW synchronous_commit")] {
        if setting(connection, show).await.map_err(OpenError::unreachable)? == "off" {
            return Err(OpenError::NotDurable(name));
        }
    }
    Ok(())
}

async fn setting(connection: &mut PgConnection, show: &'static str) -> sqlx::Result<String> {
    sqlx::query(show).fetch_one(connection).await?.try_get(0)
}
