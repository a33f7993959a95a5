//! Replicas end every grant when one of them is killed or suspended, or when their PostgreSQL is down for a while.

use std::collections::BTreeSet;
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use system_tests::broker::Broker;
use system_tests::client::kill;
use system_tests::fixture::{elevation, new_key};
use system_tests::http;
use system_tests::lossy_proxy::LossyProxy;
use system_tests::replicas::{CONNECTIONS, Replicas, kinds};
use system_tests::waiting::{eventually, eventually_within};

const WAITS: &str = "echo $CLOUDANIX_GRANT_ID > grant; until test -e go; do sleep 0.01; done";
const RUN: [&str; 9] = ["run", "--policy", "orders-read", "--ttl", "15m", "--", "sh", "-c", WAITS];
const BEAT: &str = "POST /v2/agentic/jit/";

/// A claim lapses after half a minute, which is also the interval of the housekeeping.
const TAKEN_OVER: Duration = Duration::from_secs(50);

fn signal(broker: &Broker, name: &str) {
    kill(broker.pid().cast_signed(), name);
}

fn is_ready(broker: &Broker) -> bool {
    http::try_send(broker.request(Method::GET, "/readyz")).is_ok_and(|answer| answer.status == 200)
}

fn ids(grants: &[Value]) -> BTreeSet<String> {
    grants.iter().map(|grant| grant["id"].as_str().unwrap().to_owned()).collect()
}

/// Asserts that every timeline is intact, with one event that begins the end and one that finishes it.
#[track_caller]
fn assert_ended_once(replicas: &Replicas, broker: &Broker, grants: &BTreeSet<String>) {
    for id in grants {
        let timeline = broker.timeline(id);
        let kinds = kinds(&timeline);
        for either in [&["revoke", "lease_lost"][..], &["revoked"]] {
            let told = kinds.iter().filter(|kind| either.contains(&kind.as_str())).count();
            assert_eq!(told, 1, "{either:?}: {timeline}");
        }
    }
    let gaps = "SELECT count(*) FROM grants WHERE last_seq <> (SELECT max(seq) FROM events WHERE grant_number = number)";
    assert_eq!(replicas.query(gaps), "0");
}

#[test]
fn another_replica_finishes_the_work_of_a_killed_broker() {
    let mut replicas = Replicas::start(2, "10s");
    let elevate = || replicas.fixture.elevate().expect(201).text_at("/credentials/token").to_owned();
    let tokens: Vec<String> = (0..40).map(|_| elevate()).collect();
    let all = ids(&replicas.fixture.broker.live());
    let url = format!("{}/v2/agents/orders-agent/disable", replicas.fixture.broker.url());
    let operator = replicas.fixture.broker.operator_token().to_owned();
    let held_back = replicas.hold_back_ends();
    let disabling = std::thread::spawn(move || {
        drop(http::try_send(http::request(Method::POST, &url).bearer_auth(operator)));
    });
    let status = "SELECT status FROM agents";
    eventually("the agent to be off", || (replicas.query(status) == "disabled").then_some(()));
    replicas.fixture.broker.kill();
    disabling.join().unwrap();
    drop(held_back);
    let live = |replicas: &Replicas| replicas.others[0].live().len();
    let left = live(&replicas);
    assert!(left > 0, "the broker finished before the kill: nothing was tested");
    eventually_within(TAKEN_OVER, "the end of everything", || (live(&replicas) == 0).then_some(()));
    for token in tokens {
        assert_eq!(replicas.others[0].introspect(&token), json!({"active": false}));
    }
    assert_ended_once(&replicas, &replicas.others[0], &all);
}

