//! Decisions by rules: what is granted, refused, recorded, and decided again.

use std::collections::BTreeMap;
use std::sync::Arc;

use domain::facts::ObservedFacts;
use engine::{Author, Engine, PostureSource, Settings};
use protocol::posture::{PostureOutcome, PostureReport};
use protocol::rules::{
    ApplyRules, DecisionKind, Outcome, ReplayRequest, RuleSetFiles, RuleSetRole, RulesAction, RulesApplied,
    RulesState,
};
use protocol::{ErrorCode, EventKind, GrantId, GrantStatus, Secret, Timestamp};
use store::ApplyMode;

use super::fixture::{AGENT, Fixture, Gate, operator, operator_name};

const PERMIT: &str = r#"@id("all") permit (principal, action, resource);"#;

fn files(rules: &str) -> BTreeMap<String, String> {
    BTreeMap::from([("rules.cedar".to_owned(), rules.to_owned())])
}

async fn apply_as(broker: &Engine, rules: &str, role: RuleSetRole) -> RulesApplied {
    let request = ApplyRules { files: files(rules), cases: BTreeMap::new(), role, check_only: false };
    broker.apply_rules(&request, &Author::Operator(operator_name())).await.unwrap()
}

async fn apply(broker: &Engine, rules: &str) -> RulesApplied {
    apply_as(broker, rules, RuleSetRole::Active).await
}

fn and(rule: &str) -> String {
    format!("{PERMIT}\n{rule}")
}

async fn status(broker: &Engine, id: &GrantId) -> GrantStatus {
    broker.state(&operator(), id).await.unwrap().status
}

async fn events(broker: &Engine, id: &GrantId) -> Vec<protocol::TimelineEvent> {
    let timeline = broker.timeline(&operator(), id).await.unwrap();
    assert!(timeline.intact, "{:?}", timeline.broken);
    timeline.events
}

async fn granted(fixture: &Fixture, broker: &Engine, key: u8) -> GrantId {
    broker.elevate(fixture.elevation(key)).await.unwrap().grant.id
}

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

fn scanner() -> (Vec<PostureSource>, Secret) {
    let token = Secret::new("cjop_of-the-scanner");
    let token_hash = Some(engine::hash_of(token.reveal()));
    let max_age = std::time::Duration::from_secs(600);
    (vec![PostureSource { name: "scanner".to_owned(), token_hash, max_age, transmitter: None }], token)
}

async fn broker_with_scanner(fixture: &Fixture) -> (Arc<Engine>, Secret) {
    let broker = fixture.broker(Gate::open()).await;
    let (sources, token) = scanner();
    broker.reconfigure(Settings::default(), engine::OperatorTokens::default(), sources);
    (broker, token)
}

const SCANNED: &str = r#"@id("scanned") forbid (principal, action, resource)
    unless { context.posture.hasTag("scanner") && context.posture.getTag("scanner").ok };"#;

#[tokio::test]
async fn a_posture_that_turns_bad_ends_live_grants_of_its_subject() {
    let fixture = Fixture::new().await;
    let (broker, token) = broker_with_scanner(&fixture).await;
    apply(&broker, &and(SCANNED)).await;
    let silent = broker.elevate(fixture.elevation(9)).await.unwrap_err();
    assert_eq!(silent.code, ErrorCode::RuleDenied);
    let subject = format!("agent/{AGENT}");
    let report = |ok, as_of: Timestamp| PostureReport { ok, as_of, expires_at: None };
    let put = async |ok| {
        let report = report(ok, broker.now());
        broker.put_posture(Some(&token), "scanner", &subject, &report).await.unwrap().outcome
    };
    assert_eq!(put(true).await, PostureOutcome::Changed);
    let id = granted(&fixture, &broker, 1).await;
    fixture.pass_time(1);
    assert_eq!(put(true).await, PostureOutcome::Unchanged);
    fixture.settle(&broker).await;
    assert_eq!(status(&broker, &id).await, GrantStatus::Active);
    fixture.pass_time(1);
    let late = report(true, broker.now());
    assert_eq!(put(false).await, PostureOutcome::Changed);
    let older = PostureReport { as_of: late.as_of.minus(std::time::Duration::from_secs(1)), ..late };
    let outcome = broker.put_posture(Some(&token), "scanner", &subject, &older).await.unwrap().outcome;
    assert_eq!(outcome, PostureOutcome::Older);
    fixture.settle(&broker).await;
    assert_ne!(status(&broker, &id).await, GrantStatus::Active);
}

