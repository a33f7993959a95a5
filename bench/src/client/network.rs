//! Counts the connections and round trips of a run.
//!
//! A proxy between client and broker counts. A round trip begins when the client sends after the broker has sent.
//! The TCP handshake of each connection is one more. The proxy delays bytes like a network, so that everything that
//! the client sends at once is in one round trip, even when the broker answers early.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Result, ensure};

use crate::figures::{Figure, Report, Target};
use crate::fixture::{Fixture, POLICY};

/// The closing alert of TLS 1.3: the client sends it last and expects no response.
const FAREWELL: usize = 24;
const ONE_WAY: Duration = Duration::from_millis(25);

#[derive(Default)]
struct Counted {
    connections: AtomicUsize,
    turns: AtomicUsize,
}

pub(super) fn measure(fixture: &Fixture, report: &mut Report) -> Result<()> {
    let counted = Arc::new(Counted::default());
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let url = format!("https://127.0.0.1:{}", listener.local_addr()?.port());
    let (port, counting) = (fixture.behind_tls.port, Arc::clone(&counted));
    // Runs until this program ends: accepts no connection after the client's last one.
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            counting.connections.fetch_add(1, Ordering::Relaxed);
            if let Ok(broker) = TcpStream::connect(("127.0.0.1", port)) {
                forward(client, broker, &counting);
            }
        }
    });
    let output = fixture
        .client_at(&url, &["run", "--policy", POLICY, "--ttl", "15m", "--", "true"])
        .stdout(Stdio::null())
        .output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let connections = counted.connections.load(Ordering::Relaxed);
    let round_trips = connections + counted.turns.load(Ordering::Relaxed);
    let mut figure = |claim, found: usize, least: usize| -> Result<()> {
        let ratio = f64::from(u32::try_from(found)?) / f64::from(u32::try_from(least)?);
        let (ours, other) = (found.to_string(), format!("the least is {least}"));
        report.figure(&Figure { claim, ratio, target: Target::AtMost(1.0), ours, other, runs: 1 });
        Ok(())
    };
    figure("connections of a run, the keeper's included", connections, 1)?;
    figure("network round trips of a run (TCP, TLS, elevate, revoke)", round_trips, 4)
}

fn forward(client: TcpStream, broker: TcpStream, counted: &Arc<Counted>) {
    let _ = (client.set_nodelay(true), broker.set_nodelay(true));
    let broker_spoke = Arc::new(AtomicBool::new(true));
    let (Ok(to_client), Ok(to_broker)) = (client.try_clone(), broker.try_clone()) else { return };
    let (counted, spoke) = (Arc::clone(counted), Arc::clone(&broker_spoke));
    thread::spawn(move || {
        pass(client, to_broker, |bytes| {
            if bytes > FAREWELL && spoke.swap(false, Ordering::AcqRel) {
                counted.turns.fetch_add(1, Ordering::Relaxed);
            }
        });
    });
    thread::spawn(move || pass(broker, to_client, |_| broker_spoke.store(true, Ordering::Release)));
}

fn pass(mut from: TcpStream, mut to: TcpStream, mut seen: impl FnMut(usize)) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(read) = from.read(&mut buffer)
        && read > 0
    {
        seen(read);
        thread::sleep(ONE_WAY);
        if to.write_all(buffer.get(..read).unwrap_or_default()).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}
