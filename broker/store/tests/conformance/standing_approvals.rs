//! Standing approvals.

use domain::facts::PolicyFacts;
use domain::{Sensitivity, StandingApproval, TargetKind};
use futures_util::future::join_all;
use protocol::{GrantId, StandingApprovalId};
use store::Store;

use super::fixtures::{KEPT, at, session};

fn standing(number: u8, agent: &str, until: i64) -> StandingApproval {
    let policy = PolicyFacts {
        name: "orders-read".parse().unwrap(),
        sensitivity: Sensitivity::Normal,
        digest: "d".repeat(64),
    };
    StandingApproval {
        id: StandingApprovalId::from_bits([number; 8]),
        session: session("alice"),
        agent_id: agent.parse().unwrap(),
        target: TargetKind::Token,
        account: None,
        scope: "token".parse().unwrap(),
        policies: vec![policy],
        git_ref: Some("refs/heads/main \0 \u{1f4e6}".to_owned()),
        because: Some("release day".to_owned()),
        uses: 3,
        used_for: Vec::new(),
        created_at: at(1000),
        until: at(until),
        revoked: false,
    }
}

pub(crate) async fn standing_approvals_are_listed_by_agent_until_they_end(store: &dyn Store) {
    let (soon, late, other) =
        (standing(1, "deployer", 2000), standing(2, "deployer", 3000), standing(3, "other", 2500));
    for new in [&late, &soon, &other] {
        store.add_standing_approval(new).await.unwrap();
    }
    let deployer = "deployer".parse().unwrap();
    let listed = async |agent, now| store.standing_approvals(agent, at(now)).await.unwrap();
    assert_eq!(listed(Some(&deployer), 1999).await, [soon.clone(), late.clone()]);
    assert_eq!(listed(Some(&deployer), 2000).await, std::slice::from_ref(&late));
    assert_eq!(listed(None, 1999).await, [soon.clone(), other.clone(), late.clone()]);
    let revoked = StandingApproval { revoked: true, ..late.clone() };
    assert!(store.change_standing_approval(&late, &revoked).await.unwrap());
    assert_eq!(listed(Some(&deployer), 2000).await, []);
    assert_eq!(store.standing_approval(&late.id).await.unwrap(), Some(revoked));
    assert_eq!(store.standing_approval(&soon.id).await.unwrap(), Some(soon), "also after its end");
    assert_eq!(store.standing_approval(&StandingApprovalId::from_bits([9; 8])).await.unwrap(), None);
}

pub(crate) async fn no_use_of_a_standing_approval_is_lost(store: &dyn Store) {
    let new = standing(1, "deployer", 2000);
    store.add_standing_approval(&new).await.unwrap();
    let grants: Vec<GrantId> = (1..=8).map(|number| GrantId::from_random([number; 8])).collect();
    let using = grants.iter().map(async |grant| {
        loop {
            let before = store.standing_approval(&new.id).await.unwrap().unwrap();
            let Some(after) = before.use_for(grant) else { return false };
            if store.change_standing_approval(&before, &after).await.unwrap() {
                return true;
            }
        }
    });
    let used = join_all(using).await.into_iter().filter(|used| *used).count();
    let stored = store.standing_approval(&new.id).await.unwrap().unwrap();
    assert_eq!((used, stored.used_for.len()), (3, 3));
    assert!(!store.change_standing_approval(&new, &new).await.unwrap(), "it is not as it was before");
}

pub(crate) async fn a_standing_approval_is_forgotten_a_day_after_its_end(store: &dyn Store) {
    let new = standing(1, "deployer", 2000);
    store.add_standing_approval(&new).await.unwrap();
    let a_day_later = 2000 + 24 * 60 * 60;
    store.purge(at(a_day_later - 1), KEPT).await.unwrap();
    assert_eq!(store.standing_approval(&new.id).await.unwrap(), Some(new.clone()));
    store.purge(at(a_day_later), KEPT).await.unwrap();
    assert_eq!(store.standing_approval(&new.id).await.unwrap(), None);
}
