//! Drives a broker with concurrent clients that elevate and revoke without a pause.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};

use crate::clock;
use crate::connection::Connection;
use crate::figures::{Samples, millis};
use crate::fixture::Broker;

/// A load: the number of clients, and its duration.
pub(super) struct Load {
    pub(super) clients: u32,
    pub(super) seconds: f64,
    /// Rate of all clients together; without it each client starts its next pair at once.
    pub(super) pairs_per_second: Option<f64>,
}

/// Results of a load.
pub(super) struct Put {
    /// Pairs of elevate and revoke per second.
    pub(super) rate: f64,
    /// Milliseconds of each pair, from its scheduled start.
    pub(super) millis: Samples,
}

impl Load {
    /// A warm-up of the same shape, not measured.
    pub(super) fn for_a_moment(&self) -> Self {
        Self { seconds: 0.2, ..*self }
    }

    pub(super) fn put_on(&self, broker: &Broker, elevation: &str) -> Result<Put> {
        let begin = clock::wall().as_nanos();
        let start = Instant::now();
        let end = start + Duration::from_secs_f64(self.seconds);
        let every = self.pairs_per_second.map(|all| Duration::from_secs_f64(f64::from(self.clients) / all));
        let done = thread::scope(|threads| {
            let clients: Vec<_> = (0..self.clients)
                .map(|client| {
                    let keys = begin + (u128::from(client) << 80);
                    // Spreads the clients' starts.
                    let first = start + every.map_or(Duration::ZERO, |every| every * client / self.clients);
                    threads.spawn(move || one_client(broker, elevation, keys, (first, every), end))
                })
                .collect();
            let ended = clients.into_iter().map(|client| client.join());
            ended.collect::<Result<Vec<_>, _>>().map_err(|_| anyhow!("a client panicked"))
        })?;
        let elapsed = start.elapsed().as_secs_f64();
        let mut all = Samples::default();
        for client in done {
            all.extend(client?);
        }
        let pairs = all.len() as f64;
        Ok(Put { rate: pairs / elapsed, millis: all })
    }
}

fn one_client(
    broker: &Broker,
    elevation: &str,
    first_key: u128,
    (mut next, every): (Instant, Option<Duration>),
    end: Instant,
) -> Result<Samples> {
    let mut connection = Connection::open(broker.port)?;
    let mut samples = Samples::default();
    let mut key = first_key;
    loop {
        match every {
            Some(every) => {
                thread::sleep(next.saturating_duration_since(Instant::now()));
                next += every;
            }
            None => next = Instant::now(),
        }
        let start = every.map_or(next, |every| next - every);
        if Instant::now() >= end {
            return Ok(samples);
        }
        key += 1;
        pair(&mut connection, broker, elevation, &format!("{key:032x}"))?;
        samples.push(millis(start.elapsed()));
    }
}

/// Elevates and revokes. Returns the grant's id.
pub(crate) fn pair(
    connection: &mut Connection,
    broker: &Broker,
    elevation: &str,
    key: &str,
) -> Result<String> {
    let id = elevate(connection, broker, elevation, key)?;
    let bearer = bearer(broker);
    let head = format!("DELETE /v2/agentic/jit/{id}?cause=exit:0 HTTP/1.1\r\n{bearer}");
    connection.ask(&head, "", "200")?;
    Ok(id)
}

/// Returns the grant's id.
pub(crate) fn elevate(
    connection: &mut Connection,
    broker: &Broker,
    elevation: &str,
    key: &str,
) -> Result<String> {
    let bearer = bearer(broker);
    let head = format!(
        "POST /v2/agentic/jit HTTP/1.1\r\n{bearer}Idempotency-Key: {key}\r\nContent-Type: application/json\r\n"
    );
    let grant = connection.ask(&head, elevation, "201")?;
    let id = grant.split_once("\"id\":\"").and_then(|(_, rest)| rest.split('"').next());
    Ok(id.context("no id in the response to elevate")?.to_owned())
}

fn bearer(broker: &Broker) -> String {
    format!("Authorization: Bearer {}\r\n", broker.auth_token)
}
