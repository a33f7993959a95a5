//! What do the tests of what is inside begin with?

use std::time::Duration;

use domain::grant::{Moved, Request};
use domain::{EndCause, Grant, Step, TargetKind};
use protocol::{EnforcedBy, GrantId, IdempotencyKey, Provenance, Timestamp};

use crate::{Guard, Saved, Store, Stored};

/// A request that was accepted, with one step of its own.
pub(crate) fn accepted(number: u64) -> Moved {
    with_a_step(number, false)
}

/// A request that was accepted, with one step that others may have as well.
pub(crate) fn sharing(number: u64) -> Moved {
    with_a_step(number, true)
}

fn with_a_step(number: u64, shared: bool) -> Moved {
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
    };
    let now = Timestamp::from_secs(1000);
    Grant::accepted(request, now, EnforcedBy::Cloud, vec![step], now.plus(Duration::from_secs(30)))
}

/// Gone, as a grant is that nobody went on with.
pub(crate) async fn ended(store: &dyn Store, stored: &mut Stored, last_row_is_known: bool) {
    let now = Timestamp::from_secs(1100);
    let undoing = stored.grant.clone().end(now, EndCause::Abandoned).unwrap();
    let gone = undoing.grant.clone().gone(now, "nothing was there", None).unwrap();
    if !last_row_is_known {
        stored.last_row = None;
    }
    let saved = store.save(stored, &undoing.then(gone), Guard::Version).await.unwrap();
    assert!(matches!(saved, Saved::Done(_)), "{saved:?}");
}
