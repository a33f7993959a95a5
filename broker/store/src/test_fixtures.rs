//! Builds the grants that the store's unit tests begin with.

use std::time::Duration;

use domain::grant::{Request, Transition};
use domain::{EndCause, Grant, Step, TargetKind};
use protocol::{EnforcedBy, GrantId, IdempotencyKey, Provenance, Timestamp};

use crate::{GrantRecord, Precondition, SaveOutcome, Store};

/// An accepted request with a step on an object of its own.
pub(crate) fn accepted(number: u64) -> Transition {
    with_a_step(number, false)
}

/// An accepted request with a step on a shared object.
pub(crate) fn sharing(number: u64) -> Transition {
    with_a_step(number, true)
}

fn with_a_step(number: u64, shared: bool) -> Transition {
    let id = GrantId::from_random(number.to_be_bytes());
    let step = Step {
        action: "issue-token".to_owned(),
        object: id.to_string(),
        data: domain::StepData::default(),
        shared,
    };
    let request = Request {
        id,
        agent_id: "orders".parse().unwrap(),
        key: IdempotencyKey::from_random(u128::from(number).to_be_bytes()),
        request_hash: "aa".to_owned(),
        policies: Vec::new(),
        target: TargetKind::Token,
        scope: TargetKind::Token.into(),
        ttl: "15m".parse().unwrap(),
        reason: None,
        provenance: Provenance::default(),
        run: None,
        break_glass: None,
    };
    let now = Timestamp::from_secs(1000);
    Grant::accepted(request, now, EnforcedBy::Cloud, vec![step], now.plus(Duration::from_secs(30)))
}

/// Ends a grant whose driver stopped.
pub(crate) async fn ended(store: &dyn Store, stored: &mut GrantRecord, last_row_is_known: bool) {
    let now = Timestamp::from_secs(1100);
    let undoing = stored.grant.clone().end(now, EndCause::Abandoned).unwrap();
    let gone = undoing.grant.clone().gone(now, "nothing was there", None).unwrap();
    if !last_row_is_known {
        stored.last_row = None;
    }
    let saved = store.save(stored, &undoing.then(gone), Precondition::Version, None).await.unwrap();
    assert!(matches!(saved, SaveOutcome::Done(_)), "{saved:?}");
}
