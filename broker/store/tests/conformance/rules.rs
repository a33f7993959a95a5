//! The rules change one version after another.

use futures_util::future::join_all;
use protocol::rules::{RulesAction, RulesState};
use store::Store;

use super::fixtures::{applied, at, digest, rule_set, rules_changed};

pub(crate) async fn without_a_change_there_are_no_rules(store: &dyn Store) {
    let state = store.rules().await.unwrap();
    assert_eq!((state.version, state.active, state.action), (0, None, RulesAction::None));
    assert!(store.rules_history(None, 10).await.unwrap().is_empty());
    assert!(store.rule_set(&digest(1)).await.unwrap().is_none());
}

pub(crate) async fn the_last_change_is_the_state(store: &dyn Store) {
    assert_eq!(rules_changed(store, 0, 1000).await, 1);
    let second = RulesState {
        candidate: Some(digest(2)),
        rollout: vec!["agent-web-*".to_owned(), "\"".to_owned()],
        action: RulesAction::Rollout,
        ..applied(1, 1001)
    };
    let second = store.change_rules(1, &second, Some(&rule_set(2))).await.unwrap().unwrap();
    assert_eq!(second.version, 2);
    assert_eq!(store.rules().await.unwrap(), second);
    let again = protocol::rules::RuleSetFiles { created_at: at(5000), ..rule_set(1) };
    let third = store.change_rules(2, &applied(1, 1002), Some(&again)).await.unwrap().unwrap();
    assert_eq!(store.rule_set(&digest(1)).await.unwrap(), Some(rule_set(1)), "the first time counts");
    assert_eq!(store.rule_set(&digest(2)).await.unwrap(), Some(rule_set(2)));

    assert_eq!(store.rules_history(None, 2).await.unwrap(), [third, second.clone()]);
    let before = store.rules_history(Some(2), 2).await.unwrap();
    assert_eq!(before, [RulesState { version: 1, ..applied(1, 1000) }]);
}

pub(crate) async fn a_change_needs_the_last_version(store: &dyn Store) {
    for wrong in [1, -1] {
        assert!(store.change_rules(wrong, &applied(1, 1000), Some(&rule_set(1))).await.unwrap().is_none());
    }
    assert!(store.rule_set(&digest(1)).await.unwrap().is_none());
    rules_changed(store, 0, 1000).await;
    assert!(store.change_rules(0, &applied(1, 1001), None).await.unwrap().is_none());
    assert_eq!(store.rules().await.unwrap().version, 1);
}

pub(crate) async fn one_of_many_concurrent_changes_wins(store: &dyn Store) {
    for version in 0..5 {
        let changes = (1..9).map(async |number| {
            store.change_rules(version, &applied(number, 1000), Some(&rule_set(number))).await.unwrap()
        });
        let done: Vec<_> = join_all(changes).await.into_iter().flatten().collect();
        assert_eq!(done.len(), 1);
        assert_eq!(store.rules().await.unwrap(), done[0]);
    }
    assert_eq!(store.rules_history(None, 10).await.unwrap().len(), 5);
}

pub(crate) async fn a_change_to_an_unknown_set_changes_nothing(store: &dyn Store) {
    store.change_rules(0, &applied(7, 1000), None).await.unwrap_err();
    store.change_rules(0, &applied(7, 1000), Some(&rule_set(1))).await.unwrap_err();
    assert_eq!(store.rules().await.unwrap().version, 0);
    assert!(store.rule_set(&digest(1)).await.unwrap().is_none());
    rules_changed(store, 0, 1001).await;
}
