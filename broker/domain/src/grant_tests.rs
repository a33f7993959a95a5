use proptest::prelude::*;
use protocol::{Actor, GrantStatus, RevokeCause, Source, Trust};

use super::*;

fn at(secs: i64) -> Timestamp {
    Timestamp::from_secs(secs)
}

fn request(trust: Trust) -> Request {
    Request {
        id: GrantId::from_random([1; 8]),
        agent_id: "orders-agent".parse().unwrap(),
        key: IdempotencyKey::from_random([2; 16]),
        request_hash: "00".to_owned(),
        policies: vec!["orders-read".parse().unwrap()],
        target: TargetKind::Token,
        scope: TargetKind::Token.into(),
        ttl: "15m".parse().unwrap(),
        reason: None,
        provenance: Provenance { trust, ..Provenance::default() },
        run: None,
        break_glass: None,
    }
}

fn applying(enforced_by: EnforcedBy) -> Grant {
    Grant::accepted(request(Trust::Oidc), at(1000), enforced_by, Vec::new(), at(1030)).grant
}

fn active(enforced_by: EnforcedBy) -> Grant {
    applying(enforced_by).activate(at(1001), "token issued").unwrap().grant
}

#[test]
fn grant_is_accepted_active_and_revoked() {
    let moved = Grant::accepted(request(Trust::Oidc), at(1000), EnforcedBy::Cloud, Vec::new(), at(1030));
    let kinds = |moved: &Transition| moved.events.iter().map(|event| event.kind).collect::<Vec<_>>();
    assert_eq!(kinds(&moved), [EventKind::Elevate, EventKind::PolicyCheck]);
    assert_eq!(moved.events[0].text, "orders-agent · orders-read · 15m");
    assert_eq!(moved.grant.due_at(), Some(at(1030)));

    let moved = moved.grant.activate(at(1001), "token issued").unwrap();
    assert_eq!((moved.grant.status(), moved.grant.due_at()), (GrantStatus::Active, Some(at(1900))));

    let moved = moved.grant.end(at(1038), EndCause::Client(RevokeCause::StepExited(0))).unwrap();
    assert_eq!(moved.events[0].text, "step finished · exit 0");
    assert_eq!(moved.events[0].source, Source::Client);

    let moved = moved.grant.gone(at(1039), "refused from now on", None).unwrap();
    assert_eq!(moved.grant.status(), GrantStatus::Revoked);
    assert_eq!((moved.grant.granted_at(), moved.grant.ended_at()), (Some(at(1001)), Some(at(1039))));
    assert_eq!(moved.grant.due_at(), None);
}

#[test]
fn deadline_leads_to_expired_only_if_the_target_enforces_it() {
    let end = |by| active(by).end(at(1900), EndCause::Deadline).unwrap();
    assert_eq!(end(EnforcedBy::Cloud).grant.status(), GrantStatus::Expired);
    assert_eq!(end(EnforcedBy::Broker).grant.status(), GrantStatus::Revoking);
    assert_eq!(end(EnforcedBy::Broker).events[0].text, "deadline reached · 15m");
}

#[test]
fn grant_that_never_became_active_is_rolled_back_to_failed() {
    let moved = applying(EnforcedBy::Cloud).end(at(1030), EndCause::Abandoned).unwrap();
    assert_eq!(moved.grant.status(), GrantStatus::RollingBack);
    assert!(moved.grant.clone().activate(at(1031), "late").is_err());
    assert_eq!(
        moved.grant.gone(at(1031), "nothing was there", None).unwrap().grant.status(),
        GrantStatus::Failed
    );
}

#[test]
fn no_grant_becomes_active_after_its_deadline() {
    assert!(applying(EnforcedBy::Cloud).activate(at(1900), "late").is_err());
}

fn operator_named(name: &str) -> protocol::Actor {
    protocol::Actor::Operator { name: name.parse().unwrap() }
}

fn by_operator() -> EndCause {
    EndCause::EndedBy(operator_named("release-bot"), None)
}

