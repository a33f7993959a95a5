//! A comparison of two rule sets as text: what differs, agent by agent, and the rules that decided nothing.

use std::fmt::Write as _;

use protocol::printable::printable;
use protocol::rules::{Comparison, Flip};

use super::deciding;

/// Whether the page that was added is the last one. A broker that repeats a page does not keep the command running.
pub(super) fn is_complete(report: &mut Comparison, after: Option<i64>) -> bool {
    report.next = report.next.filter(|next| Some(*next) != after);
    report.next.is_none()
}

/// The decisions with another outcome.
pub(super) fn differ(report: &Comparison) -> u64 {
    report.decisions.saturating_sub(report.same)
}

/// The decisions with a more permissive outcome.
pub(super) fn wider(report: &Comparison) -> u64 {
    report.flips.iter().filter(|flip| flip.is_wider()).map(|flip| flip.count).sum()
}

/// A row for each flip, the rules that were never reached, and the sums.
pub(super) fn text(report: &Comparison) -> String {
    let mut flips: Vec<&Flip> = report.flips.iter().collect();
    flips.sort_by_key(|flip| (&flip.agent, flip.before, flip.after, &flip.rules));
    let rows: Vec<[String; 6]> = flips.into_iter().map(row).collect();
    let mut text = table(&rows);
    let idle: Vec<String> =
        report.rules.iter().filter(|(_, decided)| **decided == 0).map(|(rule, _)| printable(rule)).collect();
    if !idle.is_empty() {
        let _ = writeln!(text, "never reached: {}", idle.join(", "));
    }
    let (decisions, differ, wider) = (report.decisions, differ(report), wider(report));
    let _ = writeln!(text, "{decisions} decisions, {differ} differ ({wider} wider)");
    text
}

fn row(flip: &Flip) -> [String; 6] {
    let example = match &flip.grant {
        Some(grant) => grant.to_string(),
        None => format!("decision {}", flip.example),
    };
    [
        flip.agent.to_string(),
        format!("{} → {}", flip.before.as_str(), flip.after.as_str()).replace('_', " "),
        format!("×{}", flip.count),
        if flip.is_wider() { "wider" } else { "" }.to_owned(),
        printable(&deciding(flip.after, &flip.rules)),
        example,
    ]
}

/// Pads every column but the last, and leaves an empty column out.
fn table(rows: &[[String; 6]]) -> String {
    let widest = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let mut text = String::new();
    for row in rows {
        let cells = row.iter().enumerate().map(|(column, cell)| (cell, widest(column)));
        let padded: Vec<String> =
            cells.filter(|(_, width)| *width > 0).map(|(cell, width)| format!("{cell:<width$}")).collect();
        let _ = writeln!(text, "{}", padded.join("  ").trim_end());
    }
    text
}
