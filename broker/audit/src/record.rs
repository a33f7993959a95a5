//! Checks that a grant's record agrees with its timeline.
//!
//! The API answers with the record, which no hash covers. The check compares each part of the record with the row of
//! the transition that wrote it.

use std::collections::BTreeMap;

use domain::break_glass::{BreakGlassStep, next_review};
use domain::grant::ApprovalStep;
use domain::{EndCause, Grant, State};
use protocol::{Actor, EventKind, TimelineEvent, Timestamp};

use crate::Broken;

pub(crate) fn check(grant: &Grant, rows: &[TimelineEvent]) -> Result<(), Broken> {
    let Some(first) = rows.first() else { return contradicts("there is no first row") };
    check_request(grant, first)?;
    check_approval(grant, rows)?;
    check_review(grant, rows)?;
    // The time of an approved grant begins when its run collects it.
    let begins = rows
        .iter()
        .find(|row| step(row) == Some(ApprovalStep::Collected))
        .map_or(grant.requested_at, |row| row.at);
    if grant.expires_at != begins.plus(grant.ttl.into()) {
        return contradicts("`expires_at` is not the beginning and `ttl`");
    }
    let enforced_by = rows.iter().rev().find_map(|row| row.data.get("enforced_by"));
    if enforced_by.is_some_and(|told| told != grant.enforced_by.as_str()) {
        return contradicts("`enforced_by`");
    }
    check_state(&grant.state, &Rows(rows))
}

fn contradicts<T>(what: impl Into<String>) -> Result<T, Broken> {
    Err(Broken::Record { what: what.into() })
}

fn check_request(grant: &Grant, first: &TimelineEvent) -> Result<(), Broken> {
    let mut asked = grant.request_event();
    // Older rows lack these two fields.
    if !first.data.contains_key("trust") {
        asked.data.remove("trust");
        asked.data.remove("platform");
    }
    if first.kind != asked.kind || first.source != asked.source {
        return contradicts("the first row is no request");
    }
    if first.at != asked.at {
        return contradicts("`requested_at`");
    }
    if first.actor != asked.actor {
        return contradicts("`break_glass.by`");
    }
    if let Some(name) = difference(&asked.data, &first.data) {
        return contradicts(format!("`{name}`"));
    }
    // The data also holds everything else in the text, and was compared above.
    if first.text != asked.text { contradicts("`agent_id`") } else { Ok(()) }
}

/// Who approved stands on the timeline, after the row that asked last.
fn check_approval(grant: &Grant, rows: &[TimelineEvent]) -> Result<(), Broken> {
    let asks =
        |row: &TimelineEvent| matches!(step(row), Some(ApprovalStep::Required | ApprovalStep::RequiredAgain));
    let asked = rows.iter().rposition(asks).and_then(|at| rows.get(at..)?.split_first());
    let (approval, row, later) = match (&grant.approval, asked) {
        (None, None) => return Ok(()),
        (Some(approval), Some((row, later))) => (approval, row, later),
        (None, Some(_)) | (Some(_), None) => return contradicts("`approval`"),
    };
    let told = |name: &str| row.data.get(name).map(String::as_str);
    if told("digest") != Some(&approval.subject.digest)
        || told("quorum") != Some(approval.quorum.to_string().as_str())
    {
        return contradicts("`approval.digest` or `approval.quorum`");
    }
    let given = later
        .iter()
        .filter(|row| step(row) == Some(ApprovalStep::Given))
        .map(|row| (row.actor.clone(), row.at));
    let recorded =
        approval.votes.iter().map(|vote| (Some(Actor::Person(vote.session.person.clone())), vote.at));
    if !given.eq(recorded) {
        return contradicts("`approval.approved_by`");
    }
    let approved =
        approval.is_given() || later.iter().any(|row| step(row) == Some(ApprovalStep::NotRequired));
    let needs = match &grant.state {
        State::Waiting(waiting) => waiting.approved_at.is_some(),
        State::Denied { .. } => false,
        State::Applying { .. }
        | State::RollingBack { .. }
        | State::Failed { .. }
        | State::Active { .. }
        | State::Ending(_)
        | State::Revoked { .. } => true,
    };
    if needs && !approved { contradicts("`status`, for it was not approved") } else { Ok(()) }
}

/// The review of a grant that was taken by break-glass, and until when it has to be reviewed.
fn check_review(grant: &Grant, rows: &[TimelineEvent]) -> Result<(), Broken> {
    let said = |row: &TimelineEvent| BreakGlassStep::of(&row.data);
    let asks = |row: &&TimelineEvent| {
        matches!(said(row), Some(BreakGlassStep::Requested | BreakGlassStep::ReviewOverdue))
    };
    let until = rows.iter().rfind(asks).map(|row| next_review(row.at));
    if until != grant.break_glass.as_ref().map(|taken| taken.review_until) {
        return contradicts("`break_glass.review_until`");
    }
    let told = rows.iter().find(|row| said(row) == Some(BreakGlassStep::Reviewed));
    let told = told.map(|row| (row.actor.as_ref(), row.at, row.data.get("note").map(String::as_str)));
    let review = grant.break_glass.as_ref().and_then(|taken| taken.review.as_ref());
    let recorded = review.map(|review| (Some(&review.by), review.at, Some(review.note.as_str())));
    if told == recorded { Ok(()) } else { contradicts("`break_glass.review`") }
}

