//! Tests which databases are opened, and how the others are refused.

use store::Store;
use store::postgres::{IfPending, OpenError, PostgresUrl, migrate};

use crate::conformance::fixtures::{KEPT, at, ended};
use crate::conformance::{deciding, posture, purging, rules, signing_keys};
use crate::fresh::{database, open, server, try_open};

async fn refusal(place: &PostgresUrl) -> OpenError {
    try_open(place, IfPending::Refuse).await.unwrap_err()
}

#[tokio::test]
async fn a_refused_login_names_the_password_sources_and_no_password() {
    let (name, _) = database();
    let place = PostgresUrl::parse(&server().url(&name)).unwrap().with_password("a-wrong-password");
    let error = refusal(&place).await;
    assert!(matches!(error, OpenError::Unreachable(_)), "{error}");
    let source = std::error::Error::source(&error).unwrap();
    assert!(source.to_string().contains("password authentication failed"), "{source}");
    assert!(error.hint().contains("PGPASSFILE"));
    assert!(!format!("{error:?} {place:?} {place}").contains("a-wrong-password"));
}

#[tokio::test]
async fn an_unreachable_server_fails_at_once() {
    let place = PostgresUrl::parse("postgres://jit@127.0.0.1:1/jit").unwrap();
    let error = refusal(&place).await;
    assert!(matches!(error, OpenError::Unreachable(_)), "{error}");
}

#[tokio::test]
async fn read_only_and_non_durable_databases_are_refused() {
    let (name, place) = database();
    migrate(&place).await.unwrap();
    server().query("postgres", &format!("ALTER DATABASE {name} SET default_transaction_read_only = on"));
    assert!(matches!(refusal(&place).await, OpenError::ReadOnly));
    server().query("postgres", &format!("ALTER DATABASE {name} RESET ALL"));
    server().query("postgres", &format!("ALTER DATABASE {name} SET synchronous_commit = off"));
    assert!(matches!(refusal(&place).await, OpenError::NotDurable("synchronous_commit")));
}

/// One user owns the tables, and the broker's user may only read and write their rows.
#[tokio::test]
async fn a_broker_needs_no_privilege_to_change_tables() {
    let (name, _) = database();
    for statement in [
        format!("CREATE ROLE owner_{name} LOGIN PASSWORD 'for-the-tables'"),
        format!("CREATE ROLE broker_{name} LOGIN PASSWORD 'for-the-broker'"),
        format!("ALTER DATABASE {name} SET search_path = jit"),
    ] {
        server().query("postgres", &statement);
    }
    let schema = format!(
        "CREATE SCHEMA jit AUTHORIZATION owner_{name}; GRANT USAGE ON SCHEMA jit TO broker_{name};
         ALTER DEFAULT PRIVILEGES FOR ROLE owner_{name} IN SCHEMA jit
             GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO broker_{name};"
    );
    server().query(&name, &schema);
    let as_user = |role: &str, password: &str| {
        let url = server().url(&name).replace("postgres@", &format!("{role}_{name}@"));
        PostgresUrl::parse(&url).unwrap().with_password(password)
    };
    migrate(&as_user("owner", "for-the-tables")).await.unwrap();
    let store = try_open(&as_user("broker", "for-the-broker"), IfPending::Refuse).await.unwrap();
    ended(&store, "stock", 77).await;
    purging::expired_rows_are_purged_and_no_others(&store).await;
    signing_keys::the_newest_key_is_never_removed(&store).await;
    rules::the_last_change_is_the_state(&store).await;
    posture::any_character_is_a_subject(&store).await;
    deciding::a_grant_is_decided(&store, "stock", 500).await;
}

#[tokio::test]
async fn counts_stay_right_under_concurrent_compaction() {
    let (name, place) = database();
    let (one, other) = (open(&place).await, open(&place).await);
    for number in 0..20 {
        ended(&one, "orders", number).await;
    }
    let before = one.count_by_status().await.unwrap();
    let (first, second) = tokio::join!(one.purge(at(1), KEPT), other.purge(at(1), KEPT));
    first.and(second).unwrap();
    one.purge(at(1), KEPT).await.unwrap();
    assert_eq!(other.count_by_status().await.unwrap(), before);
    let rows = server().query(&name, "SELECT count(*) FROM grant_counts");
    assert_eq!(rows, "1", "one row for the one status in which there are grants");
}