#[tokio::test]
async fn a_source_that_falls_silent_counts_as_absent_and_ends_live_grants() {
    let fixture = Fixture::new().await;
    let (broker, token) = broker_with_scanner(&fixture).await;
    apply(&broker, &and(SCANNED)).await;
    let report = PostureReport { ok: true, as_of: broker.now(), expires_at: None };
    broker.put_posture(Some(&token), "scanner", &format!("agent/{AGENT}"), &report).await.unwrap();
    let mut elevation = fixture.elevation(1);
    elevation.request.heartbeat = false;
    let id = broker.elevate(elevation).await.unwrap().grant.id;
    fixture.pass_time(599);
    fixture.settle(&broker).await;
    assert_eq!(status(&broker, &id).await, GrantStatus::Active);
    fixture.pass_time(1);
    fixture.settle(&broker).await;
    let ended = broker.state(&operator(), &id).await.unwrap();
    assert_eq!(ended.end_reason.as_deref(), Some("context changed · refused by scanned"));
}

#[tokio::test]
async fn a_posture_report_needs_the_token_of_its_source_and_a_known_form() {
    let fixture = Fixture::new().await;
    let (broker, token) = broker_with_scanner(&fixture).await;
    let now = broker.now();
    let report = PostureReport { ok: true, as_of: now, expires_at: None };
    let code = async |token: Option<&Secret>, source: &str, subject: &str, report: &PostureReport| {
        broker.put_posture(token, source, subject, report).await.map_err(|refused| refused.code)
    };
    let subject = "repository/octo-org/app";
    let wrong = Secret::new("cjop_another");
    for (token, source, subject, expected) in [
        (None, "scanner", subject, ErrorCode::AuthTokenInvalid),
        (Some(&wrong), "scanner", subject, ErrorCode::AuthTokenInvalid),
        (Some(&token), "edr", subject, ErrorCode::AuthTokenInvalid),
        (Some(&token), "scanner", "octo-org", ErrorCode::InvalidRequest),
        (Some(&token), "scanner", "host/web-1", ErrorCode::InvalidRequest),
        (Some(&token), "scanner", "agent/", ErrorCode::InvalidRequest),
    ] {
        assert_eq!(code(token, source, subject, &report).await.unwrap_err(), expected, "{source} {subject}");
    }
    let hour = std::time::Duration::from_secs(3600);
    for as_of in [now.plus(hour), now.minus(hour)] {
        let report = PostureReport { as_of, ..report.clone() };
        let refused = code(Some(&token), "scanner", subject, &report).await.unwrap_err();
        assert_eq!(refused, ErrorCode::InvalidRequest);
    }
    let far = PostureReport { expires_at: Some(now.plus(hour)), ..report };
    let stored = code(Some(&token), "scanner", subject, &far).await.unwrap();
    assert_eq!(stored.expires_at, now.plus(std::time::Duration::from_secs(600)), "at most `max_age`");
}

