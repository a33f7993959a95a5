//! Persons: their sessions, and what the rules of persons permit.

use std::sync::Arc;
use std::time::Duration;

use domain::Session;
use engine::{Author, Caller, Engine, On, Page, People, Revocable, hash_of};
use identity::{Http, SignIn, SignInConfig};
use policy::PeopleRules;
use protocol::people::Right;
use protocol::{Actor, ErrorCode, EventKind, GrantQuery, GrantStatus, Person, RevokeCause, Secret, Source};
use store::{ApplyMode, PendingSession};

use crate::fixture::{AGENT, Fixture, Gate, operator};

pub(crate) const ISSUER: &str = "https://login.example.com";

const RULES: &str = r#"
    @id("platform") permit (principal in Team::"platform", action, resource);
    @id("support") permit (principal in Team::"support", action == Action::"view", resource is Agent);
"#;

pub(crate) fn people(issuer: &str, rules: &str) -> People {
    let config = SignInConfig {
        issuer: issuer.to_owned(),
        client_id: "cloudanix-jit".to_owned(),
        client_secret: None,
        redirect_uri: "https://jit.example.com/sign-in/callback".to_owned(),
        scopes: Vec::new(),
        groups_claim: "groups".to_owned(),
        account_claims: std::collections::BTreeMap::new(),
        max_age: Duration::from_secs(12 * 3600),
    };
    People {
        sign_in: SignIn::new(config, Http::new(None).unwrap()),
        rules: PeopleRules::parse("people.cedar", rules).unwrap(),
        session: Duration::from_secs(12 * 3600),
        fresh: Duration::from_secs(15 * 60),
        approval: Duration::from_secs(3600),
        idle: Duration::from_secs(3600),
    }
}

pub(crate) fn person(subject: &str) -> Person {
    Person {
        issuer: ISSUER.to_owned(),
        subject: subject.to_owned(),
        name: Some(format!("{subject} Example")),
    }
}

async fn broker(fixture: &Fixture) -> Arc<Engine> {
    let broker = fixture.broker(Gate::open()).await;
    broker.set_people(Some(people(ISSUER, RULES)));
    broker
}

/// Stores a session that began just now; its code is exchanged with [`verifier`].
async fn pending(fixture: &Fixture, broker: &Engine, subject: &str, team: &str, code: &Secret) {
    let now = broker.now();
    let session = Session {
        person: person(subject),
        groups: [team.to_owned()].into(),
        accounts: std::collections::BTreeMap::new(),
        authenticated_at: now,
        started_at: now,
        ends_at: now.plus(Duration::from_secs(12 * 3600)),
    };
    let pending = PendingSession {
        code_hash: &hash_of(code.reveal()),
        challenge: &identity::code_challenge(&verifier()),
        session: &session,
        code_expires_at: now.plus(Duration::from_secs(120)),
    };
    fixture.store.add_session(pending).await.unwrap();
}

fn verifier() -> Secret {
    Secret::new("v".repeat(43))
}

/// A person who signed in just now, and whose client has the session's token.
pub(crate) async fn signed_in(fixture: &Fixture, broker: &Engine, subject: &str, team: &str) -> Secret {
    let code = Secret::new(format!("code-of-{subject}"));
    pending(fixture, broker, subject, team, &code).await;
    let wrong = broker.exchange_code(&code, &Secret::new("w".repeat(43))).await.unwrap_err();
    assert_eq!(wrong.code, ErrorCode::SignInRefused);
    let exchanged = broker.exchange_code(&code, &verifier()).await.unwrap();
    let again = broker.exchange_code(&code, &verifier()).await.unwrap_err();
    assert_eq!(again.code, ErrorCode::SignInRefused);
    exchanged.token
}

async fn caller(broker: &Engine, token: &Secret) -> Caller {
    broker.caller(Some(token)).await.unwrap()
}

