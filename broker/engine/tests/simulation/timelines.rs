//! Checks at the end of a run that every timeline is complete and that every end had a reason.

use protocol::{EventKind, GrantStatus, TimelineEvent};
use store::Store;

use crate::fixture::Fixture;
use crate::ledger::{Entry, SKEW};

pub(crate) async fn check(fixture: &Fixture) {
    for left in fixture.ledger.left_over() {
        fixture.trace.wrong(&format!("at the end, {left} is not as it was before the run"));
    }
    for entry in fixture.ledger.entries() {
        let id = &entry.grant.id;
        let rows = fixture.store.events(id).await.unwrap();
        for row in &rows {
            let at = row.at.as_millis() % 10_000_000;
            fixture.trace.say(&format!("timeline of {id} · {at} {:?} {}", row.kind, row.text));
        }
        if let Err(what) = is_complete(fixture, &entry, &rows) {
            fixture.trace.wrong(&format!("the timeline of {id}: {what}"));
        }
    }
}

fn is_complete(fixture: &Fixture, entry: &Entry, rows: &[TimelineEvent]) -> Result<(), String> {
    let grant = &entry.grant;
    audit::verify(grant, rows).map_err(|broken| broken.to_string())?;
    let mut left = rows.iter();
    for expected in entry.rows() {
        if !left.any(|row| expected.contains(&row.kind)) {
            return Err(format!("no event {expected:?} in order, with the statuses {:?}", entry.stood));
        }
    }
    let told = |kinds: &[EventKind]| rows.iter().filter(|row| kinds.contains(&row.kind)).count();
    if told(&[EventKind::Elevate]) != 1 {
        return Err("not exactly one elevate event".to_owned());
    }
    if !grant.status().is_final() {
        return Err(format!("not final, but {:?}", grant.status()));
    }
    if told(&[EventKind::Revoked, EventKind::Failed]) != 1 {
        return Err("not exactly one final event".to_owned());
    }
    if (grant.status() == GrantStatus::Revoked) != entry.stood.contains(&GrantStatus::Active) {
        return Err(format!("{:?}, after {:?}", grant.status(), entry.stood));
    }
    let reasons = [EventKind::Revoke, EventKind::LeaseLost, EventKind::Expire, EventKind::RollBack];
    let mut ends = rows.iter().filter(|row| reasons.contains(&row.kind));
    match (ends.next(), ends.next()) {
        (Some(reason), None) => has_a_reason(fixture, entry, reason),
        (_, _) => Err("not exactly one reason for the end".to_owned()),
    }
}

/// Checks that no grant ends early: its client sends heartbeats, its deadline is ahead, and it was not revoked.
fn has_a_reason(fixture: &Fixture, entry: &Entry, reason: &TimelineEvent) -> Result<(), String> {
    let patience = domain::Lease::EVERY * domain::Lease::MISSED;
    let kept = match entry.heard {
        Some(heard) => heard.plus(patience),
        None => entry.grant.requested_at,
    };
    let at = reason.at.plus(SKEW);
    let early = (reason.kind == EventKind::Expire && at < entry.grant.expires_at)
        || (reason.kind == EventKind::LeaseLost && at < kept)
        || (reason.kind == EventKind::Revoke && !fixture.ledger.was_asked_for(entry))
        || (reason.kind == EventKind::RollBack && entry.told);
    if early { Err(format!("the grant ends too early: {:?} {}", reason.kind, reason.text)) } else { Ok(()) }
}
