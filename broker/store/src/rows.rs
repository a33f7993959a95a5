//! Converts between rows and values.

use std::collections::BTreeMap;
use std::time::Duration;

use domain::{Grant, Lease, ReplayGuard};
use protocol::{AgentId, Denials, GrantId, GrantStatus, IdempotencyKey, Secret, Timestamp};

use crate::chain::LastRow;
use crate::columns::Columns;
use crate::decision_rows;
use crate::error::corrupt;
use crate::replay::bound_to;
use crate::resource_lock::Facts;
use crate::{GrantRecord, Ownership, Precondition, StoreError, StoredKey, StoredToken};

/// From a row with `body`, `version`, `heartbeat_interval`, `last_heartbeat`, `reevaluate_at` and `reevaluation`.
pub(crate) fn grant(row: &impl Columns) -> Result<GrantRecord, StoreError> {
    let grant: Grant = serde_json::from_str(row.text("body")?).map_err(|error| corrupt("a grant", error))?;
    Ok(GrantRecord {
        grant,
        lease: lease(row)?,
        version: row.number("version")?,
        denials: None,
        reevaluation: decision_rows::reevaluation(row)?,
        last_row: None,
    })
}

/// From a row with `seq` and `hash` of the last event too.
pub(crate) fn grant_with_last_row(row: &impl Columns) -> Result<GrantRecord, StoreError> {
    Ok(GrantRecord { last_row: LastRow::read(row)?, ..grant(row)? })
}

/// From a row with `denials` and `denied_at`.
pub(crate) fn denials(row: &impl Columns) -> Result<Option<Denials>, StoreError> {
    let (count, last_at) = (row.maybe_number("denials")?, row.maybe_number("denied_at")?);
    Ok(count.zip(last_at).map(|(count, last_at)| Denials {
        count: count.unsigned_abs(),
        last_at: Timestamp::from_millis(last_at),
    }))
}

/// A grant that was just written, with what the row says of it now.
pub(crate) fn saved(
    row: &impl Columns,
    grant: Grant,
    last_row: Option<LastRow>,
) -> Result<GrantRecord, StoreError> {
    Ok(GrantRecord {
        lease: lease(row)?,
        version: row.number("version")?,
        grant,
        denials: None,
        reevaluation: decision_rows::reevaluation(row)?,
        last_row,
    })
}

fn lease(row: &impl Columns) -> Result<Option<Lease>, StoreError> {
    let (every, last_heartbeat) =
        (row.maybe_number("heartbeat_interval")?, row.maybe_number("last_heartbeat")?);
    Ok(every.zip(last_heartbeat).map(|(every, last_heartbeat)| Lease {
        every: Duration::from_millis(every.unsigned_abs()),
        last_heartbeat: Timestamp::from_millis(last_heartbeat),
    }))
}

/// A lease is bounded, so that arithmetic on it does not overflow.
pub(crate) fn heartbeat_interval(lease: &Lease) -> i64 {
    Timestamp::from_millis(0).plus(lease.every).as_millis()
}

pub(crate) fn lease_expires_at(grant: &Grant, lease: Option<Lease>) -> Option<i64> {
    lease.filter(|_| grant.needs_heartbeats()).map(|lease| lease.expires_at().as_millis())
}

pub(crate) fn body(grant: &Grant) -> Result<String, StoreError> {
    serde_json::to_string(grant).map_err(|error| corrupt("a grant to be stored", error))
}

/// What must still be so for a transition to be saved.
#[derive(Debug)]
pub(crate) struct Expected {
    pub(crate) id: GrantId,
    pub(crate) version: i64,
    pub(crate) status: GrantStatus,
    pub(crate) last_heartbeat: Option<Timestamp>,
    pub(crate) last_row: Option<LastRow>,
}

impl Expected {
    pub(crate) fn of(before: &GrantRecord, guard: Precondition) -> Self {
        let last_heartbeat = match guard {
            Precondition::Version => None,
            Precondition::VersionAndNoHeartbeat => before.lease.map(|lease| lease.last_heartbeat),
        };
        Self {
            id: before.grant.id.clone(),
            version: before.version,
            status: before.grant.status(),
            last_heartbeat,
            last_row: before.last_row.clone(),
        }
    }
}

