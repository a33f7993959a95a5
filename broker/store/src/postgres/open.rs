//! Opens a database: checks durability and schema, and builds the pool.

use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection, PgConnection, Row};

use super::pool::Pool;
use super::{PostgresUrl, migrate};

#[derive(Debug, Clone)]
pub struct Opening<'a> {
    pub place: &'a PostgresUrl,
    /// The size of the pool.
    pub connections: u32,
    /// How long to wait for a connection: [`WAIT`](super::WAIT) in a broker.
    pub wait: Duration,
    pub pending: IfPending,
}

/// What to do about pending migrations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IfPending {
    /// Do not open the database.
    Refuse,
    /// Run them.
    Run,
}

/// The schema is older than this broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pending {
    /// The version of the schema; 0 for an empty database.
    pub found: i64,
    /// The version that this broker is made for.
    pub expected: i64,
}

/// Why the database cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The server cannot be reached, or refuses the login.
    #[error("PostgreSQL cannot be used")]
    Unreachable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The server is a standby, or the user may only read.
    #[error("the server is a standby, or lets this user only read: expected one that can be written")]
    ReadOnly,
    /// A commit would be answered before it is on disk.
    #[error("`{0}` is off: what was answered could be lost")]
    NotDurable(&'static str),
    #[error("the database has tables of version {}: expected {}", .0.found, .0.expected)]
    Pending(Pending),
    /// The schema is too new for this broker.
    #[error("the database needs a broker that knows its version {needs}: this one knows {expected}")]
    Newer {
        /// The version that a broker must support.
        needs: i64,
        /// The version that this broker supports.
        expected: i64,
    },
    /// A migration failed and was rolled back.
    #[error("the tables cannot be brought up to date")]
    NotMigrated(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl OpenError {
    /// What the operator can do about it.
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

/// No statement waits forever: neither for a lock nor for a server that was stopped.
const LIMITS: [(&str, &str); 4] = [
    ("lock_timeout", "5s"),
    ("statement_timeout", "10s"),
    ("idle_in_transaction_session_timeout", "5s"),
    ("default_transaction_isolation", "read committed"),
];

pub(super) async fn open(opening: Opening<'_>) -> Result<Pool, OpenError> {
    let options = options(opening.place);
    // A connection outside the pool, whose errors do not say why a connection failed.
    let mut first = connect(&options, opening.wait).await?;
    durable(&mut first).await?;
    if let Some(pending) = migrate::check(&mut first).await? {
        match opening.pending {
            IfPending::Refuse => return Err(OpenError::Pending(pending)),
            IfPending::Run => {
                migrate::migrate(opening.place).await?;
                migrate::check(&mut first).await?;
            }
        }
    }
    first.close().await.map_err(OpenError::unreachable)?;
    Pool::new(options, opening.connections, opening.wait)
        .map_err(|error| OpenError::Unreachable(Box::new(error)))
}

fn options(place: &PostgresUrl) -> PgConnectOptions {
    place.options().application_name("cloudanix-jit-broker").options(LIMITS).disable_statement_logging()
}

async fn connect(options: &PgConnectOptions, wait: Duration) -> Result<PgConnection, OpenError> {
    let connected = tokio::time::timeout(wait, options.connect()).await;
    let connected = connected.map_err(|elapsed| OpenError::Unreachable(Box::new(elapsed)))?;
    connected.map_err(OpenError::unreachable)
}

/// Reads on a standby may be old: a revoked token would still be accepted.
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