/// Suspends one broker while it ends grants without heartbeats. The other broker finishes; then the first resumes with
/// lapsed claims and pending writes.
#[test]
fn resumed_broker_with_lapsed_claims_changes_nothing() {
    let replicas = Replicas::start(2, "1s");
    let (sleeper, other) = (&replicas.fixture.broker, &replicas.others[0]);
    signal(other, "STOP");
    let mut body = replicas.fixture.body();
    body["heartbeat"] = json!(true);
    for _ in 0..60 {
        http::send(elevation(sleeper, &replicas.fixture.agent, &new_key(), &body)).expect(201);
    }
    let live = "SELECT count(*) FROM grants WHERE status = 'active'";
    let count = |sql: &str| replicas.query(sql).parse::<u64>().unwrap();
    // Suspended until every lease has lapsed, the broker claims all grants at once: more than it has connections.
    signal(sleeper, "STOP");
    let held_back = replicas.hold_back_ends();
    let not_lapsed = format!("{live} AND lease_expires_at > extract(epoch FROM now()) * 1000");
    eventually("the end of every lease", || (count(&not_lapsed) == 0).then_some(()));
    signal(sleeper, "CONT");
    let claimed = format!("{live} AND claimed_until IS NOT NULL");
    eventually("claims", || (count(&claimed) > CONNECTIONS).then_some(()));
    signal(sleeper, "STOP");
    drop(held_back);
    let claimed = count(&claimed);
    assert!(claimed > 0, "the suspended broker had no claims: nothing was tested");
    signal(other, "CONT");
    eventually_within(TAKEN_OVER, "the end of everything", || (count(live) == 0).then_some(()));
    other.wait_until_nothing_is_live();
    let all = ids(&other.given());
    let rows = "SELECT string_agg(hash, ',' ORDER BY grant_number, seq) FROM events";
    let before = replicas.query(rows);

    // A live grant sends its heartbeats to the other broker only while the suspended broker resumes.
    let proxy = LossyProxy::in_front_of(other.url());
    let mut holder = replicas.fixture.client_at(&proxy.url(), &RUN).start();
    let held = holder.line_in("grant");
    signal(sleeper, "CONT");
    eventually("the resumed broker's readiness", || is_ready(sleeper).then_some(()));
    let beats = proxy.count(BEAT);
    eventually("heartbeats for longer than a lease", || (proxy.count(BEAT) > beats + 5).then_some(()));
    assert_eq!(ids(&sleeper.live()), BTreeSet::from([held.clone()]), "{}", sleeper.log());
    let of_the_old = format!("{rows} WHERE grant_number <> (SELECT number FROM grants WHERE id = '{held}')");
    assert_eq!(replicas.query(&of_the_old), before, "the resumed broker wrote an event again");
    holder.touch("go");
    holder.finish().assert_code(0);
    assert_ended_once(&replicas, sleeper, &all);
}

#[test]
fn database_outage_grants_nothing_and_loses_nothing() {
    let mut replicas = Replicas::start(2, "1s");
    let proxy = LossyProxy::in_front_of(replicas.others[0].url());
    let mut holder = replicas.fixture.client_at(&proxy.url(), &RUN).start();
    let held = holder.line_in("grant");
    let given = replicas.elevate_at(&replicas.others[0]).expect(201);
    let beats = |more: usize| {
        let before = proxy.count(BEAT);
        eventually("heartbeats", || (proxy.count(BEAT) > before + more).then_some(()));
    };
    beats(1);

    replicas.server.crash();
    // Each outage lasts longer than the lease of three seconds, and no heartbeat arrives during it.
    for broker in replicas.all() {
        eventually("a broker that is not ready", || (!is_ready(broker)).then_some(()));
        assert_eq!(http::send(broker.request(Method::GET, "/healthz")).status, 200, "the broker is alive");
        assert_eq!(replicas.elevate_at(broker).outcome(), (503, "store_unavailable"));
    }

    replicas.server.start_again();
    for broker in replicas.all() {
        eventually("a broker that is ready again", || is_ready(broker).then_some(()));
    }
    beats(5);
    let live = ids(&replicas.fixture.broker.live());
    let log = replicas.others[0].log();
    assert!(live.contains(&held), "a grant ended although the outage prevented its heartbeats: {log}");
    assert!(live.contains(given.text_at("/id")));
    let token = given.text_at("/credentials/token");
    assert_eq!(replicas.fixture.broker.introspect(token)["active"], true);
    holder.touch("go");
    holder.finish().assert_code(0);
    let still = |id: &String| ids(&replicas.fixture.broker.live()).contains(id);
    eventually("the end", || (!still(&held)).then_some(()));
    assert_ended_once(&replicas, &replicas.fixture.broker, &BTreeSet::from([held]));
}
