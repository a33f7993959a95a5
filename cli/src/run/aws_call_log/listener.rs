//! Receives the datagrams of a step's SDKs, at a bounded rate, and counts the calls.

use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::time::{Instant, sleep_until};

use super::datagram::{LONGEST, Reader};
use super::tally::{Novelty, Tally};

/// The rate limit: at most [`IN_A_SLOT`] datagrams per slot. A flood waits in the kernel, which drops the excess: it costs
/// some percent of a core and no memory.
const SLOT: Duration = Duration::from_millis(100);
const IN_A_SLOT: u32 = 2000;

/// The socket and the calls that it has received.
pub(super) struct Listener {
    socket: UdpSocket,
    reader: Reader,
    pub(super) tally: Tally,
    buffer: Vec<u8>,
    slot: Instant,
    in_slot: u32,
}

impl Listener {
    /// Counts the calls that carry this client id.
    pub(super) fn new(socket: UdpSocket, client_id: &str) -> Self {
        Self {
            socket,
            reader: Reader::of(client_id),
            tally: Tally::default(),
            buffer: vec![0; LONGEST + 1],
            slot: Instant::now(),
            in_slot: 0,
        }
    }

    /// Receives one datagram; `None` if it is no call that has ended. Cancel-safe.
    pub(super) async fn receive(&mut self) -> Option<Novelty> {
        if self.in_slot >= IN_A_SLOT {
            sleep_until(self.slot + SLOT).await;
            self.in_slot = 0;
        }
        let length = self.socket.recv(&mut self.buffer).await.unwrap_or(0);
        if self.slot.elapsed() >= SLOT {
            (self.slot, self.in_slot) = (Instant::now(), 0);
        }
        self.in_slot += 1;
        self.count(length)
    }

    /// Counts what has arrived before the step ended.
    pub(super) fn drain(&mut self) {
        for _ in 0..IN_A_SLOT {
            let Ok(length) = self.socket.try_recv(&mut self.buffer) else { break };
            self.count(length);
        }
    }

    fn count(&mut self, length: usize) -> Option<Novelty> {
        let call = self.reader.read(self.buffer.get(..length).unwrap_or_default())?;
        Some(self.tally.count(call))
    }
}
