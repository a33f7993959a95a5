//! Converts the context of a decision between rows and values.

use std::time::Duration;

use domain::facts::RunFacts;
use protocol::Timestamp;

use crate::columns::Columns;
use crate::error::corrupt;
use crate::{DecisionContext, NewDecision, PostureStatement, StoreError, StoredPosture};

/// Grants that were requested after this are of the last hour.
pub(crate) fn since(now: Timestamp) -> i64 {
    now.minus(Duration::from_secs(60 * 60)).as_millis()
}

/// The part of a context that must still hold when the grant is created.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) at: Timestamp,
    pub(crate) rules_version: i64,
    pub(crate) agent_revision: Option<i64>,
    /// Some if the counts are checked.
    pub(crate) run: Option<RunFacts>,
    /// The subjects and the newest change, if posture is checked.
    pub(crate) posture: Option<(Vec<String>, i64)>,
}

impl Seen {
    pub(crate) fn of(new: &NewDecision<'_>) -> Self {
        let context = new.context;
        Self {
            at: context.at,
            rules_version: context.rules_version,
            agent_revision: context.agent_revision,
            run: new.check_run.then_some(context.run),
            posture: new.check_posture.then(|| (context.subjects.clone(), context.posture_seq)),
        }
    }
}

type PostureRow = (String, String, i64, i64, i64, i64);

/// From a row with `rules_version`, `agent_revision`, the four counts, `posture_seq`, and `posture` in JSON.
pub(crate) fn context(
    row: &impl Columns,
    at: Timestamp,
    subjects: Vec<String>,
    unescape: fn(&str) -> String,
) -> Result<DecisionContext, StoreError> {
    let count = |found: i64| u32::try_from(found).map_err(|_| corrupt("a number of grants", found));
    let agent_live = count(row.number("agent_live")?)?;
    let agent_last_hour = count(row.number("agent_last_hour")?)?;
    // Null without a known run.
    let of_run = |name, of_agent| row.maybe_number(name)?.map_or(Ok(of_agent), count);
    let posture: Vec<PostureRow> = serde_json::from_str(row.text("posture")?)
        .map_err(|error| corrupt("posture for a decision", error))?;
    let mut posture: Vec<_> = posture
        .into_iter()
        .map(|(source, subject, ok, as_of, expires_at, received_at)| StoredPosture {
            statement: PostureStatement {
                source,
                subject: unescape(&subject),
                ok: ok != 0,
                as_of: Timestamp::from_millis(as_of),
                expires_at: Timestamp::from_millis(expires_at),
            },
            received_at: Timestamp::from_millis(received_at),
        })
        .collect();
    posture.sort_by(|one, other| {
        let key =
            |posture: &StoredPosture| (posture.statement.source.clone(), posture.statement.subject.clone());
        key(one).cmp(&key(other))
    });
    Ok(DecisionContext {
        at,
        rules_version: row.number("rules_version")?,
        agent_revision: row.maybe_number("agent_revision")?,
        run: RunFacts {
            live: of_run("live", agent_live)?,
            last_hour: of_run("last_hour", agent_last_hour)?,
            agent_live,
            agent_last_hour,
        },
        subjects,
        posture,
        posture_seq: row.number("posture_seq")?,
    })
}

/// From a row with the columns of `posture`. The caller reads the subject.
pub(crate) fn posture(row: &impl Columns, subject: String) -> Result<StoredPosture, StoreError> {
    Ok(StoredPosture {
        statement: PostureStatement {
            source: row.text("source")?.to_owned(),
            subject,
            ok: row.number("ok")? != 0,
            as_of: Timestamp::from_millis(row.number("as_of")?),
            expires_at: Timestamp::from_millis(row.number("expires_at")?),
        },
        received_at: Timestamp::from_millis(row.number("received_at")?),
    })
}
