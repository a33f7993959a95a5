//! Live grants, decided again after a change.

use super::*;

#[tokio::test]
async fn a_change_of_the_rules_ends_live_grants_that_they_refuse() {
    let fixture = Fixture::new().await;
    let broker = fixture.broker(Gate::open()).await;
    let before = granted(&fixture, &broker, 1).await;
    apply(&broker, &and(r#"@id("hours") forbid (principal, action, resource) when { context.request.ttl > duration("5m") };"#)).await;
    fixture.settle(&broker).await;
    assert_ne!(status(&broker, &before).await, GrantStatus::Active);
    let events = events(&broker, &before).await;
    let end = events.iter().find(|event| event.kind == EventKind::Revoke).unwrap();
    assert_eq!(end.text, "context changed · refused by hours");
    assert_eq!(end.data["cause"], "context_changed");
}

#[tokio::test]
async fn a_live_grant_that_new_rules_permit_stays_and_its_timeline_names_them() {
    let fixture = Fixture::new().await;
    let broker = fixture.broker(Gate::open()).await;
    let id = granted(&fixture, &broker, 1).await;
    let applied = apply(&broker, PERMIT).await;
    fixture.settle(&broker).await;
    assert_eq!(status(&broker, &id).await, GrantStatus::Active);
    let events = events(&broker, &id).await;
    let again: Vec<_> = events.iter().filter(|event| event.kind == EventKind::ReEvaluation).collect();
    assert_eq!(again.len(), 1);
    assert_eq!(again[0].data["rules"], applied.digest.as_str());
    assert_eq!(fixture.store.decisions_of(&id).await.unwrap().len(), 2);
}

#[tokio::test]
async fn a_change_of_labels_decides_live_grants_of_the_agent_again() {
    let fixture = Fixture::new().await;
    let broker = fixture.broker(Gate::open()).await;
    let frozen = r#"@id("frozen") forbid (principal, action, resource)
        when { principal.hasTag("frozen") && principal.getTag("frozen") == "yes" };"#;
    apply(&broker, &and(frozen)).await;
    let id = granted(&fixture, &broker, 1).await;
    let agent = broker.agent(&AGENT.parse().unwrap()).await.unwrap();
    let source = format!("labels = {{ frozen = \"yes\" }}\n{}", agent.registration);
    broker.apply_agent(&source, ApplyMode::Replace, &Author::Configuration).await.unwrap();
    fixture.settle(&broker).await;
    assert_ne!(status(&broker, &id).await, GrantStatus::Active);
}

#[tokio::test]
async fn new_credentials_are_refused_to_a_grant_that_the_rules_refuse_now_and_it_ends() {
    let fixture = Fixture::new().await;
    let broker = fixture.broker(Gate::open()).await;
    let id = granted(&fixture, &broker, 1).await;
    apply(&broker, &and(r#"@id("closed") forbid (principal, action, resource);"#)).await;
    let elevation = fixture.elevation(1);
    let refused = broker.credentials(elevation.bearer.as_ref(), &id, &elevation.key).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::RuleDenied);
    assert_ne!(status(&broker, &id).await, GrantStatus::Active);
}

/// The broker dies anywhere in a change of the rules and in the work that follows: what the new rules refuse is gone, and
/// what they permit stays.
#[tokio::test]
async fn a_broker_that_dies_after_a_change_of_the_rules_leaves_no_refused_grant() {
    let mut boundary = 1;
    loop {
        let fixture = Fixture::new().await;
        let first = fixture.broker(Gate::open()).await;
        let long = granted(&fixture, &first, 1).await;
        let mut elevation = fixture.elevation(2);
        elevation.request.ttl = "5m".parse().unwrap();
        let short = first.elevate(elevation).await.unwrap().grant.id;
        let rule = r#"@id("short") forbid (principal, action, resource) when { context.request.ttl > duration("5m") };"#;
        let gate = Gate::dying_at(boundary);
        let dying = fixture.broker(Arc::clone(&gate)).await;
        let finished = gate
            .run(async {
                apply(&dying, &and(rule)).await;
                fixture.settle(&dying).await;
            })
            .await
            .is_some();
        let next = fixture.broker(Gate::open()).await;
        if next.rules_state().await.unwrap().version == 1 {
            // Claims of the broker that died end.
            fixture.pass_time(31);
            let heartbeat = fixture.elevation(2);
            next.heartbeat(heartbeat.bearer.as_ref(), &short, &heartbeat.key).await.unwrap();
            fixture.settle(&next).await;
            assert_ne!(status(&next, &long).await, GrantStatus::Active, "boundary {boundary}");
            assert_eq!(status(&next, &short).await, GrantStatus::Active, "boundary {boundary}");
        }
        if finished {
            break;
        }
        boundary += 1;
    }
    assert!(boundary > 3, "{boundary}");
}
