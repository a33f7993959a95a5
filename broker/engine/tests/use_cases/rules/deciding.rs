//! Requests: what rules grant and refuse, and that no decision outlives what it was made from.

use super::*;

#[tokio::test]
async fn the_timeline_and_the_explanation_name_the_rule_that_permits() {
    let fixture = Fixture::new().await;
    let broker = fixture.broker(Gate::open()).await;
    let applied = apply(&broker, PERMIT).await;
    let id = granted(&fixture, &broker, 1).await;
    let explanation = broker.explain(&operator(), &id).await.unwrap();
    let [decision] = explanation.decisions.as_slice() else { panic!("{explanation:?}") };
    assert_eq!(decision.kind, DecisionKind::Elevate);
    assert_eq!(decision.enforced.rules.as_ref(), Some(&applied.digest));
    assert_eq!(decision.enforced.verdict.rules, ["all"]);
    assert_eq!(decision.facts["request"]["policies"][0]["name"], "orders-read");
    let events = events(&broker, &id).await;
    let check = events.iter().find(|event| event.kind == EventKind::PolicyCheck).unwrap();
    assert_eq!(check.data["facts"], decision.facts_digest);
    assert_eq!(check.data["rules"], applied.digest.as_str());
    assert!(check.text.ends_with(&format!("rules {} · all", applied.digest.short())), "{}", check.text);
}

#[tokio::test]
async fn a_rule_refuses_with_its_hint_and_the_denial_is_recorded() {
    let fixture = Fixture::new().await;
    let broker = fixture.broker(Gate::open()).await;
    let rule = r#"@id("short") @hint("ask for five minutes") forbid (principal, action, resource)
        when { context.request.ttl > duration("5m") };"#;
    apply(&broker, &and(rule)).await;
    let refused = broker.elevate(fixture.elevation(1)).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::RuleDenied);
    assert!(refused.detail.contains("`short`"), "{}", refused.detail);
    assert_eq!(refused.hint.as_deref(), Some("ask for five minutes"));
    let denied = fixture.grants().await;
    assert_eq!(denied.len(), 1);
    let decisions = fixture.store.decisions_of(&denied[0].grant.id).await.unwrap();
    assert_eq!(decisions[0].decision.enforced.verdict.outcome, Outcome::Deny);
    let mut short = fixture.elevation(2);
    short.request.ttl = "5m".parse().unwrap();
    broker.elevate(short).await.unwrap();
}

#[tokio::test]
async fn a_rule_that_cannot_be_evaluated_refuses_and_is_counted() {
    let fixture = Fixture::new().await;
    let broker = fixture.broker(Gate::open()).await;
    let rule = r#"@id("overflow") forbid (principal, action, resource)
        when { context.run.live + 9223372036854775807 + 1 == 0 };"#;
    apply(&broker, &and(rule)).await;
    let refused = broker.elevate(fixture.elevation(1)).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::RuleError);
    let counted = broker.counters().read().into_iter().find(|(name, ..)| *name == "rule_errors");
    assert_eq!(counted.map(|(_, _, value)| value), Some(1));
}

#[tokio::test]
async fn a_policy_that_needs_a_person_is_refused_with_a_code_of_its_own() {
    let fixture = Fixture::new().await;
    let broker = fixture.broker(Gate::open()).await;
    apply(&broker, r#"@id("attended") permit (principal, action == Action::"elevate", resource);"#).await;
    let refused = broker.elevate(fixture.elevation(1)).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::ApprovalRequired);
}

#[tokio::test]
async fn a_retry_joins_its_grant_although_a_rule_permits_one_grant_for_a_run() {
    let fixture = Fixture::new().await;
    let broker = fixture.broker(Gate::open()).await;
    let rule =
        r#"@id("once") forbid (principal, action, resource) when { context.run.agent_last_hour >= 1 };"#;
    apply(&broker, &and(rule)).await;
    let first = granted(&fixture, &broker, 1).await;
    assert_eq!(granted(&fixture, &broker, 1).await, first);
    let second = broker.elevate(fixture.elevation(2)).await.unwrap_err();
    assert_eq!(second.code, ErrorCode::RuleDenied);
    fixture.pass_time(3601);
    granted(&fixture, &broker, 2).await;
}

