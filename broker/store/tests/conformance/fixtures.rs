//! Fixtures for the tests of the suite.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use domain::facts::{
    AgentFacts, DecisionFacts, IdentityFacts, ObservedFacts, RequestFacts, RunFacts, VERSION,
};
use domain::grant::{Request, Transition};
use domain::{
    Decided, Decision, DecisionKind, EndCause, Grant, Lease, Registration, ReplayGuard, RuleSetDigest,
    Session, Step, TargetKind, UseCase, Verdict, registration,
};
use protocol::rules::{RuleSetFiles, RulesAction, RulesState};
use protocol::{
    AgentId, EnforcedBy, ErrorCode, Facts, GrantId, IdempotencyKey, Person, Provenance, RevokeCause,
    Timestamp, Trust,
};
use store::{
    Applied, ApplyMode, Created, DenialOutcome, DeniedRequest, GrantRecord, PostureStatement, Precondition,
    Registering, SaveOutcome, Store, StoredToken,
};

/// For a purge: how long decisions are kept.
pub(crate) const KEPT: Duration = Duration::from_secs(1_000_000);

pub(crate) fn at(secs: i64) -> Timestamp {
    Timestamp::from_secs(secs)
}

pub(crate) fn agent_id(name: &str) -> AgentId {
    name.parse().unwrap()
}

pub(crate) fn toml(agent: &str, description: &str) -> String {
    format!(
        "id = \"{agent}\"\ndescription = \"{description}\"\nuse_case = \"other\"\nmax_session = \"1h\"\n\
         [[trust]]\nissuer = \"https://issuer.example\"\nplatform = \"oidc\"\n\
         audience = \"cloudanix-jit\"\nclaims = {{ sub = \"{agent}\" }}\n\
         [boundary]\ntarget = \"token\"\npolicies = {{ \"orders-read\" = \"orders:read\" }}\n"
    )
}

pub(crate) fn registration(source: &str) -> Registration {
    registration::parse(source).unwrap()
}

pub(crate) fn token(agent: &str, id: &str, created: i64) -> StoredToken {
    StoredToken {
        id: id.to_owned(),
        agent_id: agent_id(agent),
        hash: format!("hash of {id}"),
        created_at: at(created),
        expires_at: None,
    }
}

pub(crate) async fn registered(store: &dyn Store, agent: &str, token_id: &str, now: i64) -> Applied {
    apply(store, &toml(agent, "first"), ApplyMode::Replace, &token(agent, token_id, now), now).await
}

pub(crate) async fn apply(
    store: &dyn Store,
    source: &str,
    mode: ApplyMode,
    token: &StoredToken,
    now: i64,
) -> Applied {
    let registration = &registration(source);
    store.apply_agent(Registering { registration, source, mode, token, now: at(now) }).await.unwrap()
}

/// The key of the request with this number.
pub(crate) fn key(number: u64) -> IdempotencyKey {
    IdempotencyKey::from_random(u128::from(number).to_be_bytes())
}

/// The id of the grant of the request with this number.
pub(crate) fn grant_id(number: u64) -> GrantId {
    GrantId::from_random(number.to_be_bytes())
}

pub(crate) fn request(agent: &str, number: u64) -> Request {
    Request {
        id: grant_id(number),
        agent_id: agent_id(agent),
        key: key(number),
        request_hash: "aa".to_owned(),
        policies: vec!["orders-read".parse().unwrap()],
        target: TargetKind::Token,
        scope: TargetKind::Token.into(),
        ttl: "15m".parse().unwrap(),
        reason: Some("a reason with ' and \" and ; in it".to_owned()),
        provenance: Provenance::default(),
        run: None,
        break_glass: None,
    }
}

/// Requested at 1000 s, claimed until 1030 s, deadline at 1900 s.
pub(crate) fn accepted(request: Request) -> Transition {
    let steps = ["first", "second"].map(|action| Step {
        action: action.to_owned(),
        object: request.id.to_string(),
        data: domain::StepData::encode(&["orders:read"]).unwrap(),
        shared: false,
    });
    Grant::accepted(request, at(1000), EnforcedBy::Cloud, steps.to_vec(), at(1030))
}

/// Denied at this time: the request with this number, which is like no other.
pub(crate) fn denied(agent: &str, number: u64, secs: i64) -> Transition {
    let request = Request { request_hash: format!("request {number}"), ..request(agent, number) };
    Grant::denied(request, at(secs), ErrorCode::PolicyNotPermitted, "not permitted")
}

/// Denied at 1000 s, without an OIDC token.
pub(crate) async fn refused(store: &dyn Store, agent: &str, number: u64) -> DenialOutcome {
    let transition = denied(agent, number, 1000);
    store
        .record_denied(DeniedRequest {
            transition: &transition,
            key: &key(number),
            replay: None,
            decision: None,
        })
        .await
        .unwrap()
}

pub(crate) fn lease(last_heartbeat: i64) -> Lease {
    Lease::new(Duration::from_secs(10), at(last_heartbeat))
}

pub(crate) fn once(token: &str) -> ReplayGuard {
    ReplayGuard { token_hash: token.to_owned(), bound_to: None, forget_after: at(2000) }
}

pub(crate) fn for_job(token: &str, job: &str) -> ReplayGuard {
    ReplayGuard { token_hash: token.to_owned(), bound_to: Some(job.to_owned()), forget_after: at(2000) }
}