/// The use of an OIDC token.
pub(crate) struct TokenUse {
    pub(crate) guard: ReplayGuard,
    pub(crate) bound_to: String,
}

impl TokenUse {
    pub(crate) fn of(guard: ReplayGuard, grant: &Grant) -> Self {
        Self::by(guard, &grant.agent_id, grant.key.as_ref())
    }

    pub(crate) fn by(guard: ReplayGuard, agent: &AgentId, key: Option<&IdempotencyKey>) -> Self {
        Self { bound_to: bound_to(&guard, agent, key), guard }
    }
}

/// From a row with `token_id`, `agent_id`, `hash`, `token_created_at` and `expires_at`.
pub(crate) fn token(row: &impl Columns) -> Result<StoredToken, StoreError> {
    Ok(StoredToken {
        id: row.text("token_id")?.to_owned(),
        agent_id: row.text("agent_id")?.parse().map_err(|error| corrupt("an auth token's agent", error))?,
        hash: row.text("hash")?.to_owned(),
        created_at: Timestamp::from_millis(row.number("token_created_at")?),
        expires_at: row.maybe_number("expires_at")?.map(Timestamp::from_millis),
    })
}

/// From a row with `kid`, `private_pem` and `created_at`.
pub(crate) fn signing_key(row: &impl Columns) -> Result<StoredKey, StoreError> {
    Ok(StoredKey {
        kid: row.text("kid")?.to_owned(),
        private_pem: Secret::new(row.text("private_pem")?),
        created_at: Timestamp::from_millis(row.number("created_at")?),
    })
}

const MANAGED: &str = "managed";
const FOREIGN: &str = "foreign";

/// From a row with the columns of `shared_objects`, `others`, `ending_since` and `grant_is_current`.
pub(crate) fn lock_facts(row: &impl Columns) -> Result<Facts, StoreError> {
    let others = row.number("others")?;
    Ok(Facts {
        fencing_token: row.number("fencing_token")?,
        ownership: ownership(row)?,
        delete_may_land_until: row.maybe_number("delete_may_land_until")?.map(Timestamp::from_millis),
        others: u32::try_from(others).map_err(|_| corrupt("the number of references", others))?,
        ending_since: row.maybe_number("ending_since")?.map(Timestamp::from_millis),
        grant_is_current: row.number("grant_is_current")? != 0,
    })
}

fn ownership(row: &impl Columns) -> Result<Ownership, StoreError> {
    match row.maybe_text("ownership")? {
        None => Ok(Ownership::Unknown),
        Some(FOREIGN) => Ok(Ownership::Foreign),
        Some(MANAGED) => Ok(Ownership::Managed {
            write_may_land_until: row.maybe_number("write_may_land_until")?.map(Timestamp::from_millis),
        }),
        Some(found) => Err(corrupt("the ownership of a shared object", format!("`{found}` is unknown"))),
    }
}

/// As the columns `ownership` and `write_may_land_until`.
pub(crate) fn ownership_columns(ownership: Ownership) -> (Option<&'static str>, Option<i64>) {
    match ownership {
        Ownership::Unknown => (None, None),
        Ownership::Foreign => (Some(FOREIGN), None),
        Ownership::Managed { write_may_land_until } => {
            (Some(MANAGED), write_may_land_until.map(Timestamp::as_millis))
        }
    }
}

/// From rows with `status` and `grants`.
pub(crate) fn counts<R: Columns>(rows: &[R]) -> Result<BTreeMap<GrantStatus, u64>, StoreError> {
    let counted = rows.iter().map(|row| {
        let found = row.text("status")?;
        let status = GrantStatus::ALL.iter().copied().find(|status| status.as_str() == found);
        let status = status.ok_or_else(|| corrupt("a grant's status", format!("`{found}` is unknown")))?;
        Ok((status, row.number("grants")?.unsigned_abs()))
    });
    counted.collect()
}

/// Skips grants that cannot be read: one damaged row must not keep every other grant from ending.
pub(crate) fn readable(
    claimed: impl IntoIterator<Item = Result<GrantRecord, StoreError>>,
) -> Vec<GrantRecord> {
    let readable = claimed.into_iter().filter_map(|read| {
        read.inspect_err(|error| tracing::error!(%error, "a grant that is due cannot be read")).ok()
    });
    readable.collect()
}