async fn right(broker: &Engine, token: &Secret, right: Right, on: On<'_>) -> Result<Actor, ErrorCode> {
    broker.actor(Some(token), right, on).await.map_err(|refusal| refusal.code)
}

/// Registers an agent in these groups.
async fn register(broker: &Engine, id: &str, groups: &str) {
    let source = format!(
        "id = \"{id}\"\nuse_case = \"other\"\nmax_session = \"1h\"\ngroups = [{groups}]\n\
         [boundary]\ntarget = \"token\"\npolicies = {{ p = \"p\" }}\n[dangerous]\nallow_auth_token_only = true"
    );
    broker.apply_agent(&source, ApplyMode::CreateOnly, &Author::Configuration).await.unwrap();
}

#[tokio::test]
async fn a_list_of_agents_goes_on_behind_those_that_the_person_may_not_see() {
    let fixture = Fixture::new().await;
    let broker = fixture.broker(Gate::open()).await;
    let rules = r#"@id("all") permit (principal in Team::"platform", action, resource);
        @id("team") permit (principal in Team::"shop", action == Action::"view", resource in Group::"shop");"#;
    broker.set_people(Some(people(ISSUER, rules)));
    for n in 0..29 {
        register(&broker, &format!("agent-{n:02}"), "").await;
    }
    register(&broker, "agent-29", "\"shop\"").await;
    for (person, team, expected) in [("alice", "platform", 31), ("bob", "shop", 1), ("carol", "none", 0)] {
        let token = signed_in(&fixture, &broker, person, team).await;
        let (mut seen, mut after, mut requests) = (Vec::new(), None, 0);
        loop {
            let list = broker.agents(Some(&token), after, Page::of(Some(1))).await.unwrap();
            seen.extend(list.agents.into_iter().map(|agent| agent.id.to_string()));
            requests += 1;
            after = list.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(seen.len(), expected, "{person}: {seen:?}");
        let has_it = seen.contains(&"agent-29".to_owned());
        assert!(has_it == (expected > 0) && seen.is_sorted(), "{person}: {seen:?}");
        assert!(requests > 1, "{person}: one request reads 20 pages of the store");
    }
}

#[tokio::test]
async fn a_person_ends_a_grant_and_the_timeline_names_the_person() {
    let fixture = Fixture::new().await;
    let broker = broker(&fixture).await;
    let id = broker.elevate(fixture.elevation(1)).await.unwrap().grant.id;
    let alice = signed_in(&fixture, &broker, "alice", "platform").await;
    let alice = caller(&broker, &alice).await;
    broker.revoke(&alice, &Revocable::Id(id.clone()), RevokeCause::Asked).await.unwrap();
    let timeline = broker.timeline(&alice, &id).await.unwrap();
    let row = timeline.events.iter().find(|row| row.kind == EventKind::Revoke).unwrap();
    assert_eq!((row.text.as_str(), row.source), ("ended by alice Example", Source::Operator));
    assert_eq!(row.actor, Some(Actor::Person(person("alice"))));
    assert!(timeline.intact, "{:?}", timeline.broken);
}

#[tokio::test]
async fn a_person_may_what_the_rules_permit_and_nothing_else() {
    let fixture = Fixture::new().await;
    let broker = broker(&fixture).await;
    let id = broker.elevate(fixture.elevation(1)).await.unwrap().grant.id;
    let bob = signed_in(&fixture, &broker, "bob", "support").await;
    let carol = signed_in(&fixture, &broker, "carol", "sales").await;
    let agent = AGENT.parse().unwrap();

    assert_eq!(right(&broker, &bob, Right::View, On::Agent(&agent)).await, Ok(Actor::Person(person("bob"))));
    for (what, on) in [
        (Right::View, On::Broker),
        (Right::Operate, On::Agent(&agent)),
        (Right::Register, On::Agent(&agent)),
        (Right::Audit, On::Agent(&agent)),
    ] {
        assert_eq!(right(&broker, &bob, what, on).await, Err(ErrorCode::NotPermitted), "{what:?}");
    }
    assert_eq!(broker.session(Some(&bob)).await.unwrap().rights, []);

    // Bob sees the grant, and cannot end it or read the facts of its decision.
    let bob = caller(&broker, &bob).await;
    broker.state(&bob, &id).await.unwrap();
    let revoke = async |caller: &Caller| {
        let what = Revocable::Id(id.clone());
        broker.revoke(caller, &what, RevokeCause::Asked).await.map_err(|refusal| refusal.code)
    };
    assert_eq!(revoke(&bob).await.unwrap_err(), ErrorCode::NotPermitted);
    assert_eq!(broker.explain(&bob, &id).await.unwrap_err().code, ErrorCode::NotPermitted);
    // For Carol there is no such grant.
    let carol = caller(&broker, &carol).await;
    assert_eq!(broker.state(&carol, &id).await.unwrap_err().code, ErrorCode::GrantNotFound);
    assert_eq!(revoke(&carol).await.unwrap_err(), ErrorCode::GrantNotFound);
    assert_eq!(broker.state(&operator(), &id).await.unwrap().status, GrantStatus::Active);
}

#[tokio::test]
async fn a_list_has_what_a_person_may_see_and_goes_on_behind_what_the_person_may_not() {
    let fixture = Fixture::new().await;
    let broker = fixture.broker(Gate::open()).await;
    let only_shop =
        r#"@id("shop") permit (principal, action == Action::"view", resource == Agent::"shop-agent");"#;
    broker.set_people(Some(people(ISSUER, only_shop)));
    let token = fixture.register("shop-agent").await;
    let mut shop = fixture.elevation(1);
    shop.bearer = Some(token);
    shop.request.agent_id = "shop-agent".parse().unwrap();
    let theirs = broker.elevate(shop).await.unwrap().grant.id;
    for n in 2..=26 {
        broker.elevate(fixture.elevation(n)).await.unwrap();
    }
    let bob = signed_in(&fixture, &broker, "bob", "support").await;
    let page = |after| GrantQuery { after, limit: Some(1), ..GrantQuery::default() };
    let first = broker.grants(Some(&bob), &page(None)).await.unwrap();
    assert!(first.grants.is_empty(), "one request reads a bounded number of grants");
    let second = broker.grants(Some(&bob), &page(first.next)).await.unwrap();
    assert_eq!(second.grants.iter().map(|grant| &grant.id).collect::<Vec<_>>(), [&theirs]);
    let last = broker.grants(Some(&bob), &page(second.next)).await.unwrap();
    assert!(last.grants.is_empty() && last.next.is_none());
}

#[tokio::test]
async fn a_grant_is_found_by_its_policy_and_by_the_person_who_ended_it() {
    let fixture = Fixture::new().await;
    let broker = broker(&fixture).await;
    let mut ids = Vec::new();
    for n in 1..=2 {
        ids.push(broker.elevate(fixture.elevation(n)).await.unwrap().grant.id);
    }
    let alice = signed_in(&fixture, &broker, "alice", "platform").await;
    let person = caller(&broker, &alice).await;
    broker.revoke(&person, &Revocable::Id(ids[0].clone()), RevokeCause::Asked).await.unwrap();
    let found = async |query: GrantQuery| {
        let list = broker.grants(Some(&alice), &query).await.unwrap();
        list.grants.into_iter().map(|grant| grant.id).collect::<Vec<_>>()
    };
    for searched in ["alice", " ALICE Example "] {
        let query = GrantQuery { person: Some(searched.to_owned()), ..GrantQuery::default() };
        assert_eq!(found(query).await, ids[..1], "{searched}");
    }
    let of_policy = |name: &str| GrantQuery { policy: Some(name.parse().unwrap()), ..GrantQuery::default() };
    assert_eq!(found(of_policy("orders-read")).await, [ids[1].clone(), ids[0].clone()]);
    let query = GrantQuery { person: Some("bob".to_owned()), ..GrantQuery::default() };
    assert!(found(query).await.is_empty() && found(of_policy("orders-write")).await.is_empty());
}

#[tokio::test]
async fn a_session_ends_at_its_end_and_when_it_is_not_used() {
    let fixture = Fixture::new().await;
    let broker = broker(&fixture).await;
    let used = signed_in(&fixture, &broker, "alice", "platform").await;
    let unused = signed_in(&fixture, &broker, "bob", "platform").await;
    // An open page looks at a grant while its person is away.
    let open = signed_in(&fixture, &broker, "carol", "platform").await;
    let id = broker.elevate(fixture.elevation(1)).await.unwrap().grant.id;
    for hour in 0..12 {
        // Twice in an hour, and never an hour apart.
        for pause in [1801, 1799] {
            assert!(broker.session(Some(&used)).await.is_ok(), "in hour {hour}");
            let looked = broker.timeline_on_open_page(&open, &id).await.map_err(|refusal| refusal.code);
            assert_eq!(looked.err(), (hour > 0).then_some(ErrorCode::SessionEnded), "in hour {hour}");
            fixture.pass_time(pause);
        }
        let alive = broker.session(Some(&unused)).await;
        assert_eq!(alive.unwrap_err().code, ErrorCode::SessionEnded, "after hour {hour}");
    }
    assert_eq!(broker.session(Some(&used)).await.unwrap_err().code, ErrorCode::SessionEnded);
}

#[tokio::test]
async fn a_session_ends_with_a_sign_out_or_with_its_provider() {
    let fixture = Fixture::new().await;
    let broker = broker(&fixture).await;
    let alice = signed_in(&fixture, &broker, "alice", "platform").await;
    let bob = signed_in(&fixture, &broker, "bob", "platform").await;
    broker.end_session(Some(&alice)).await.unwrap();
    assert_eq!(right(&broker, &alice, Right::View, On::Broker).await, Err(ErrorCode::SessionEnded));
    assert!(right(&broker, &bob, Right::View, On::Broker).await.is_ok());
    broker.set_people(Some(people("https://other.example.com", RULES)));
    assert_eq!(right(&broker, &bob, Right::View, On::Broker).await, Err(ErrorCode::SessionEnded));
    broker.set_people(None);
    assert_eq!(right(&broker, &bob, Right::View, On::Broker).await, Err(ErrorCode::SignInUnavailable));
}

#[tokio::test]
async fn new_rules_of_persons_hold_for_open_sessions() {
    let fixture = Fixture::new().await;
    let broker = broker(&fixture).await;
    let alice = signed_in(&fixture, &broker, "alice", "platform").await;
    assert!(right(&broker, &alice, Right::Register, On::Broker).await.is_ok());
    let rules = r#"@id("view") permit (principal, action == Action::"view", resource);"#;
    broker.set_people(Some(people(ISSUER, rules)));
    assert_eq!(right(&broker, &alice, Right::Register, On::Broker).await, Err(ErrorCode::NotPermitted));
    assert_eq!(broker.session(Some(&alice)).await.unwrap().rights, [Right::View]);
}

#[tokio::test]
async fn the_code_of_a_sign_in_is_good_for_two_minutes() {
    let fixture = Fixture::new().await;
    let broker = broker(&fixture).await;
    let code = Secret::new("code");
    pending(&fixture, &broker, "alice", "platform", &code).await;
    // The code is no token.
    assert_eq!(right(&broker, &code, Right::View, On::Broker).await, Err(ErrorCode::AuthTokenInvalid));
    fixture.pass_time(120);
    assert_eq!(broker.exchange_code(&code, &verifier()).await.unwrap_err().code, ErrorCode::SignInRefused);
}
