//! Makes timelines tamper-evident: a hash chain over each grant's events.
//!
//! Every row of a grant's timeline carries the hash of the row before it, and its own hash over all its other fields.
//! [`verify`] detects a row that was changed, moved or removed (except at the end), and a grant's record that
//! contradicts its rows. It does not detect a chain that was recomputed: nothing outside the database holds a hash of
//! it. Checkpoints over many grants, and delivery to the user's own bucket, belong here and are not built yet: see
//! `docs/book/src/develop/roadmap.md`.

use domain::{DecisionFacts, Grant, NewEvent};
use protocol::{GrantId, TimelineEvent};
use serde_json::Value;
use sha2::{Digest, Sha256};

mod record;

/// Why a stored timeline does not verify.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// A row's hash, its position or its link to the row before is wrong.
    #[error("the hash chain is broken at row {at}: rows were changed, moved or removed")]
    Chain {
        /// Position of the first wrong row, from 1.
        at: usize,
    },
    /// The grant's record, which no hash covers, contradicts the rows.
    #[error("the grant's record and its timeline contradict each other: {what}")]
    Record {
        /// Part of the record that differs: a field, or a required row.
        what: String,
    },
}

/// The `prev_hash` of the first row.
pub const GENESIS: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// Adds sequence numbers and hashes to events that follow the last stored row (its number and hash), if any.
pub fn chain(grant: &GrantId, last: Option<(u32, &str)>, events: &[NewEvent]) -> Vec<TimelineEvent> {
    let (mut seq, mut prev_hash) = last.map_or((0, GENESIS.to_owned()), |(seq, hash)| (seq, hash.to_owned()));
    events
        .iter()
        .map(|event| {
            seq += 1;
            let mut row = TimelineEvent {
                grant_id: grant.clone(),
                seq,
                at: event.at,
                kind: event.kind,
                source: event.source,
                actor: event.actor.clone(),
                text: event.text.clone(),
                data: event.data.clone(),
                prev_hash: std::mem::take(&mut prev_hash),
                hash: String::new(),
            };
            row.hash = hash(&row);
            prev_hash.clone_from(&row.hash);
            row
        })
        .collect()
}

/// Whether a grant's stored rows form an unbroken chain from the first row on.
pub fn is_intact(grant: &GrantId, rows: &[TimelineEvent]) -> bool {
    check_chain(grant, rows).is_ok()
}

/// Verifies a grant's stored rows, and its record against them: agent, policies, ttl, target, reason, provenance,
/// times, deadline enforcement, and state. Record and rows must be read in one transaction.
pub fn verify(grant: &Grant, rows: &[TimelineEvent]) -> Result<(), Broken> {
    check_chain(&grant.id, rows)?;
    record::check(grant, rows)
}

fn check_chain(grant: &GrantId, rows: &[TimelineEvent]) -> Result<(), Broken> {
    let mut prev_hash = GENESIS;
    for (at, row) in (1_usize..).zip(rows) {
        let in_place = usize::try_from(row.seq) == Ok(at) && row.grant_id == *grant;
        if !in_place || row.prev_hash != prev_hash || row.hash != hash(row) {
            return Err(Broken::Chain { at });
        }
        prev_hash = &row.hash;
    }
    if rows.is_empty() { Err(Broken::Chain { at: 1 }) } else { Ok(()) }
}

/// The facts of a decision in canonical JSON, as they are stored: sorted keys, no spaces, each number in its shortest form.
pub fn canonical_facts(facts: &DecisionFacts) -> String {
    let mut value = serde_json::to_value(facts).unwrap_or(Value::Null);
    value.sort_all_objects();
    value.to_string()
}

/// SHA-256 of the facts in canonical JSON, in hexadecimal.
pub fn facts_digest(facts: &DecisionFacts) -> String {
    sha256(&canonical_facts(facts))
}

/// SHA-256 of a text, in hexadecimal.
pub fn sha256(text: &str) -> String {
    format!("{:x}", Sha256::digest(text))
}

