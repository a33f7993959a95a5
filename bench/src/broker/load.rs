//! What do so many clients get out of a broker that elevate and revoke without a pause?

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};

use crate::clock;
use crate::connection::Connection;
use crate::figures::{Samples, millis};
use crate::fixture::Broker;

/// So many clients for so long.
pub(super) struct Load {
    pub(super) clients: u32,
    pub(super) seconds: f64,
    /// All of them together; without it each begins again at once.
    pub(super) pairs_per_second: Option<f64>,
}

/// What came of it.
pub(super) struct Put {
    /// Elevate and revoke, in a second.
    pub(super) rate: f64,
    /// Milliseconds of each such pair, from when it was to begin.
    pub(super) millis: Samples,
}

impl Load {
    /// The same, not to be measured.
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
                    // Not all at the same moment.
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

/// Elevate and revoke. The grant's id.
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

/// The grant's id.
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
    Ok(id.context("an id in the answer to elevate")?.to_owned())
}

fn bearer(broker: &Broker) -> String {
    format!("Authorization: Bearer {}\r\n", broker.auth_token)
}
