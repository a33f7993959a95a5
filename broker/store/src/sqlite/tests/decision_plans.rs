use super::*;

fn contains(plan: &[String], step: &str) -> bool {
    plan.iter().any(|line| line.contains(step))
}

#[tokio::test]
async fn a_context_counts_grants_in_covering_indexes() {
    let (store, _folder) = in_file().await;
    let (agent, subjects) = ("orders".parse().unwrap(), ["agent/orders".to_owned()]);
    let request = ContextRequest {
        agent: &agent,
        run: Some("a"),
        subjects: &subjects,
        except: Some(&accepted(1).grant.id),
        now: Timestamp::from_secs(1000),
    };
    let query = context::query(&context::Wanted::from(request)).into_string();
    // SQLite plans a statement again whenever another limit is bound.
    assert!(!query.contains("LIMIT ?") && !due::CLAIM.contains("LIMIT ?"));
    let plan = plan(&store, &query).await;
    for step in [
        "grants USING COVERING INDEX grants_active_of_run (agent_id=? AND status=? AND run=?)",
        "grants USING COVERING INDEX grants_active_of_run (agent_id=? AND status=?)",
        "grants USING COVERING INDEX grants_recent_of_run (agent_id=? AND run=? AND requested_at>?)",
        "grants USING COVERING INDEX grants_recent_of_agent (agent_id=? AND requested_at>?)",
        "SEARCH posture USING PRIMARY KEY (subject=?)",
    ] {
        assert!(contains(&plan, step), "expected {step:?}: {plan:#?}");
    }
    assert!(!contains(&plan, "SCAN grants"), "{plan:#?}");
}

#[tokio::test]
async fn marks_and_decisions_are_found_by_index() {
    let (store, _folder) = in_file().await;
    let filter = DecisionFilter { since: Some(Timestamp::from_secs(1000)), ..DecisionFilter::default() };
    let observed = ObservationListing { limit: 10, ..ObservationListing::default() };
    for (query, step) in [
        (marks::EVERY_LIVE.to_owned(), "SEARCH grants USING INDEX grants_final (final=?)"),
        (marks::WITH_FACT.to_owned(), "SEARCH grants USING INDEX grants_final (final=?)"),
        (
            marks::OF_AGENT.to_owned(),
            "SEARCH grants USING INDEX grants_active_of_run (agent_id=? AND status=?)",
        ),
        (due::CLAIM.to_owned(), "SEARCH grants USING INDEX grants_to_reevaluate (reevaluate_at<?)"),
        (
            decisions::query(&decisions::Filter::of(0, filter, 10)).into_string(),
            "SEARCH decisions USING COVERING INDEX decisions_by_time (at<?)",
        ),
        (
            observations::query(&observations::Wanted::from(observed)).into_string(),
            "SEARCH decisions USING INDEX decisions_observed (kind=? AND rowid>?)",
        ),
        (
            decisions::OLDEST_DRY_RUNS.to_owned(),
            "decisions USING COVERING INDEX decisions_dry_runs (agent_id=?)",
        ),
        (decisions::FORGET[1].to_owned(), "decisions USING COVERING INDEX decisions_by_time (at<?)"),
    ] {
        let plan = plan(&store, &query).await;
        assert!(contains(&plan, step), "expected {step:?} for {query}: {plan:#?}");
        assert!(!contains(&plan, "SCAN grants") && !contains(&plan, "SCAN decisions"), "{query}: {plan:#?}");
    }
}
