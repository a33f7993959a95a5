//! What do several brokers on one PostgreSQL do?

use postgres_for_tests::{HeldBack, PASSWORD, Server};
use reqwest::Method;
use serde_json::Value;

use crate::broker::{Broker, NO_RATE_LIMIT, Shared};
use crate::fixture::{Fixture, elevation, new_key};
use crate::http::{self, Answer};

/// How many connections to the server each broker has at most.
pub const CONNECTIONS: u64 = 6;

/// A server, a fixture on its first broker, and the brokers beside that.
pub struct Replicas {
    /// The first broker with its provider and agent.
    pub fixture: Fixture,
    /// The others.
    pub others: Vec<Broker>,
    /// What they share.
    pub server: Server,
    name: String,
}

impl Replicas {
    /// So many brokers in all, with holders that beat this often.
    pub fn start(count: usize, heartbeat: &str) -> Self {
        let server = Server::start();
        let database = server.database();
        let name = database.rsplit('/').next().unwrap().to_owned();
        let shared = Shared {
            database,
            password: PASSWORD.to_owned(),
            // Nobody is there: a load balancer that nobody goes through.
            url: "http://127.0.0.1:9".to_owned(),
            more: format!("auto_migrate = true\nconnections = {CONNECTIONS}"),
        };
        let limits = format!("{NO_RATE_LIMIT}\nheartbeat = \"{heartbeat}\"");
        let mut brokers: Vec<Broker> = std::thread::scope(|threads| {
            let starting: Vec<_> =
                (0..count).map(|_| threads.spawn(|| Broker::sharing(&shared, &limits))).collect();
            starting.into_iter().map(|broker| broker.join().unwrap()).collect()
        });
        let others = brokers.split_off(1);
        let first = brokers.pop().unwrap();
        Self { fixture: Fixture::with(first), others, server, name }
    }

    /// All of them, the first one first.
    pub fn all(&self) -> impl Iterator<Item = &Broker> {
        std::iter::once(&self.fixture.broker).chain(&self.others)
    }

    /// Asks this broker for a grant.
    #[track_caller]
    pub fn elevate_at(&self, broker: &Broker) -> Answer {
        http::send(elevation(broker, &self.fixture.agent, &new_key(), &self.fixture.body()))
    }

    /// The agent's own request to this broker.
    #[track_caller]
    pub fn as_agent(&self, broker: &Broker, method: Method, path: &str) -> Answer {
        http::send(broker.request(method, path).bearer_auth(&self.fixture.agent.auth_token))
    }

    /// Nothing is told in any timeline until this is dropped: whoever ends a grant waits in the middle of it.
    pub fn hold_back_ends(&self) -> HeldBack {
        self.server.hold_back_writers(&self.name, "events")
    }

    /// What the database holds, past every broker.
    pub fn query(&self, sql: &str) -> String {
        self.server.query(&self.name, sql)
    }
}

/// Which rows a timeline has.
pub fn kinds(timeline: &Value) -> Vec<String> {
    let rows = timeline.get("events").and_then(Value::as_array).into_iter().flatten();
    rows.filter_map(|row| row.get("kind")?.as_str().map(str::to_owned)).collect()
}