/// SHA-256 of the row without `hash`, in canonical JSON (RFC 8785), in hexadecimal. The keys are ASCII and the
/// values strings and small integers, for which serde's sorted maps and shortest forms are the canonical ones.
fn hash(row: &TimelineEvent) -> String {
    let mut value = serde_json::to_value(row).unwrap_or(Value::Null);
    if let Value::Object(fields) = &mut value {
        fields.remove("hash");
        for part in fields.values_mut() {
            if let Value::Object(inner) = part {
                inner.sort_keys();
            }
        }
        fields.sort_keys();
    }
    format!("{:x}", Sha256::digest(value.to_string()))
}

#[cfg(test)]
mod tests {
    use protocol::{EventKind, Timestamp};

    use super::*;

    fn rows() -> Vec<TimelineEvent> {
        let event =
            |secs, kind, text: &str| NewEvent::new(Timestamp::from_secs(secs), kind, text).with("n", secs);
        let first = chain(
            &grant(),
            None,
            &[event(1, EventKind::Elevate, "asked"), event(1, EventKind::PolicyCheck, "fine")],
        );
        let last = first.last().map(|row| (row.seq, row.hash.as_str()));
        let mut rows = first.clone();
        rows.extend(chain(&grant(), last, &[event(2, EventKind::Revoke, "given back")]));
        rows
    }

    fn grant() -> GrantId {
        GrantId::from_random([1; 8])
    }

    #[test]
    fn a_chain_that_was_left_alone_is_intact() {
        assert!(is_intact(&grant(), &rows()));
        assert_eq!(rows().iter().map(|row| row.seq).collect::<Vec<_>>(), [1, 2, 3]);
    }

    #[test]
    fn every_kind_of_change_shows() {
        let changed = |change: fn(&mut Vec<TimelineEvent>)| {
            let mut rows = rows();
            change(&mut rows);
            is_intact(&grant(), &rows)
        };
        assert!(!changed(|rows| rows[1].text = "forged".to_owned()));
        assert!(!changed(|rows| rows[1].at = Timestamp::from_secs(9)));
        assert!(!changed(|rows| rows[0].data.clear()));
        assert!(!changed(|rows| drop(rows.remove(1))));
        assert!(!changed(|rows| drop(rows.remove(0))));
        assert!(!changed(|rows| rows.swap(0, 1)));
        assert!(!changed(Vec::clear));
        assert!(!is_intact(&GrantId::from_random([2; 8]), &rows()));
    }

    /// `printf '%s' '{"at":…}' | sha256sum` over the row's canonical JSON yields the expected hash.
    #[test]
    fn anybody_can_compute_the_hash() {
        let row = &rows()[0];
        let canonical = format!(
            "{{\"at\":\"1970-01-01T00:00:01.000Z\",\"data\":{{\"n\":\"1\"}},\"grant_id\":\"{}\",\"kind\":\"elevate\",\
             \"prev_hash\":\"{GENESIS}\",\"seq\":1,\"source\":\"broker\",\"text\":\"asked\"}}",
            grant()
        );
        let expected: String = Sha256::digest(canonical).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(row.hash, expected);
    }

    /// Facts that were stored and read have the digest that they had.
    #[test]
    fn the_digest_of_facts_is_that_of_their_canonical_text() {
        let text = r#"{"agent":{"groups":[],"id":"agent-a","labels":{},"registration":"","use_case":"other"},"at":"1970-01-01T00:00:01.000Z","identity":{"claims":{"a":{"b":[0.1,1e+300,9007199254740993],"c":null}},"issuer":null,"platform":null,"signed":{},"subject":null,"trust":"oidc"},"local":{},"nonce":"00","observed":{"address":null,"country":null},"posture":{},"request":{"account":null,"heartbeat":false,"policies":[],"scope":"token","target":"token","ttl":"15m"},"run":{"agent_last_hour":0,"agent_live":0,"last_hour":0,"live":0},"version":1}"#;
        let facts: DecisionFacts = serde_json::from_str(text).unwrap();
        assert_eq!(canonical_facts(&facts), text);
        assert_eq!(facts_digest(&facts), sha256(text));
    }
}
