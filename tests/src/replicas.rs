//! Runs several brokers on one PostgreSQL database.

use postgres_for_tests::{HeldBack, PASSWORD, Server};
use reqwest::Method;
use serde_json::Value;

use crate::broker::{Broker, NO_RATE_LIMIT, Shared};
use crate::fixture::{Fixture, elevation, new_key};
use crate::http::{self, Answer};

/// The most connections of each broker to the server.
pub const CONNECTIONS: u64 = 6;

/// A server, a fixture on its first broker, and the other brokers.
pub struct Replicas {
    /// The first broker with its provider and agent.
    pub fixture: Fixture,
    /// The other brokers.
    pub others: Vec<Broker>,
    /// The server that they share.
    pub server: Server,
    name: String,
}

impl Replicas {
    /// Starts this many brokers, with this interval of heartbeats.
    pub fn start(count: usize, heartbeat: &str) -> Self {
        let server = Server::start();
        let database = server.database();
        let name = database.rsplit('/').next().unwrap().to_owned();
        let shared = Shared {
            database,
            password: PASSWORD.to_owned(),
            // The load balancer's URL; no process listens there.
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

    /// All brokers, the first one first.
    pub fn all(&self) -> impl Iterator<Item = &Broker> {
        std::iter::once(&self.fixture.broker).chain(&self.others)
    }

    /// Requests a grant from this broker.
    #[track_caller]
    pub fn elevate_at(&self, broker: &Broker) -> Answer {
        http::send(elevation(broker, &self.fixture.agent, &new_key(), &self.fixture.body()))
    }

    /// Sends a request as the agent to this broker.
    #[track_caller]
    pub fn as_agent(&self, broker: &Broker, method: Method, path: &str) -> Answer {
        http::send(broker.request(method, path).bearer_auth(&self.fixture.agent.auth_token))
    }

    /// Blocks the writes to all timelines until the guard is dropped: a broker that ends a grant waits mid-transaction.
    pub fn hold_back_ends(&self) -> HeldBack {
        self.server.hold_back_writers(&self.name, "events")
    }

    /// Queries the database directly.
    pub fn query(&self, sql: &str) -> String {
        self.server.query(&self.name, sql)
    }
}

/// The kinds of a timeline's events.
pub fn kinds(timeline: &Value) -> Vec<String> {
    let rows = timeline.get("events").and_then(Value::as_array).into_iter().flatten();
    rows.filter_map(|row| row.get("kind")?.as_str().map(str::to_owned)).collect()
}