#[tokio::test]
async fn a_candidate_is_asked_beside_and_decides_only_for_agents_of_a_rollout() {
    let fixture = Fixture::new().await;
    let broker = fixture.broker(Gate::open()).await;
    let active = apply(&broker, PERMIT).await.digest;
    let forbid = r#"@id("closed") forbid (principal, action, resource);"#;
    let candidate = apply_as(&broker, &and(forbid), RuleSetRole::Candidate).await.digest;
    let id = granted(&fixture, &broker, 1).await;
    let explanation = broker.explain(&operator(), &id).await.unwrap();
    let shadow = explanation.decisions[0].shadow.as_ref().unwrap();
    assert_eq!(shadow.rules.as_ref(), Some(&candidate));
    assert_eq!(shadow.verdict.outcome, Outcome::Deny);
    let report = broker.shadow_report(Timestamp::from_millis(0), None, None).await.unwrap();
    assert_eq!((report.decisions, report.same), (1, 0));
    assert_eq!(report.flips[0].rules, ["closed"]);
    assert_eq!(report.rules, BTreeMap::from([("all".to_owned(), 0), ("closed".to_owned(), 1)]));

    broker.roll_out_rules(&["other-*".to_owned()], &operator_name()).await.unwrap();
    fixture.settle(&broker).await;
    assert_eq!(status(&broker, &id).await, GrantStatus::Active);
    broker.roll_out_rules(&["orders-*".to_owned()], &operator_name()).await.unwrap();
    fixture.settle(&broker).await;
    assert_ne!(status(&broker, &id).await, GrantStatus::Active);
    assert_eq!(broker.elevate(fixture.elevation(2)).await.unwrap_err().code, ErrorCode::RuleDenied);

    let state = broker.roll_back_rules(&operator_name()).await.unwrap();
    assert_eq!((state.active.as_ref(), state.candidate.as_ref()), (Some(&active), Some(&candidate)));
    assert!(state.rollout.is_empty());
    granted(&fixture, &broker, 3).await;
    let state = broker.promote_rules(&operator_name()).await.unwrap();
    assert_eq!((state.active, state.candidate), (Some(candidate.clone()), None));
    let state = broker.roll_back_rules(&operator_name()).await.unwrap();
    assert_eq!((state.active, state.action), (Some(active), RulesAction::Rollback));
    let state = broker.roll_back_rules(&operator_name()).await.unwrap();
    assert_eq!(state.active, Some(candidate), "a rollback can be taken back");
    let history = broker.rules_history(None, engine::Page::of(None)).await.unwrap();
    let actions: Vec<_> = history.changes.iter().rev().map(|change| change.action.as_str()).collect();
    let expected =
        ["apply", "apply_candidate", "rollout", "rollout", "rollback", "promote", "rollback", "rollback"];
    assert_eq!(actions, expected);
}

/// As after an upgrade to a release with a stricter check.
#[tokio::test]
async fn a_candidate_that_is_not_accepted_any_more_leaves_the_decisions_to_the_active_set() {
    let fixture = Fixture::new().await;
    let broker = fixture.broker(Gate::open()).await;
    let state = apply(&broker, PERMIT).await.state;
    let digest: protocol::rules::RuleSetDigest = "0".repeat(64).parse().unwrap();
    let stored = RuleSetFiles {
        digest: digest.clone(),
        files: files("no rule"),
        created_at: broker.now(),
        created_by: "an earlier release".to_owned(),
    };
    let next = RulesState { version: state.version + 1, candidate: Some(digest), ..state };
    fixture.store.change_rules(1, &next, Some(&stored)).await.unwrap().unwrap();
    granted(&fixture, &broker, 1).await;
    broker.roll_out_rules(&["*".to_owned()], &operator_name()).await.unwrap();
    assert_eq!(broker.elevate(fixture.elevation(2)).await.unwrap_err().code, ErrorCode::RuleError);
}

#[tokio::test]
async fn a_set_that_is_applied_again_changes_nothing() {
    let fixture = Fixture::new().await;
    let broker = fixture.broker(Gate::open()).await;
    let first = apply(&broker, PERMIT).await;
    let again = apply(&broker, PERMIT).await;
    assert_eq!((first.changed, again.changed), (true, false));
    assert_eq!(again.state.version, first.state.version);
}

#[tokio::test]
async fn a_set_whose_test_case_fails_is_refused() {
    let fixture = Fixture::new().await;
    let broker = fixture.broker(Gate::open()).await;
    let case = "[[case]]\nname = \"by default\"\nexpect = \"deny\"\n";
    let request = ApplyRules {
        files: files(PERMIT),
        cases: BTreeMap::from([("rules.toml".to_owned(), case.to_owned())]),
        role: RuleSetRole::Active,
        check_only: false,
    };
    let refused = broker.apply_rules(&request, &Author::Configuration).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::InvalidRules);
    assert!(refused.detail.contains("by default"), "{}", refused.detail);
    assert_eq!(broker.rules_state().await.unwrap().version, 0);
}

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
