use domain::grant::{Request, Transition};
use domain::{Approval, ApprovalSubject, BreakGlass, EndCause, Grant, Session, Step, TargetKind, Vote};
use protocol::{EnforcedBy, Facts, GrantId, IdempotencyKey, Person, Provenance, RevokeCause, Trust};

use super::*;
use crate::{chain, verify};

fn at(secs: i64) -> Timestamp {
    Timestamp::from_secs(secs)
}

fn request() -> Request {
    let signed = Facts { repository: Some("octo-org/my-app".to_owned()), ..Facts::default() };
    let claimed = Facts { run: Some("142".to_owned()), ..Facts::default() };
    Request {
        id: GrantId::from_random([1; 8]),
        agent_id: "orders-agent".parse().unwrap(),
        key: IdempotencyKey::from_random([2; 16]),
        request_hash: "aa".to_owned(),
        policies: vec!["orders-read".parse().unwrap()],
        target: TargetKind::Token,
        scope: TargetKind::Token.into(),
        ttl: "15m".parse().unwrap(),
        reason: Some("nightly".to_owned()),
        provenance: Provenance { signed, claimed, ..Provenance::default() },
        run: None,
        break_glass: None,
    }
}

fn accepted() -> Transition {
    let step = Step {
        action: "issue-token".to_owned(),
        object: "o".to_owned(),
        data: domain::StepData::default(),
        shared: false,
    };
    Grant::accepted(request(), at(1000), EnforcedBy::Broker, vec![step], at(1030))
}

/// Every state of a grant that is revoked, and one that is refused.
fn lives() -> Vec<Transition> {
    let accepted = accepted();
    let active = accepted.clone().then(accepted.grant.clone().activate(at(1001), "issued").unwrap());
    let cause = EndCause::Client(RevokeCause::Asked);
    let revoking = active.clone().then(active.grant.clone().end(at(1010), cause).unwrap());
    let settling = revoking.clone().then(revoking.grant.clone().verify(at(1011), at(1012), "asked").unwrap());
    let revoked = settling.clone().then(settling.grant.clone().gone(at(1012), "gone", None).unwrap());
    let expired = active.clone().then(active.grant.clone().end(at(1900), EndCause::Deadline).unwrap());
    let undoing = accepted.clone().then(accepted.grant.clone().end(at(1031), EndCause::Abandoned).unwrap());
    let failed = undoing.clone().then(undoing.grant.clone().gone(at(1032), "nothing", None).unwrap());
    let code = protocol::ErrorCode::PolicyNotPermitted;
    let denied = Grant::denied(request(), at(1000), code, "outside");
    vec![accepted, active, revoking, settling, revoked, expired, undoing, failed, denied]
}

fn found(life: &Transition) -> Result<(), Broken> {
    verify(&life.grant, &chain(&life.grant.id, None, &life.events))
}

#[test]
fn record_and_rows_of_every_state_agree() {
    for life in lives() {
        assert_eq!(found(&life), Ok(()), "{:?}", life.grant.state);
    }
}

type Forgery = fn(&mut Grant);

#[test]
fn every_changed_field_of_the_record_is_named() {
    let changes: [(&str, Forgery); 12] = [
        ("`agent_id`", |grant| grant.agent_id = "other-agent".parse().unwrap()),
        ("`policies`", |grant| grant.policies = vec!["orders-write".parse().unwrap()]),
        ("`ttl`", |grant| grant.ttl = "1h".parse().unwrap()),
        ("`reason`", |grant| grant.reason = None),
        ("`trust`", |grant| grant.provenance.trust = Trust::AuthTokenOnly),
        ("`issuer`", |grant| grant.provenance.issuer = Some("https://other.example".to_owned())),
        ("`subject`", |grant| grant.provenance.subject = Some("repo:evil/fork".to_owned())),
        ("`signed.repository`", |grant| grant.provenance.signed.repository = Some("evil/fork".to_owned())),
        ("`claimed.commit`", |grant| grant.provenance.claimed.commit = Some("a7c1f24".to_owned())),
        ("`requested_at`", |grant| grant.requested_at = at(999)),
        ("`expires_at` is not the beginning and `ttl`", |grant| grant.expires_at = at(5000)),
        ("`enforced_by`", |grant| grant.enforced_by = EnforcedBy::Cloud),
    ];
    for (expected, change) in changes {
        let mut life = accepted();
        change(&mut life.grant);
        assert_eq!(found(&life), Err(Broken::Record { what: expected.to_owned() }));
    }
}

/// A grant that was taken by break-glass, ended, was not reviewed in time, and then was.
fn taken() -> Transition {
    let by = Actor::Operator { name: "on-call".parse().unwrap() };
    let broken = BreakGlass::new(by.clone(), "INC-1".to_owned(), at(1000));
    let terms = Request { break_glass: Some(Box::new(broken)), ..request() };
    let accepted = Grant::accepted(terms, at(1000), EnforcedBy::Broker, Vec::new(), at(1030));
    let active = accepted.clone().then(accepted.grant.activate(at(1001), "issued").unwrap());
    let cause = EndCause::Client(RevokeCause::Asked);
    let ending = active.clone().then(active.grant.end(at(1010), cause).unwrap());
    let over = ending.clone().then(ending.grant.gone(at(1012), "gone", None).unwrap());
    let overdue = over.clone().then(over.grant.review_is_overdue(at(90_000)).unwrap());
    overdue.clone().then(overdue.grant.review(at(90_001), by, "fine").unwrap())
}

