//! Recorded decisions: replay, dry runs, observed steps.

use super::*;

#[tokio::test]
async fn a_replay_gives_the_recorded_outcomes_and_names_those_that_differ() {
    let fixture = Fixture::new().await;
    let broker = fixture.broker(Gate::open()).await;
    let short = and(
        r#"@id("short") forbid (principal, action, resource) when { context.request.ttl > duration("5m") };"#,
    );
    apply(&broker, &short).await;
    for (key, ttl) in [(1, "5m"), (2, "10m"), (3, "15m")] {
        let mut elevation = fixture.elevation(key);
        elevation.request.ttl = ttl.parse().unwrap();
        let _ = broker.elevate(elevation).await;
    }
    let replay = async |rules: &str| {
        let (since, agent) = (Timestamp::from_millis(0), None);
        broker.replay(ReplayRequest { files: files(rules), since, agent, after: None }).await.unwrap()
    };
    let same = replay(&short).await;
    assert_eq!((same.decisions, same.same, same.flips.len()), (3, 3, 0));
    assert_eq!(replay(&short).await, same, "a replay is deterministic");
    let wider = replay(PERMIT).await;
    assert_eq!((wider.decisions, wider.same), (3, 1));
    assert_eq!(wider.flips.iter().map(|flip| flip.count).sum::<u64>(), 2);
    assert!(wider.flips.iter().all(protocol::rules::Flip::is_wider), "{wider:?}");
    assert_eq!(fixture.grants().await.len(), 3, "a replay creates nothing");
}

#[tokio::test]
async fn a_request_outside_the_boundary_is_recorded_and_not_replayed_as_a_difference() {
    let fixture = Fixture::new().await;
    let broker = fixture.broker(Gate::open()).await;
    apply(&broker, PERMIT).await;
    let mut outside = fixture.elevation(1);
    outside.request.policies = vec!["admin".parse().unwrap()];
    let refused = broker.elevate(outside).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::PolicyNotPermitted);
    let denied = &fixture.grants().await[0].grant.id;
    let decisions = fixture.store.decisions_of(denied).await.unwrap();
    assert!(decisions[0].decision.enforced.verdict.refused_by_boundary.is_some());
    let request =
        ReplayRequest { files: files(PERMIT), since: Timestamp::from_millis(0), agent: None, after: None };
    let replayed = broker.replay(request).await.unwrap();
    assert_eq!((replayed.decisions, replayed.flips.len()), (0, 0));
}

#[tokio::test]
async fn an_observed_step_gets_nothing_and_the_report_says_what_it_would_have_got() {
    let fixture = Fixture::new().await;
    let broker = fixture.broker(Gate::open()).await;
    let observe = async |policy: &str| {
        let mut elevation = fixture.elevation(1);
        elevation.request.policies = vec![policy.parse().unwrap()];
        broker.observe(elevation.bearer.as_ref(), &elevation.request, ObservedFacts::default()).await.unwrap()
    };
    let allowed = observe("orders-read").await;
    assert_eq!((allowed.outcome, allowed.detail), (Outcome::Allow, None));
    let action = |name: &str, status: &str, count| protocol::actions::Action {
        name: name.to_owned(),
        status: Some(status.to_owned()),
        count,
    };
    let actions = vec![action("s3:GetObject", "200", 3), action("s3:PutObject", "403", 1)];
    let report = protocol::actions::ActionsReport { actions };
    let bearer = fixture.elevation(1).bearer;
    broker.report_observed(bearer.as_ref(), &allowed.id, &report).await.unwrap();
    let unknown = broker.report_observed(bearer.as_ref(), "obs-0000000000000000", &report).await.unwrap_err();
    assert_eq!(unknown.code, ErrorCode::ObservationNotFound);
    let since = Timestamp::from_millis(0);
    let ready = broker.observation_report(since, None).await.unwrap();
    assert!(ready.agents[0].ready);
    assert_eq!(ready.agents[0].used[0].actions["s3:GetObject"], 3);
    assert_eq!(ready.agents[0].used[0].suggested, ["s3:GetObject"]);

    let refused = observe("admin").await;
    assert_eq!(refused.outcome, Outcome::Deny);
    assert!(refused.detail.unwrap().contains("policy: expected one of `orders-read`"));
    let report = broker.observation_report(since, None).await.unwrap();
    assert_eq!((report.agents[0].observations, report.agents[0].ready), (2, false));
    assert!(fixture.grants().await.is_empty(), "nothing is granted, and nothing is a denial");
}

#[tokio::test]
async fn a_dry_run_is_decided_by_the_rules_and_recorded() {
    let fixture = Fixture::new().await;
    let broker = fixture.broker(Gate::open()).await;
    apply(&broker, &and(r#"@id("closed") forbid (principal, action, resource);"#)).await;
    let elevation = fixture.elevation(1);
    let dry = broker.dry_run(elevation.bearer.as_ref(), &elevation.request, ObservedFacts::default()).await;
    assert_eq!(dry.unwrap_err().code, ErrorCode::RuleDenied);
    let stored = fixture.store.decisions_after(0, store::DecisionFilter::default(), 10).await.unwrap();
    assert_eq!(stored.len(), 1);
    assert_eq!(stored[0].decision.kind, DecisionKind::DryRun);
}

#[tokio::test]
async fn the_recorded_decisions_about_one_grant_are_bounded_and_a_denial_is_among_them() {
    let fixture = Fixture::new().await;
    let broker = fixture.broker(Gate::open()).await;
    apply(&broker, PERMIT).await;
    let id = granted(&fixture, &broker, 1).await;
    let elevation = fixture.elevation(1);
    for _ in 0..60 {
        broker.credentials(elevation.bearer.as_ref(), &id, &elevation.key).await.unwrap();
    }
    assert_eq!(fixture.store.decisions_of(&id).await.unwrap().len(), 50);
    apply(&broker, &and(r#"@id("closed") forbid (principal, action, resource);"#)).await;
    broker.credentials(elevation.bearer.as_ref(), &id, &elevation.key).await.unwrap_err();
    let decisions = fixture.store.decisions_of(&id).await.unwrap();
    assert_eq!(decisions.len(), 51);
    assert_eq!(decisions.last().unwrap().decision.enforced.verdict.outcome, Outcome::Deny);
}
