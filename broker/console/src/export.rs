//! Grants as files: CSV for spreadsheets, and JSON, one grant on a line.

use protocol::Grant;
use protocol::printable::printable;

use crate::policies;

/// The first line of a CSV file.
pub(crate) const COLUMNS: [&str; 16] = [
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

/// The line of a grant.
fn cells(grant: &Grant) -> [String; 16] {
    let text = |value: Option<&str>| value.map(printable).unwrap_or_default();
    let facts = &grant.provenance.signed;
    let approvers = grant.approval.iter().flat_map(|approval| &approval.approved_by);
    let approvers: Vec<_> = approvers.map(|given| given.person.shown()).collect();
    [
        grant.id.to_string(),
        grant.status.as_str().to_owned(),
        grant.agent_id.to_string(),
        policies(grant),
        grant.requested_at.to_string(),
        grant.granted_at.map(|at| at.to_string()).unwrap_or_default(),
        grant.expires_at.to_string(),
        grant.ended_at.map(|at| at.to_string()).unwrap_or_default(),
        text(grant.end_reason.as_deref()),
        text(grant.reason.as_deref()),
        text(facts.repository.as_deref()),
        text(facts.workflow.as_deref()),
        text(facts.run.as_deref()),
        text(facts.commit.as_deref()),
        text(facts.actor.as_deref()),
        printable(&approvers.join(", ")),
    ]
}

/// A cell that no spreadsheet takes for a formula.
fn harmless(cell: &str) -> String {
    if cell.starts_with(['=', '+', '-', '@']) { format!("'{cell}") } else { cell.to_owned() }
}

/// CSV (RFC 4180), with the line of the columns if `first`.
pub fn csv(grants: &[Grant], first: bool) -> Result<Vec<u8>, csv::Error> {
    let mut writer = csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(Vec::new());
    if first {
        writer.write_record(COLUMNS)?;
    }
    for grant in grants {
        writer.write_record(cells(grant).iter().map(|cell| harmless(cell)))?;
    }
    writer.into_inner().map_err(|error| error.into_error().into())
}

/// JSON, one grant on a line, as the API has it.
pub fn json(grants: &[Grant]) -> Result<Vec<u8>, serde_json::Error> {
    let mut lines = Vec::new();
    for grant in grants {
        serde_json::to_writer(&mut lines, grant)?;
        lines.push(b'\n');
    }
    Ok(lines)
}
