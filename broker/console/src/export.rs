//! Lists as files: CSV for spreadsheets, and JSON, one element on a line.

use protocol::agents::Agent;
use protocol::printable::printable;
use protocol::rules::{Flip, RuleSetDigest, RulesState};
use protocol::{Grant, Timestamp};
use serde::Serialize;

use crate::policies;

/// What a list consists of.
pub trait Row: Serialize {
    /// The first line of a CSV file.
    const COLUMNS: &'static [&'static str];

    /// The line of this one.
    fn cells(&self) -> Vec<String>;
}

impl Row for Agent {
    const COLUMNS: &'static [&'static str] = &[
        "id",
        "status",
        "description",
        "use_case",
        "max_session",
        "targets",
        "created_at",
        "updated_at",
        "from_file",
        "tokens",
    ];

    fn cells(&self) -> Vec<String> {
        let tokens: Vec<&str> = self.tokens.iter().map(|token| token.id.as_str()).collect();
        vec![
            self.id.to_string(),
            self.status.as_str().to_owned(),
            printable(&self.description),
            self.use_case.clone(),
            self.max_session.to_string(),
            printable(&self.targets.join(", ")),
            self.created_at.to_string(),
            self.updated_at.to_string(),
            self.from_file.to_string(),
            tokens.join(", "),
        ]
    }
}

impl Row for RulesState {
    const COLUMNS: &'static [&'static str] =
        &["version", "at", "action", "by", "active", "candidate", "rollout"];

    fn cells(&self) -> Vec<String> {
        let digest = |digest: &Option<RuleSetDigest>| digest.as_ref().map(ToString::to_string);
        vec![
            self.version.to_string(),
            self.at.to_string(),
            self.action.as_str().to_owned(),
            printable(&self.by),
            digest(&self.active).unwrap_or_default(),
            digest(&self.candidate).unwrap_or_default(),
            printable(&self.rollout.join(", ")),
        ]
    }
}

impl Row for Flip {
    const COLUMNS: &'static [&'static str] =
        &["agent", "before", "after", "wider", "rules", "decisions", "last_grant"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.agent.to_string(),
            self.before.as_str().to_owned(),
            self.after.as_str().to_owned(),
            self.is_wider().to_string(),
            printable(&self.rules.join(", ")),
            self.count.to_string(),
            self.grant.as_ref().map(ToString::to_string).unwrap_or_default(),
        ]
    }
}

impl Row for Grant {
    const COLUMNS: &'static [&'static str] = &[
        "id",
        "status",
        "agent",
        "policies",
        "requested_at",
        "granted_at",
        "expires_at",
        "ended_at",
        "end_reason",
        "reason",
        "repository",
        "workflow",
        "run",
        "commit",
        "actor",
        "approved_by",
    ];

    fn cells(&self) -> Vec<String> {
        let text = |value: Option<&str>| value.map(printable).unwrap_or_default();
        let time = |at: Option<Timestamp>| at.map(|at| at.to_string()).unwrap_or_default();
        let facts = &self.provenance.signed;
        let approvers = self.approval.iter().flat_map(|approval| &approval.approved_by);
        let approvers: Vec<_> = approvers.map(|given| given.person.shown()).collect();
        vec![
            self.id.to_string(),
            self.status.as_str().to_owned(),
            self.agent_id.to_string(),
            policies(self),
            self.requested_at.to_string(),
            time(self.granted_at),
            self.expires_at.to_string(),
            time(self.ended_at),
            text(self.end_reason.as_deref()),
            text(self.reason.as_deref()),
            text(facts.repository.as_deref()),
            text(facts.workflow.as_deref()),
            text(facts.run.as_deref()),
            text(facts.commit.as_deref()),
            text(facts.actor.as_deref()),
            printable(&approvers.join(", ")),
        ]
    }
}

/// A cell that no spreadsheet takes for a formula.
fn harmless(cell: &str) -> String {
    if cell.starts_with(['=', '+', '-', '@']) { format!("'{cell}") } else { cell.to_owned() }
}

/// CSV (RFC 4180), with the line of the columns if `first`.
pub fn csv<T: Row>(rows: &[T], first: bool) -> Result<Vec<u8>, csv::Error> {
    let mut writer = csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(Vec::new());
    if first {
        writer.write_record(T::COLUMNS)?;
    }
    for row in rows {
        writer.write_record(row.cells().iter().map(|cell| harmless(cell)))?;
    }
    writer.into_inner().map_err(|error| error.into_error().into())
}

/// JSON, one on a line, as the API has it.
pub fn json<T: Row>(rows: &[T]) -> Result<Vec<u8>, serde_json::Error> {
    let mut lines = Vec::new();
    for row in rows {
        serde_json::to_writer(&mut lines, row)?;
        lines.push(b'\n');
    }
    Ok(lines)
}
