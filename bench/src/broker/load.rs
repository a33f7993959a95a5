//! Drives a server with concurrent clients that send requests without a pause.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};

use crate::clock;
use crate::connection::Connection;
use crate::figures::{Samples, millis};
use crate::fixture::Broker;

/// A load: the number of clients, and its duration.
pub(crate) struct Load {
    pub(crate) clients: u32,
    pub(crate) seconds: f64,
    /// Rate of all clients together; without it each client starts its next piece at once.
    pub(crate) pairs_per_second: Option<f64>,
}

/// Results of a load.
pub(crate) struct Put {
    /// Pieces of work per second: pairs of elevate and revoke, if they are the work.
    pub(crate) rate: f64,
    /// Milliseconds of each piece, from its scheduled start.
    pub(crate) millis: Samples,
}

impl Load {
    /// A warm-up of the same shape, not measured.
    pub(crate) fn for_a_moment(&self) -> Self {
        Self { seconds: 0.2, ..*self }
    }

    /// Elevates and revokes.
    pub(crate) fn put_on(&self, broker: &Broker, elevation: &str) -> Result<Put> {
        self.of(broker.port, |connection, key| pair(connection, broker, elevation, key).map(drop))
    }

    /// Does this work, which gets an idempotency key of its own each time, on one connection for each client.
    pub(crate) fn of(
        &self,
        port: u16,
        work: impl Fn(&mut Connection, &str) -> Result<()> + Sync,
    ) -> Result<Put> {
        let work = &work;
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
                    threads.spawn(move || one_client(port, work, keys, (first, every), end))
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
        Ok(Put { rate: all.len() as f64 / elapsed, millis: all })
    }
}

fn one_client(
    port: u16,
    work: impl Fn(&mut Connection, &str) -> Result<()>,
    first_key: u128,
    (mut next, every): (Instant, Option<Duration>),
    end: Instant,
) -> Result<Samples> {
    let mut connection = Connection::open(port)?;
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
        work(&mut connection, &format!("{key:032x}"))?;
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

/// Elevates. Returns the grant's id.
pub(crate) fn elevate(
    connection: &mut Connection,
    broker: &Broker,
    elevation: &str,
    key: &str,
) -> Result<String> {
    request(connection, broker, elevation, key, "201")
}

/// Requests a grant, and expects this status. Returns the grant's id.
pub(crate) fn request(
    connection: &mut Connection,
    broker: &Broker,
    elevation: &str,
    key: &str,
    expected: &str,
) -> Result<String> {
    let bearer = bearer(broker);
    let head = format!(
        "POST /v2/agentic/jit HTTP/1.1\r\n{bearer}Idempotency-Key: {key}\r\nContent-Type: application/json\r\n"
    );
    let grant = connection.ask(&head, elevation, expected)?;
    let id = grant.split_once("\"id\":\"").and_then(|(_, rest)| rest.split('"').next());
    Ok(id.context("no id in the response to elevate")?.to_owned())
}

pub(crate) fn bearer(broker: &Broker) -> String {
    format!("Authorization: Bearer {}\r\n", broker.auth_token)
}