fn step(row: &TimelineEvent) -> Option<ApprovalStep> {
    ApprovalStep::of(&row.data)
}

/// The first key for which two maps differ.
fn difference<'a>(
    one: &'a BTreeMap<String, String>,
    other: &'a BTreeMap<String, String>,
) -> Option<&'a String> {
    let names = one.keys().chain(other.keys());
    names.into_iter().find(|name| one.get(*name) != other.get(*name))
}

fn check_state(state: &State, rows: &Rows<'_>) -> Result<(), Broken> {
    if !matches!(state, State::Denied { .. }) {
        rows.none_of(&[EventKind::Denied])?;
    }
    match state {
        State::Denied { why, ended_at } => {
            rows.was(EventKind::Denied, "end_reason", |row| row.text == *why)?;
            rows.was(EventKind::Denied, "ended_at", |row| row.at == *ended_at)?;
            rows.never_became_active()?;
            rows.was_not_ending()
        }
        State::Waiting(_) | State::Applying { .. } => {
            rows.never_became_active()?;
            rows.was_not_ending()
        }
        State::Active { granted_at } => {
            rows.became_active(*granted_at)?;
            rows.was_not_ending()
        }
        State::RollingBack { cause, .. } => {
            rows.never_became_active()?;
            rows.ended_for(cause)?;
            rows.is_not_gone()
        }
        State::Failed { cause, ended_at } => {
            rows.never_became_active()?;
            rows.ended_for(cause)?;
            rows.was(EventKind::Failed, "ended_at", |row| row.at == *ended_at)
        }
        State::Ending(ending) => {
            rows.became_active(ending.granted_at)?;
            rows.ended_for(&ending.cause)?;
            rows.is_not_gone()
        }
        State::Revoked { granted_at, cause, ended_at } => {
            rows.became_active(*granted_at)?;
            rows.ended_for(cause)?;
            rows.was(EventKind::Revoked, "ended_at", |row| row.at == *ended_at)
        }
    }
}

const ENDING: [EventKind; 4] =
    [EventKind::Revoke, EventKind::Expire, EventKind::LeaseLost, EventKind::RollBack];
const GONE: [EventKind; 2] = [EventKind::Failed, EventKind::Revoked];

struct Rows<'r>(&'r [TimelineEvent]);

impl Rows<'_> {
    /// The last row of this kind exists and agrees with the record's field.
    fn was(
        &self,
        kind: EventKind,
        field: &str,
        as_said: impl Fn(&TimelineEvent) -> bool,
    ) -> Result<(), Broken> {
        match self.0.iter().rfind(|row| row.kind == kind) {
            None => contradicts(format!("`status` needs a row `{}`", kind.as_str())),
            Some(row) if !as_said(row) => contradicts(format!("`{field}`")),
            Some(_) => Ok(()),
        }
    }

    fn became_active(&self, granted_at: Timestamp) -> Result<(), Broken> {
        match self.activation() {
            None => contradicts("`status`, for no row says that the grant became active"),
            Some(row) if row.at != granted_at => contradicts("`granted_at`"),
            Some(_) => Ok(()),
        }
    }

    fn never_became_active(&self) -> Result<(), Broken> {
        match self.activation() {
            Some(_) => contradicts("`status`, for a row says that the grant became active"),
            None => Ok(()),
        }
    }

    fn activation(&self) -> Option<&TimelineEvent> {
        let is_active =
            |row: &&TimelineEvent| row.data.get("status").is_some_and(|status| status == "active");
        self.0.iter().filter(|row| row.kind == EventKind::Target).find(is_active)
    }

    fn ended_for(&self, cause: &EndCause) -> Result<(), Broken> {
        self.was(cause.kind(), "end_reason", |row| {
            row.source == cause.source()
                && row.actor.as_ref() == cause.by()
                && row.text.starts_with(&cause.in_words())
        })
    }

    fn was_not_ending(&self) -> Result<(), Broken> {
        self.none_of(&ENDING)?;
        self.is_not_gone()
    }

    fn is_not_gone(&self) -> Result<(), Broken> {
        self.none_of(&GONE)
    }

    fn none_of(&self, kinds: &[EventKind]) -> Result<(), Broken> {
        match self.0.iter().find(|row| kinds.contains(&row.kind)) {
            Some(row) => contradicts(format!("`status`, for there is a row `{}`", row.kind.as_str())),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
#[path = "record_tests.rs"]
mod tests;
