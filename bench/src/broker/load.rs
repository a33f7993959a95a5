//! What do so many clients get out of a broker that elevate and revoke without a pause?

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};

use crate::clock;
use crate::connection::Connection;
use crate::figures::{Samples, millis};
use crate::scene::{Broker, Scene};

/// So many clients for so long.
pub(super) struct Load {
    pub(super) clients: u32,
    pub(super) seconds: f64,
}

/// What came of it.
pub(super) struct Put {
    /// Elevate and revoke, in a second.
    pub(super) rate: f64,
    /// Milliseconds of each such pair.
    pub(super) millis: Samples,
}

impl Load {
    pub(super) fn put_on(&self, scene: &Scene) -> Result<Put> {
        let elevation = scene.elevation();
        let begin = clock::wall().as_nanos();
        let start = Instant::now();
        let end = start + Duration::from_secs_f64(self.seconds);
        let done = thread::scope(|threads| {
            let clients: Vec<_> = (0..self.clients)
                .map(|client| {
                    let broker = &scene.in_the_clear;
                    let elevation = elevation.as_str();
                    threads
                        .spawn(move || one_client(broker, elevation, begin + (u128::from(client) << 80), end))
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

fn one_client(broker: &Broker, elevation: &str, first_key: u128, end: Instant) -> Result<Samples> {
    let mut connection = Connection::open(broker.port)?;
    let bearer = format!("Authorization: Bearer {}\r\n", broker.auth_token);
    let mut samples = Samples::default();
    let mut key = first_key;
    loop {
        let start = Instant::now();
        if start >= end {
            return Ok(samples);
        }
        key += 1;
        let head = format!(
            "POST /v2/agentic/jit HTTP/1.1\r\n{bearer}Idempotency-Key: {key:032x}\r\nContent-Type: application/json\r\n"
        );
        let grant = connection.ask(&head, elevation, "201")?;
        let id = grant.split_once("\"id\":\"").and_then(|(_, rest)| rest.split('"').next());
        let id = id.context("an id in the answer to elevate")?;
        let head = format!("DELETE /v2/agentic/jit/{id}?cause=exit:0 HTTP/1.1\r\n{bearer}");
        connection.ask(&head, "", "200")?;
        samples.push(millis(start.elapsed()));
    }
}