#[test]
fn end_by_an_operator_names_the_operator() {
    let disabled = |by: Option<&str>| EndCause::AgentDisabled(by.map(operator_named));
    for (cause, text, by) in [
        (by_operator(), "ended by operator release-bot", Some("release-bot")),
        (disabled(Some("on-call")), "agent disabled by operator on-call", Some("on-call")),
        (disabled(None), "agent disabled", None),
    ] {
        let ended = active(EnforcedBy::Broker).end(at(1100), cause).unwrap();
        let [event] = ended.events.as_slice() else { panic!("{:?}", ended.events) };
        assert_eq!((event.text.as_str(), event.source), (text, Source::Operator));
        assert_eq!(event.actor, by.map(operator_named));
    }
}

#[test]
fn revert_is_retried_for_ever_with_an_event_first_and_when_failing() {
    let mut grant = active(EnforcedBy::Broker).end(at(1100), by_operator()).unwrap().grant;
    let mut told = 0;
    for n in 1..=50 {
        let moved = grant.revert_failed(at(1100 + n), "throttled", at(1101 + n)).unwrap();
        told += moved.events.len();
        grant = moved.grant;
        assert_eq!(grant.due_at(), Some(at(1101 + n)));
    }
    assert_eq!((grant.status(), told), (GrantStatus::RevokeFailing, 2));
    assert_eq!(grant.gone(at(2000), "gone", None).unwrap().grant.status(), GrantStatus::Revoked);
}

#[test]
fn verification_that_finds_the_object_is_revoke_failing_again() {
    let mut grant = active(EnforcedBy::Broker).end(at(1100), by_operator()).unwrap().grant;
    for n in 1..=7 {
        grant = grant.revert_failed(at(1100 + n), "throttled", at(1101 + n)).unwrap().grant;
    }
    let settling = grant.verify(at(1200), at(1205), "detached").unwrap().grant;
    let again = settling.revert_failed(at(1205), "still there", at(1206)).unwrap();
    assert_eq!(again.grant.status(), GrantStatus::RevokeFailing);
    assert_eq!(again.events.iter().map(|event| event.kind).collect::<Vec<_>>(), [EventKind::RevokeFailing]);
}

#[test]
fn auth_token_only_trust_is_a_danger_event_also_when_denied() {
    let dangers =
        |moved: &Transition| moved.events.iter().filter(|event| event.kind == EventKind::Danger).count();
    let accepted =
        Grant::accepted(request(Trust::AuthTokenOnly), at(1000), EnforcedBy::Cloud, Vec::new(), at(1030));
    let code = protocol::ErrorCode::PolicyNotPermitted;
    let denied = Grant::denied(request(Trust::AuthTokenOnly), at(1000), code, "outside");
    assert_eq!((dangers(&accepted), dangers(&denied)), (1, 1));
    assert_eq!(denied.grant.key, None);
}

#[derive(Debug, Clone)]
enum Push {
    Activate,
    End(EndCause),
    Settle,
    Gone,
    UndoFailed,
}

fn push() -> impl Strategy<Value = Push> {
    prop_oneof![
        Just(Push::Activate),
        Just(Push::End(EndCause::Deadline)),
        Just(Push::End(EndCause::LeaseLost)),
        Just(Push::End(EndCause::Client(RevokeCause::Asked))),
        Just(Push::End(EndCause::Abandoned)),
        Just(Push::Settle),
        Just(Push::Gone),
        Just(Push::UndoFailed),
    ]
}

