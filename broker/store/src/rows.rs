//! What do the columns say, and what is written into them?

use std::collections::BTreeMap;
use std::time::Duration;

use domain::{Grant, Lease, ReplayGuard, State};
use protocol::{AgentId, Denials, GrantId, GrantStatus, IdempotencyKey, Secret, Timestamp};

use crate::chain::LastRow;
use crate::columns::Columns;
use crate::faults::corrupt;
use crate::replay::bound_to;
use crate::{Guard, Hold, StoreError, Stored, StoredKey, StoredToken, To, Whose};

/// From a row with `body`, `version`, `beat_every` and `last_beat`.
pub(crate) fn grant(row: &impl Columns) -> Result<Stored, StoreError> {
    let grant: Grant = serde_json::from_str(row.text("body")?).map_err(|error| corrupt("a grant", error))?;
    Ok(Stored { grant, lease: lease(row)?, version: row.number("version")?, denials: None, last_row: None })
}

/// From a row that has `seq` and `hash` of the last row too.
pub(crate) fn grant_with_last_row(row: &impl Columns) -> Result<Stored, StoreError> {
    Ok(Stored { last_row: LastRow::read(row)?, ..grant(row)? })
}

/// From a row with `denials` and `denied_at`: how often a request was refused.
pub(crate) fn denials(row: &impl Columns) -> Result<Option<Denials>, StoreError> {
    let (count, last_at) = (row.maybe_number("denials")?, row.maybe_number("denied_at")?);
    Ok(count.zip(last_at).map(|(count, last_at)| Denials {
        count: count.unsigned_abs(),
        last_at: Timestamp::from_millis(last_at),
    }))
}

/// A grant that was just written, from what the row says of it now.
pub(crate) fn saved(
    row: &impl Columns,
    grant: Grant,
    last_row: Option<LastRow>,
) -> Result<Stored, StoreError> {
    Ok(Stored { lease: lease(row)?, version: row.number("version")?, grant, denials: None, last_row })
}

fn lease(row: &impl Columns) -> Result<Option<Lease>, StoreError> {
    let (every, last_beat) = (row.maybe_number("beat_every")?, row.maybe_number("last_beat")?);
    Ok(every.zip(last_beat).map(|(every, last_beat)| Lease {
        every: Duration::from_millis(every.unsigned_abs()),
        last_beat: Timestamp::from_millis(last_beat),
    }))
}

/// As a column. No lease is longer than time itself, so that arithmetic on it does not overflow.
pub(crate) fn beat_every(lease: &Lease) -> i64 {
    Timestamp::from_millis(0).plus(lease.every).as_millis()
}

/// As a column. Only an active grant needs its holder.
pub(crate) fn silent_at(grant: &Grant, lease: Option<Lease>) -> Option<i64> {
    let active = matches!(grant.state, State::Active { .. });
    lease.filter(|_| active).map(|lease| lease.silent_at().as_millis())
}

/// As a column: the whole grant.
pub(crate) fn body(grant: &Grant) -> Result<String, StoreError> {
    serde_json::to_string(grant).map_err(|error| corrupt("a grant to be stored", error))
}

/// When the intents are closed: the change that is told of here is done, or undone.
pub(crate) fn intents_closed_at(state: &State) -> Option<Timestamp> {
    match state {
        State::Active { granted_at } => Some(*granted_at),
        State::Failed { ended_at, .. } => Some(*ended_at),
        State::Denied { .. }
        | State::Applying { .. }
        | State::RollingBack { .. }
        | State::Ending(_)
        | State::Revoked { .. } => None,
    }
}

/// What must still be so for a change to be made.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) id: GrantId,
    pub(crate) version: i64,
    pub(crate) status: GrantStatus,
    pub(crate) last_beat: Option<Timestamp>,
    pub(crate) last_row: Option<LastRow>,
}

impl Seen {
    pub(crate) fn of(before: &Stored, guard: Guard) -> Self {
        let last_beat = match guard {
            Guard::Version => None,
            Guard::VersionAndSilence => before.lease.map(|lease| lease.last_beat),
        };
        Self {
            id: before.grant.id.clone(),
            version: before.version,
            status: before.grant.status(),
            last_beat,
            last_row: before.last_row.clone(),
        }
    }
}

/// The use of a token, and for what.
pub(crate) struct Use {
    pub(crate) guard: ReplayGuard,
    pub(crate) bound_to: String,
}

impl Use {
    /// Of this token for this grant.
    pub(crate) fn of(guard: ReplayGuard, grant: &Grant) -> Self {
        Self::by(guard, &grant.agent_id, grant.key.as_ref())
    }

    /// Of this token by this agent for the request with this key.
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

const OURS: &str = "ours";
const FOREIGN: &str = "foreign";

/// From a row with `fence`, `whose`, `ours_until`, `may_go_until`, `others` and `lasts`, of an object that is held until
/// then. If it `is_certain` what is done with it, that was written down with the hold.
pub(crate) fn hold(
    row: &impl Columns,
    object: String,
    until: Timestamp,
    to: To,
    is_certain: bool,
) -> Result<Hold, StoreError> {
    let others = row.number("others")?;
    Ok(Hold {
        object,
        fence: row.number("fence")?,
        whose: match to {
            To::Give { .. } if is_certain => Whose::Ours { until: None },
            To::Give { .. } | To::TakeBack { .. } | To::Look => whose(row)?,
        },
        may_go_until: row.maybe_number("may_go_until")?.map(Timestamp::from_millis),
        others: u32::try_from(others).map_err(|_| corrupt("how many grants need an object", others))?,
        lasts: row.number("lasts")? != 0,
        goes: is_certain && matches!(to, To::TakeBack { .. }),
        until,
    })
}

fn whose(row: &impl Columns) -> Result<Whose, StoreError> {
    match row.maybe_text("whose")? {
        None => Ok(Whose::Unknown),
        Some(FOREIGN) => Ok(Whose::Foreign),
        Some(OURS) => Ok(Whose::Ours { until: row.maybe_number("ours_until")?.map(Timestamp::from_millis) }),
        Some(found) => Err(corrupt("whose a shared object is", format!("`{found}` is unknown"))),
    }
}

/// As the columns `whose` and `ours_until`.
pub(crate) fn whose_columns(whose: Whose) -> (Option<&'static str>, Option<i64>) {
    match whose {
        Whose::Unknown => (None, None),
        Whose::Foreign => (Some(FOREIGN), None),
        Whose::Ours { until } => (Some(OURS), until.map(Timestamp::as_millis)),
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

/// What can be read of what was claimed: one damaged row must not keep every other grant from ending.
pub(crate) fn readable(claimed: impl IntoIterator<Item = Result<Stored, StoreError>>) -> Vec<Stored> {
    let readable = claimed.into_iter().filter_map(|read| {
        read.inspect_err(|error| tracing::error!(%error, "a grant that is due cannot be read")).ok()
    });
    readable.collect()
}
