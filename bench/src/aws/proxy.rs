//! Records when AWS calls are in flight: a proxy between the broker and the emulator.
//!
//! The proxy passes bytes through unchanged. A connection of HTTP/1.1 carries one call after the other, so a call
//! lasts from the first byte of its request to the last byte of its response before the next request.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

/// A proxy before an emulator; it runs until the process ends.
pub(crate) struct Proxy {
    pub(crate) url: String,
    calls: Arc<Mutex<Vec<Call>>>,
}

#[derive(Debug, Clone, Copy)]
struct Call {
    begin: Instant,
    end: Instant,
}

impl Proxy {
    /// Starts a proxy before the emulator at this URL.
    pub(crate) fn in_front_of(url: &str) -> Result<Self> {
        let target =
            url.strip_prefix("http://").context("the emulator's URL is not `http://`")?.trim_end_matches('/');
        let target = target.to_owned();
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let url = format!("http://{}", listener.local_addr()?);
        let calls = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&calls);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (target, calls) = (target.clone(), Arc::clone(&noted));
                // The client of a failed connection sees the error itself.
                thread::spawn(move || pass(client, &target, &calls));
            }
        });
        Ok(Self { url, calls })
    }

    /// How long at least one call was in flight between these two instants.
    pub(crate) fn at_work(&self, from: Instant, to: Instant) -> Duration {
        let calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        let within = calls.iter().map(|call| (call.begin.max(from), call.end.min(to)));
        let mut within: Vec<_> = within.filter(|(begin, end)| begin < end).collect();
        within.sort_unstable();
        let (mut sum, mut until) = (Duration::ZERO, from);
        for (begin, end) in within {
            sum += end.saturating_duration_since(begin.max(until));
            until = until.max(end);
        }
        sum
    }

    /// When the first call between these two instants began.
    pub(crate) fn first_call(&self, from: Instant, to: Instant) -> Option<Instant> {
        let calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        calls.iter().map(|call| call.begin).filter(|begin| (from..to).contains(begin)).min()
    }

    /// How many calls began between these two instants.
    pub(crate) fn calls(&self, from: Instant, to: Instant) -> usize {
        let calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        calls.iter().filter(|call| (from..to).contains(&call.begin)).count()
    }
}

fn pass(client: TcpStream, target: &str, calls: &Arc<Mutex<Vec<Call>>>) -> Option<()> {
    let server = TcpStream::connect(target).ok()?;
    client.set_nodelay(true).ok()?;
    server.set_nodelay(true).ok()?;
    // The index of the call in flight on this connection.
    let current = Arc::new(Mutex::new(None));
    let (mut from_client, mut to_server) = (client.try_clone().ok()?, server.try_clone().ok()?);
    let (asked, noted) = (Arc::clone(&current), Arc::clone(calls));
    thread::spawn(move || {
        copy(&mut from_client, &mut to_server, |now| {
            let mut current = asked.lock().unwrap_or_else(PoisonError::into_inner);
            let mut calls = noted.lock().unwrap_or_else(PoisonError::into_inner);
            // More of the same call, unless its response has begun.
            let answered = current.is_none_or(|(_, answered)| answered);
            if answered {
                calls.push(Call { begin: now, end: now });
                *current = Some((calls.len() - 1, false));
            }
        });
        let _ = to_server.shutdown(Shutdown::Write);
    });
    let (mut from_server, mut to_client) = (server, client);
    copy(&mut from_server, &mut to_client, |now| {
        let mut current = current.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((place, answered)) = current.as_mut() {
            *answered = true;
            let mut calls = calls.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(call) = calls.get_mut(*place) {
                call.end = now;
            }
        }
    });
    let _ = to_client.shutdown(Shutdown::Both);
    Some(())
}

/// Copies bytes until either side closes; calls `seen` with the time before it forwards each chunk.
fn copy(from: &mut TcpStream, to: &mut TcpStream, mut seen: impl FnMut(Instant)) {
    let mut piece = vec![0; 64 * 1024];
    while let Ok(read @ 1..) = from.read(&mut piece) {
        seen(Instant::now());
        if to.write_all(piece.get(..read).unwrap_or_default()).is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_that_overlap_count_once_and_only_within_the_time() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let calls = [(0, 10), (20, 40), (30, 50), (35, 38), (90, 200)];
        let calls = calls.map(|(begin, end)| Call { begin: at(begin), end: at(end) }).to_vec();
        let proxy = Proxy { url: String::new(), calls: Arc::new(Mutex::new(calls)) };
        assert_eq!(proxy.at_work(at(5), at(100)), Duration::from_millis(5 + 30 + 10));
        assert_eq!(proxy.calls(at(5), at(100)), 4);
        assert_eq!(proxy.first_call(at(5), at(100)), Some(at(20)));
        assert_eq!(proxy.first_call(at(41), at(90)), None);
    }
}