proptest! {
    /// In every order of transitions: a grant that left `active` never returns to it, no transition leaves a final state,
    /// a state that is not final has a due time, and each state reads back from its stored form.
    #[test]
    fn no_order_of_transitions_revives_a_grant(pushes in prop::collection::vec(push(), 0..20), cloud: bool) {
        let mut grant = applying(if cloud { EnforcedBy::Cloud } else { EnforcedBy::Broker });
        let mut left_active = false;
        for (n, push) in pushes.into_iter().enumerate() {
            let now = at(1001 + i64::try_from(n).unwrap());
            let before = grant.clone();
            let moved = match push {
                Push::Activate => grant.activate(now, "given"),
                Push::End(cause) => grant.end(now, cause),
                Push::Settle => grant.verify(now, now, "accepted"),
                Push::Gone => grant.gone(now, "gone", None),
                Push::UndoFailed => grant.revert_failed(now, "error", now),
            };
            grant = match moved {
                Ok(moved) => {
                    prop_assert!(!before.status().is_final());
                    moved.grant
                }
                Err(wrong) => {
                    prop_assert_eq!(&*wrong.grant, &before);
                    *wrong.grant
                }
            };
            prop_assert!(!(left_active && grant.status() == GrantStatus::Active));
            left_active |= before.status() == GrantStatus::Active && grant.status() != GrantStatus::Active;
            prop_assert_eq!(grant.due_at().is_none(), grant.status().is_final());
            let stored = serde_json::to_string(&grant).unwrap();
            prop_assert_eq!(&serde_json::from_str::<Grant>(&stored).unwrap(), &grant);
        }
    }
}

#[test]
fn only_an_applying_grant_can_be_extended_and_claimed() {
    let step = Step {
        action: "attach".to_owned(),
        object: "policy".to_owned(),
        data: crate::StepData::default(),
        shared: true,
    };
    let moved = applying(EnforcedBy::Cloud)
        .extend(at(1001), vec![step.clone()], EnforcedBy::Broker, "full · another way is taken")
        .unwrap();
    assert_eq!((&moved.grant.steps, moved.grant.enforced_by), (&vec![step.clone()], EnforcedBy::Broker));
    assert_eq!((moved.events[0].kind, moved.events.len()), (EventKind::Target, 1));
    let moved = moved.grant.claim(at(1090)).unwrap();
    assert_eq!((moved.grant.due_at(), moved.events.len()), (Some(at(1090)), 0));

    let active = active(EnforcedBy::Cloud);
    let wrong = active.clone().extend(at(1002), vec![step], EnforcedBy::Broker, "late").unwrap_err();
    assert_eq!(
        (&*wrong.grant, wrong.to_string().as_str()),
        (&active, "a grant that is active cannot be extended")
    );
    let wrong = active.clone().claim(at(1090)).unwrap_err();
    assert_eq!(
        (&*wrong.grant, wrong.to_string().as_str()),
        (&active, "a grant that is active cannot be claimed")
    );
}

#[test]
fn late_write_window_only_grows() {
    let grant = applying(EnforcedBy::Cloud);
    assert_eq!(grant.late_until, None);
    let grant = grant.mark_late_write_possible(at(1050)).mark_late_write_possible(at(1040));
    assert_eq!(grant.late_until, Some(at(1050)));
    let active = grant.activate(at(1001), "given").unwrap().grant;
    assert_eq!(active.late_until, Some(at(1050)), "it is remembered as long as the grant is");
}

#[test]
fn final_grant_is_due_until_its_session_deny_policy_is_removed() {
    let ending = active(EnforcedBy::Broker).end(at(1100), by_operator()).unwrap().grant;
    assert!(ending.clone().session_deny_removed(at(1101), None, None).is_err(), "not before it is final");
    let gone = ending.gone(at(1101), "sessions refused", Some(at(5000))).unwrap().grant;
    assert_eq!((gone.status(), gone.due_at()), (GrantStatus::Revoked, Some(at(5000))));

    let again = gone.session_deny_removed(at(5000), Some(at(5060)), None).unwrap();
    assert_eq!(
        (again.grant.due_at(), again.events.len()),
        (Some(at(5060)), 0),
        "a failed removal adds no event"
    );
    let swept = again.grant.session_deny_removed(at(5060), None, Some("policy deleted")).unwrap();
    assert_eq!((swept.grant.due_at(), swept.events[0].kind), (None, EventKind::DenyRemoved));
    let wrong = swept.grant.session_deny_removed(at(5061), None, None).unwrap_err();
    assert_eq!(wrong.to_string(), "a grant that is revoked cannot lose its session-deny policy");
}

