use domain::AgentStatus;
use futures_util::FutureExt;

use super::*;

async fn registered(store: &Sqlite) -> StoredToken {
    let source = "id = \"orders\"\nuse_case = \"other\"\nmax_session = \"1h\"\n\
         [dangerous]\nallow_auth_token_only = true\n\
         [boundary]\ntarget = \"token\"\npolicies = { \"orders-read\" = \"orders:read\" }\n";
    let registration = domain::registration::parse(source).unwrap();
    let now = Timestamp::from_secs(10);
    let token = StoredToken {
        id: "t1".to_owned(),
        agent_id: registration.id.clone(),
        hash: "h".to_owned(),
        created_at: now,
        expires_at: None,
    };
    let mode = crate::ApplyMode::Replace;
    let registering = Registering { registration: &registration, source, mode, token: &token, now };
    store.apply_agent(registering).await.unwrap();
    token
}

#[tokio::test]
async fn a_registration_is_parsed_once() {
    let (store, _folder) = in_file().await;
    let id = registered(&store).await.agent_id;
    let (_, first) = store.credential("t1").await.unwrap().unwrap();
    let again = store.agent(&id).await.unwrap().unwrap();
    assert!(Arc::ptr_eq(&first, &again));
    let off = store.set_agent_status(&id, AgentStatus::Disabled, Timestamp::from_secs(11)).await;
    assert!(!Arc::ptr_eq(&first, &off.unwrap().unwrap()));
}

#[tokio::test]
async fn a_read_that_began_before_a_change_is_not_cached() {
    let (store, _folder) = in_file().await;
    let token = registered(&store).await;
    let read_token = store.credentials.known("t1").unwrap_err();
    let agent = store.agent(&token.agent_id).await.unwrap().unwrap();
    assert!(store.revoke_token(&token.agent_id, "t1").await.unwrap());
    store.credentials.remember(read_token, &token, &agent);
    assert!(store.credential("t1").await.unwrap().is_none());
}

/// The caller stops waiting once its change is queued, and another caller reads before the change runs.
#[tokio::test]
async fn a_change_whose_caller_stopped_waiting_invalidates_the_cache() {
    let (store, _folder) = in_file().await;
    let id = registered(&store).await.agent_id;
    let now = Timestamp::from_secs(11);
    let mut change = Box::pin(store.set_agent_status(&id, AgentStatus::Disabled, now));
    assert!((&mut change).now_or_never().is_none());
    drop(change);
    store.credential("t1").await.unwrap().unwrap();
    // Queued behind it.
    store.ping().await.unwrap();
    let (_, agent) = store.credential("t1").await.unwrap().unwrap();
    assert_eq!(agent.status, AgentStatus::Disabled);
}

#[tokio::test]
async fn every_change_of_agents_and_tokens_invalidates_the_cache() {
    let (store, _folder) = in_file().await;
    let old = registered(&store).await;
    let look = async |id: &str| store.credential(id).await.unwrap();
    look("t1").await.unwrap();
    let now = Timestamp::from_secs(11);
    store.set_agent_status(&old.agent_id, AgentStatus::Disabled, now).await.unwrap();
    assert_eq!(look("t1").await.unwrap().1.status, AgentStatus::Disabled);
    let new = StoredToken { id: "t2".to_owned(), ..old.clone() };
    assert!(store.rotate_token(&new, now).await.unwrap());
    assert_eq!(look("t1").await.unwrap().0.expires_at, Some(now));
    look("t2").await.unwrap();
    assert!(store.revoke_token(&old.agent_id, "t2").await.unwrap());
    assert!(look("t2").await.is_none());
    store.purge(now, std::time::Duration::ZERO).await.unwrap();
    assert!(look("t1").await.is_none());
}