/// The rules change between the decision and the commit: the grant is decided by the new ones.
#[tokio::test]
async fn no_grant_is_created_by_rules_that_are_not_active_any_more() {
    let mut reached = 0;
    for boundary in 1..12 {
        let fixture = Fixture::new().await;
        let other = fixture.broker(Gate::open()).await;
        apply(&other, PERMIT).await;
        let gate = Gate::stopping_at(boundary);
        let broker = fixture.broker(Arc::clone(&gate)).await;
        let elevation = fixture.elevation(1);
        let mut elevating = std::pin::pin!(broker.elevate(elevation));
        let result = tokio::select! {
            biased;
            result = &mut elevating => result,
            () = async {
                while !gate.was_reached() {
                    tokio::task::yield_now().await;
                }
                reached += 1;
                let forbid = r#"@id("closed") forbid (principal, action, resource);"#;
                apply(&other, &and(forbid)).await;
                gate.go_on();
                std::future::pending::<()>().await;
            } => unreachable!("pending for ever"),
        };
        if !gate.was_reached() {
            break;
        }
        match result {
            Err(refused) => assert_eq!(refused.code, ErrorCode::RuleDenied, "boundary {boundary}"),
            // It was created before the change, which marked it.
            Ok(elevated) => {
                fixture.settle(&other).await;
                let status = status(&other, &elevated.grant.id).await;
                assert!(!matches!(status, GrantStatus::Active), "boundary {boundary}: {status:?}");
            }
        }
    }
    assert!(reached >= 2, "{reached}");
}

/// The registration changes between the decision and the commit. The retry of the client is decided by the new one.
#[tokio::test]
async fn no_grant_is_created_by_a_registration_that_was_replaced_meanwhile() {
    let fixture = Fixture::new().await;
    let other = fixture.broker(Gate::open()).await;
    let frozen = r#"@id("frozen") forbid (principal, action, resource)
        when { principal.hasTag("frozen") && principal.getTag("frozen") == "yes" };"#;
    apply(&other, &and(frozen)).await;
    let gate = Gate::stopping_at(1);
    let broker = fixture.broker(Arc::clone(&gate)).await;
    let replaced = async {
        while !gate.was_reached() {
            tokio::task::yield_now().await;
        }
        let agent = other.agent(&AGENT.parse().unwrap()).await.unwrap();
        let source = format!("labels = {{ frozen = \"yes\" }}\n{}", agent.registration);
        other.apply_agent(&source, ApplyMode::Replace, &Author::Configuration).await.unwrap();
        gate.go_on();
    };
    let (refused, ()) = tokio::join!(broker.elevate(fixture.elevation(1)), replaced);
    assert_eq!(refused.unwrap_err().code, ErrorCode::ContextUnsettled);
    assert_eq!(broker.elevate(fixture.elevation(1)).await.unwrap_err().code, ErrorCode::RuleDenied);
}

/// As from parallel jobs of one run: each is decided with the grants of those before it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_that_arrive_together_are_counted_and_none_gives_up() {
    let fixture = Fixture::new().await;
    let broker = fixture.broker(Gate::open()).await;
    let ten = r#"@id("ten") forbid (principal, action, resource) when { context.run.agent_live >= 10 };"#;
    apply(&broker, &and(ten)).await;
    let mut requests = tokio::task::JoinSet::new();
    for key in 0..30 {
        let (broker, elevation) = (Arc::clone(&broker), fixture.elevation(key));
        requests.spawn(async move { broker.elevate(elevation).await.map_err(|refusal| refusal.code) });
    }
    let (granted, refused): (Vec<_>, Vec<_>) = requests.join_all().await.into_iter().partition(Result::is_ok);
    assert_eq!(granted.len(), 10);
    assert!(refused.into_iter().all(|refused| matches!(refused, Err(ErrorCode::RuleDenied))));
}