/// Taken by this person at 1000 s, and revoked at 1039 s.
fn taken() -> Grant {
    let broken = BreakGlass::new(person("alice"), "INC-1".to_owned(), at(1000));
    let terms = Request { break_glass: Some(Box::new(broken)), ..request(Trust::BreakGlass) };
    let accepted = Grant::accepted(terms, at(1000), EnforcedBy::Cloud, Vec::new(), at(1030));
    accepted.grant.activate(at(1001), "token issued").unwrap().grant
}

fn person(subject: &str) -> Actor {
    let issuer = "https://login.example.com".to_owned();
    Actor::Person(protocol::Person { issuer, subject: subject.to_owned(), name: Some(subject.to_owned()) })
}

fn over(grant: Grant) -> Grant {
    let ending = grant.end(at(1038), EndCause::Client(RevokeCause::StepExited(0))).unwrap().grant;
    ending.gone(at(1039), "refused from now on", None).unwrap().grant
}

#[test]
fn a_grant_that_was_taken_is_due_again_until_it_is_reviewed() {
    let day = 24 * 60 * 60;
    assert_eq!(taken().due_at(), Some(at(1900)), "first its deadline");
    let over = over(taken());
    assert_eq!(over.due_at(), Some(at(1000 + day)));
    let overdue = over.clone().review_is_overdue(at(1000 + day)).unwrap();
    assert_eq!(
        (overdue.events[0].kind, overdue.grant.due_at()),
        (EventKind::BreakGlass, Some(at(1000 + 2 * day)))
    );
    let reviewed = overdue.grant.review(at(1_000_000), person("carol"), "fine").unwrap();
    assert_eq!((reviewed.grant.due_at(), reviewed.grant.review_until()), (None, None));
    assert_eq!(
        (reviewed.events[0].source, &reviewed.events[0].actor),
        (Source::Operator, &Some(person("carol")))
    );
    assert!(reviewed.grant.clone().review(at(1_000_001), person("dave"), "again").is_err());
    assert!(reviewed.grant.review_is_overdue(at(1_000_001)).is_err());
    let denied_until = Grant { session_deny_until: Some(at(2000)), ..over };
    assert_eq!(denied_until.due_at(), Some(at(2000)), "what comes first");
}

#[test]
fn only_what_was_taken_was_active_and_has_ended_is_reviewed() {
    assert!(taken().review(at(1002), person("carol"), "fine").is_err(), "it is live");
    assert!(
        over(active(EnforcedBy::Cloud)).review(at(1040), person("carol"), "fine").is_err(),
        "it was not taken"
    );
    let broken = Some(Box::new(BreakGlass::new(person("alice"), "INC-1".to_owned(), at(1000))));
    let failed = applying(EnforcedBy::Cloud).end(at(1031), EndCause::Abandoned).unwrap().grant;
    let failed = Grant { break_glass: broken, ..failed }.gone(at(1032), "nothing", None).unwrap().grant;
    assert_eq!((failed.review_until(), failed.due_at()), (None, None), "it never became active");
    assert!(failed.review(at(1040), person("carol"), "fine").is_err());
}

#[test]
fn a_person_is_known_by_issuer_and_subject_and_a_code_by_its_id() {
    let code = |id, label: &str| Actor::Code {
        id: protocol::BreakGlassCodeId::from_random([id; 6]),
        label: label.to_owned(),
    };
    let by = |actor| BreakGlass::new(actor, "INC-1".to_owned(), at(1000));
    let renamed = |issuer: &str| {
        Actor::Person(protocol::Person { issuer: issuer.to_owned(), subject: "alice".to_owned(), name: None })
    };
    assert!(by(person("alice")).is_by(&renamed("https://login.example.com")));
    assert!(!by(person("alice")).is_by(&renamed("https://other.example.com")));
    assert!(!by(person("alice")).is_by(&person("bob")));
    assert!(by(code(1, "a")).is_by(&code(1, "b")) && !by(code(1, "a")).is_by(&code(2, "a")));
    assert!(!by(code(1, "a")).is_by(&person("alice")));
    let operator = || Actor::Operator { name: "on-call".parse().unwrap() };
    assert!(!by(operator()).is_by(&operator()), "a name is no proof of who holds a token");
}