pub(crate) async fn created(
    store: &dyn Store,
    agent: &str,
    number: u64,
    lease: Option<Lease>,
) -> GrantRecord {
    is_new(store.create_grant(&accepted(request(agent, number)), lease, None, None, None).await.unwrap())
}

#[track_caller]
pub(crate) fn is_new(created: Created) -> GrantRecord {
    match created {
        Created::New(stored) => stored,
        other @ (Created::Joined(_)
        | Created::KeyConflict
        | Created::AgentDisabled
        | Created::KeyRevoked
        | Created::Replayed
        | Created::TooManyActive
        | Created::ContextChanged) => panic!("expected a new grant, found {other:?}"),
    }
}

pub(crate) async fn active(store: &dyn Store, agent: &str, number: u64, lease: Option<Lease>) -> GrantRecord {
    let before = created(store, agent, number, lease).await;
    let transition = before.grant.clone().activate(at(1001), "token issued").unwrap();
    done(store, &before, &transition).await
}

/// Active, then revoked by the client, then gone.
pub(crate) async fn ended(store: &dyn Store, agent: &str, number: u64) -> GrantRecord {
    let before = active(store, agent, number, None).await;
    end(store, &before).await
}

pub(crate) async fn end(store: &dyn Store, before: &GrantRecord) -> GrantRecord {
    let before = done(store, before, &asked_back(before)).await;
    let transition = before.grant.clone().gone(at(1003), "refused from now on", None).unwrap();
    done(store, &before, &transition).await
}

pub(crate) fn asked_back(before: &GrantRecord) -> Transition {
    before.grant.clone().end(at(1002), EndCause::Client(RevokeCause::Asked)).unwrap()
}

pub(crate) async fn done(store: &dyn Store, before: &GrantRecord, transition: &Transition) -> GrantRecord {
    match store.save(before, transition, Precondition::Version, None).await.unwrap() {
        SaveOutcome::Done(stored) => stored,
        other @ (SaveOutcome::Conflict | SaveOutcome::LockLost) => {
            panic!("expected the change to be made, found {other:?}")
        }
    }
}

/// A decision at this time. Its claims have everything that is hard to store.
pub(crate) fn decision(kind: DecisionKind, agent: &str, secs: i64) -> Decision {
    let claims = serde_json::json!({ "nul": "a\0b", "number": 0.1, "large": 1e300, "nested": { "b": [1, null], "a": "\\" } });
    let facts = DecisionFacts {
        version: VERSION,
        nonce: "0".repeat(32),
        at: at(secs),
        local: BTreeMap::new(),
        agent: AgentFacts {
            id: agent_id(agent),
            use_case: UseCase::Other,
            labels: BTreeMap::new(),
            groups: BTreeSet::new(),
            registration: "aa".to_owned(),
        },
        request: RequestFacts {
            scope: TargetKind::Token.into(),
            target: TargetKind::Token,
            account: None,
            ttl: "15m".parse().unwrap(),
            heartbeat: false,
            policies: Vec::new(),
        },
        identity: IdentityFacts {
            trust: Trust::default(),
            platform: None,
            issuer: None,
            subject: None,
            signed: Facts::default(),
            claims: BTreeMap::from([("custom".to_owned(), claims)]),
        },
        observed: ObservedFacts::default(),
        posture: BTreeMap::new(),
        run: RunFacts::default(),
    };
    let verdict = Verdict { hints: vec!["ask \"again\"".to_owned()], ..Verdict::without_rules() };
    let shadow = Decided { rules: Some(digest(2)), verdict: Verdict::without_rules() };
    Decision { kind, facts, enforced: Decided { rules: Some(digest(1)), verdict }, shadow: Some(shadow) }
}

pub(crate) fn digest(number: u64) -> RuleSetDigest {
    format!("{number:064x}").parse().unwrap()
}

pub(crate) fn rule_set(number: u64) -> RuleSetFiles {
    RuleSetFiles {
        digest: digest(number),
        files: BTreeMap::from([("a.cedar".to_owned(), format!("// \0 {number}"))]),
        created_at: at(900),
        created_by: "on-call".to_owned(),
    }
}

/// The set with this number as the active one.
pub(crate) fn applied(number: u64, secs: i64) -> RulesState {
    RulesState {
        version: 0,
        active: Some(digest(number)),
        candidate: None,
        rollout: Vec::new(),
        action: RulesAction::Apply,
        at: at(secs),
        by: "on-call".to_owned(),
    }
}

/// Changes the rules, and returns the new version.
pub(crate) async fn rules_changed(store: &dyn Store, expected: i64, secs: i64) -> i64 {
    let changed = store.change_rules(expected, &applied(1, secs), Some(&rule_set(1))).await.unwrap();
    changed.unwrap().version
}

/// Holds until 100,000 s.
pub(crate) fn statement(source: &str, subject: &str, ok: bool, as_of: i64) -> PostureStatement {
    let (source, subject) = (source.to_owned(), subject.to_owned());
    PostureStatement { source, subject, ok, as_of: at(as_of), expires_at: at(100_000) }
}

/// The session of a person, with what is hard to store.
pub(crate) fn session(subject: &str) -> Session {
    Session {
        person: Person {
            issuer: "https://login.example.com".to_owned(),
            subject: subject.to_owned(),
            name: Some("Alice \0 \u{1f4e6}".to_owned()),
        },
        groups: ["platform".to_owned(), "\0".to_owned()].into(),
        accounts: [("github".to_owned(), "octo-alice".to_owned())].into(),
        authenticated_at: at(900),
        started_at: at(1000),
        ends_at: at(5000),
    }
}
