//! Tests brokers of different releases on one database.

use domain::AgentStatus;
use futures_util::future::join_all;
use store::Store;
use store::postgres::{IfPending, Migrated, OpenError, Pending, migrate};

use crate::conformance::fixtures::{agent_id, at, ended};
use crate::conformance::{agents, creating, deciding, posture, references, rules, signing_keys};
use crate::fresh::{database, open, server, try_open};

const LATER: &str = "INSERT INTO _sqlx_migrations VALUES (7, 'later', now(), true, '\\x00', 0)";

#[tokio::test]
async fn an_empty_database_is_opened_only_once_it_is_migrated() {
    let (_, place) = database();
    let error = try_open(&place, IfPending::Refuse).await.unwrap_err();
    assert!(matches!(error, OpenError::Pending(Pending { found: 0, expected: 1 })), "{error}");
    assert!(error.hint().contains("cloudanix-jit-broker migrate --config FILE"), "{}", error.hint());
    assert_eq!(migrate(&place).await.unwrap(), Migrated { from: 0, to: 1 });
    assert_eq!(migrate(&place).await.unwrap(), Migrated { from: 1, to: 1 });
    try_open(&place, IfPending::Refuse).await.unwrap().ping().await.unwrap();
}

#[tokio::test]
async fn one_of_many_concurrent_brokers_migrates() {
    let (_, place) = database();
    for opened in join_all((0..6).map(|_| try_open(&place, IfPending::Run))).await {
        opened.unwrap().ping().await.unwrap();
    }
}

/// A newer release has only added columns.
#[tokio::test]
async fn an_older_broker_works_with_newer_tables() {
    let (name, place) = database();
    let running = open(&place).await;
    // On every connection, so that prepared statements meet the new tables.
    join_all((100..130).map(|number| ended(&running, "stock", number))).await;
    agents::an_agent_is_disabled_and_enabled(&running).await;
    for table in [
        "agents",
        "auth_tokens",
        "events",
        "grant_counts",
        "grants",
        "idempotency_keys",
        "shared_object_refs",
        "meta",
        "shared_objects",
        "signing_keys",
        "consumed_oidc_tokens",
        "rule_sets",
        "rules_history",
        "decisions",
        "observed_actions",
        "posture",
    ] {
        server().query(&name, &format!("ALTER TABLE {table} ADD COLUMN later TEXT"));
    }
    server().query(&name, LATER);
    running.ping().await.unwrap();
    let started = try_open(&place, IfPending::Refuse).await.unwrap();
    assert_eq!(migrate(&place).await.unwrap(), Migrated { from: 7, to: 7 });
    let orders = agent_id("orders");
    let off = running.set_agent_status(&orders, AgentStatus::Disabled, at(99)).await.unwrap();
    assert!(off.is_some());
    assert_eq!(running.agents(None, 10).await.unwrap().len(), 1);
    assert!(running.agent(&orders).await.unwrap().is_some());
    running.set_agent_status(&orders, AgentStatus::Active, at(100)).await.unwrap();
    creating::a_new_grant_is_read_back(&started).await;
    references::a_lock_is_exclusive_until_it_is_released(&running).await;
    signing_keys::keys_are_read_back_oldest_first(&started).await;
    posture::any_character_is_a_subject(&started).await;
    rules::the_last_change_is_the_state(&running).await;
    deciding::a_grant_is_decided(&running, "stock", 500).await;
    let over = ended(&running, "stock", 77).await;
    assert!(audit::is_intact(&over.grant.id, &started.events(&over.grant.id).await.unwrap()));
}

#[tokio::test]
async fn a_broker_below_the_minimum_schema_neither_starts_nor_is_ready() {
    let (name, place) = database();
    let running = open(&place).await;
    server().query(&name, LATER);
    server().query(&name, "UPDATE meta SET min_broker_schema = 7");
    let error = try_open(&place, IfPending::Run).await.unwrap_err();
    assert!(matches!(error, OpenError::Newer { needs: 7, expected: 1 }), "{error}");
    assert!(error.hint().contains("newer broker"));
    running.ping().await.unwrap_err();
}