#[test]
fn every_changed_field_of_break_glass_is_named() {
    assert_eq!(found(&taken()), Ok(()));
    fn broken(grant: &mut Grant) -> &mut BreakGlass {
        grant.break_glass.as_mut().unwrap()
    }
    let changes: [(&str, Forgery); 5] = [
        ("`break_glass.by`", |grant| broken(grant).by = Actor::Operator { name: "other".parse().unwrap() }),
        ("`incident`", |grant| broken(grant).incident = "INC-2".to_owned()),
        ("`break_glass.review_until`", |grant| broken(grant).review_until = at(1_000_000)),
        ("`break_glass.review`", |grant| broken(grant).review.as_mut().unwrap().note = "bad".to_owned()),
        ("`break_glass.review`", |grant| broken(grant).review = None),
    ];
    for (expected, change) in changes {
        let mut life = taken();
        change(&mut life.grant);
        let found = found(&life);
        let Err(Broken::Record { what }) = &found else { panic!("{expected}: {found:?}") };
        assert_eq!(what, expected);
    }
    let mut life = taken();
    life.grant.break_glass = None;
    assert_eq!(found(&life), Err(Broken::Record { what: "the first row is no request".to_owned() }));
}

#[test]
fn a_record_that_stands_elsewhere_than_its_rows_is_named() {
    let all = lives();
    for (n, life) in all.iter().enumerate() {
        for (other, elsewhere) in all.iter().enumerate().filter(|(other, _)| *other != n) {
            // While it is read back, its rows are the same as before.
            if matches!((n, other), (2, 3) | (3, 2)) {
                continue;
            }
            let mut forged = life.clone();
            forged.grant.state = elsewhere.grant.state.clone();
            assert!(
                found(&forged).is_err(),
                "{:?} with the rows of {:?}",
                forged.grant.state,
                life.grant.state
            );
        }
    }
    let mut used_for_longer = all[4].clone();
    if let State::Revoked { ended_at, .. } = &mut used_for_longer.grant.state {
        *ended_at = at(1800);
    }
    assert_eq!(found(&used_for_longer), Err(Broken::Record { what: "`ended_at`".to_owned() }));
}

#[test]
fn rows_of_a_release_that_did_not_tell_of_trust_are_read() {
    let mut life = accepted();
    life.events[0].data.remove("trust");
    assert_eq!(found(&life), Ok(()));
}

fn vote(subject: &str, secs: i64) -> Vote {
    let person = Person {
        issuer: "https://login.example.com".to_owned(),
        subject: subject.to_owned(),
        name: Some("Example".to_owned()),
    };
    let session = Session {
        person,
        groups: [].into(),
        accounts: [].into(),
        authenticated_at: at(900),
        started_at: at(900),
        ends_at: at(5000),
    };
    Vote { session, at: at(secs), standing: None }
}

fn asked() -> Approval {
    let subject = ApprovalSubject { digest: "d".repeat(64), parts: [].into() };
    let (rules, started_by) = (vec!["two".to_owned()], [].into());
    Approval { subject, quorum: 2, rules, hints: Vec::new(), started_by, votes: Vec::new() }
}

/// Asked again after a first vote, approved by two persons, collected, active.
fn approved() -> Vec<Transition> {
    let asks = Grant::waiting(request(), at(1000), asked(), at(4600));
    let first = asks.clone().then(asks.grant.clone().vote(vote("alice", 1010), None, None).unwrap());
    let again = first.grant.clone().ask_again(at(1020), asked(), at(4620), "changed: rules").unwrap();
    let again = first.clone().then(again);
    let one = again.clone().then(again.grant.clone().vote(vote("bob", 1030), Some("ok"), None).unwrap());
    let two = one.grant.clone().vote(vote("carol", 1040), None, Some(at(1340))).unwrap();
    let two = one.clone().then(two);
    let collected = two.grant.clone().collect(at(1100), EnforcedBy::Cloud, Vec::new(), at(1130)).unwrap();
    let collected = two.clone().then(collected);
    let active = collected.clone().then(collected.grant.clone().activate(at(1101), "issued").unwrap());
    let denied = one.clone().then(one.grant.clone().end(at(1050), EndCause::NotApproved).unwrap());
    vec![asks, first, again, one, two, collected, active, denied]
}

#[test]
fn an_approval_in_the_record_agrees_with_the_votes_in_the_rows() {
    for life in approved() {
        assert_eq!(found(&life), Ok(()), "{:?}", life.grant.state);
    }
    let forgeries: [(&str, Forgery); 6] = [
        ("another voter", |grant| {
            grant.approval.as_mut().unwrap().votes[0].session.person.subject = "eve".to_owned()
        }),
        ("a vote from before it was asked again", |grant| {
            grant.approval.as_mut().unwrap().votes.insert(0, vote("alice", 1010));
        }),
        ("a vote less", |grant| drop(grant.approval.as_mut().unwrap().votes.pop())),
        ("another digest", |grant| grant.approval.as_mut().unwrap().subject.digest = "e".repeat(64)),
        ("a lower quorum", |grant| grant.approval.as_mut().unwrap().quorum = 1),
        ("no approval", |grant| grant.approval = None),
    ];
    for (what, forge) in forgeries {
        let mut forged = approved().remove(6);
        forge(&mut forged.grant);
        assert!(found(&forged).is_err(), "{what}");
    }
    // Active with the rows of one vote.
    let lives = approved();
    let mut forged = lives[3].clone();
    forged.grant.state = lives[5].grant.state.clone();
    assert!(found(&forged).is_err());
}
