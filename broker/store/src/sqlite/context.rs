//! Reads what a decision is made from, and checks that it still holds.

use domain::facts::{COUNTED, RunFacts};
use protocol::{AgentId, GrantId, Timestamp};
use sqlx::{QueryBuilder, Sqlite, SqliteConnection};

use crate::context_rows::{self, Seen, since};
use crate::error::corrupt;
use crate::{ContextRequest, DecisionContext, StoreError};

/// The request of a context, with values of its own.
pub(super) struct Wanted {
    agent: AgentId,
    run: Option<String>,
    subjects: Vec<String>,
    except: Option<GrantId>,
    now: Timestamp,
}

impl From<ContextRequest<'_>> for Wanted {
    fn from(request: ContextRequest<'_>) -> Self {
        Self {
            agent: request.agent.clone(),
            run: request.run.map(str::to_owned),
            subjects: request.subjects.to_vec(),
            except: request.except.cloned(),
            now: request.now,
        }
    }
}

/// Which grants are counted.
pub(super) struct Counted<'a> {
    pub(super) agent: &'a AgentId,
    pub(super) run: Option<&'a str>,
    pub(super) except: Option<&'a GrantId>,
    /// When the counts are made.
    pub(super) now: Timestamp,
}

pub(super) const RULES_VERSION: &str = "(SELECT coalesce(max(version), 0) FROM rules_history)";

/// One statement, so that everything is of one moment. Its limits are in the text: SQLite looks at a bound limit when it
/// plans, and would plan the statement again for every decision.
pub(super) fn query(wanted: &Wanted) -> QueryBuilder<Sqlite> {
    let Wanted { agent, run, subjects, except, now } = wanted;
    let counted = Counted { agent, run: run.as_deref(), except: except.as_ref(), now: *now };
    let mut text = QueryBuilder::new("SELECT ");
    text.push(RULES_VERSION).push(" AS rules_version, ");
    push_revision(&mut text, agent);
    text.push(" AS agent_revision, ");
    if counted.run.is_some() {
        push_live(&mut text, &counted, counted.run);
        text.push(" AS live, ");
        push_recent(&mut text, &counted, counted.run);
        text.push(" AS last_hour, ");
    } else {
        text.push("NULL AS live, NULL AS last_hour, ");
    }
    push_live(&mut text, &counted, None);
    text.push(" AS agent_live, ");
    push_recent(&mut text, &counted, None);
    text.push(" AS agent_last_hour, ");
    push_posture_seq(&mut text, subjects);
    text.push(" AS posture_seq, (SELECT json_group_array(json_array(source, subject, ok, as_of, expires_at, received_at))
               FROM posture WHERE subject IN (");
    push_all(&mut text, subjects);
    text.push(") AND expires_at > ").push_bind(now.as_millis()).push(") AS posture");
    text
}

pub(super) async fn read(
    connection: &mut SqliteConnection,
    wanted: Wanted,
) -> Result<DecisionContext, StoreError> {
    let row = query(&wanted).build().fetch_optional(connection).await?;
    let row = row.ok_or_else(|| corrupt("the context of a decision", "found no row"))?;
    context_rows::context(&row, wanted.now, wanted.subjects, |text| text.to_owned())
}

fn push_all(text: &mut QueryBuilder<Sqlite>, subjects: &[String]) {
    let mut list = text.separated(", ");
    for subject in subjects {
        list.push_bind(subject.clone());
    }
}

fn push_revision(text: &mut QueryBuilder<Sqlite>, agent: &AgentId) {
    text.push("(SELECT revision FROM agents WHERE id = ").push_bind(agent.to_string()).push(")");
}

fn push_posture_seq(text: &mut QueryBuilder<Sqlite>, subjects: &[String]) {
    text.push("(SELECT coalesce(max(seq), 0) FROM posture WHERE subject IN (");
    push_all(text, subjects);
    text.push("))");
}

/// Counts live grants of a run, or of the agent.
fn push_live(text: &mut QueryBuilder<Sqlite>, counted: &Counted<'_>, run: Option<&str>) {
    push_grants_of(text, counted, run);
    text.push(" AND status IN ('pending_approval', 'applying', 'active') LIMIT ").push(COUNTED).push("))");
}

/// Counts grants of a run, or of the agent, that were requested in the last hour.
fn push_recent(text: &mut QueryBuilder<Sqlite>, counted: &Counted<'_>, run: Option<&str>) {
    push_grants_of(text, counted, run);
    text.push(" AND requested_at > ").push_bind(since(counted.now));
    text.push(" LIMIT ").push(COUNTED).push("))");
}

fn push_grants_of(text: &mut QueryBuilder<Sqlite>, counted: &Counted<'_>, run: Option<&str>) {
    text.push("(SELECT count(*) FROM (SELECT 1 FROM grants WHERE agent_id = ");
    text.push_bind(counted.agent.to_string());
    if let Some(run) = run {
        text.push(" AND run IN ('', ").push_bind(run.to_owned()).push(")");
    }
    if let Some(except) = counted.except {
        text.push(" AND number IS NOT (SELECT number FROM grants WHERE id = ");
        text.push_bind(except.to_string()).push(")");
    }
}

/// Adds the condition that a decision's context still holds. A grant that has ended since could as well have ended after
/// the decision.
pub(super) fn push_unchanged(text: &mut QueryBuilder<Sqlite>, seen: &Seen, counted: &Counted<'_>) {
    text.push(RULES_VERSION).push(" = ").push_bind(seen.rules_version).push(" AND ");
    push_revision(text, counted.agent);
    text.push(" IS ").push_bind(seen.agent_revision);
    if let Some(RunFacts { live, last_hour, agent_live, agent_last_hour }) = seen.run {
        type Push = fn(&mut QueryBuilder<Sqlite>, &Counted<'_>, Option<&str>);
        let counts: [(Push, Option<&str>, u32); 4] = [
            (push_live, counted.run, live),
            (push_recent, counted.run, last_hour),
            (push_live, None, agent_live),
            (push_recent, None, agent_last_hour),
        ];
        for (push, run, count) in counts {
            text.push(" AND ");
            push(text, counted, run);
            text.push(" <= ").push_bind(count);
        }
    }
    if let Some((subjects, posture_seq)) = &seen.posture {
        text.push(" AND ");
        push_posture_seq(text, subjects);
        text.push(" = ").push_bind(*posture_seq);
    }
}
