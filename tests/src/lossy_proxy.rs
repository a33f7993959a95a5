//! Loses the responses to requests that have arrived.
//!
//! A TCP proxy on loopback that forwards one complete HTTP request and its response per connection. For a response
//! that the test wants lost, the proxy forwards the request to the broker, waits for the response, and closes the
//! client's connection without a byte.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// A proxy before one broker.
pub struct LossyProxy {
    address: SocketAddr,
    orders: Arc<Mutex<Orders>>,
}

#[derive(Default)]
struct Orders {
    /// Prefixes of request lines whose responses to lose, and how often.
    lose: Vec<(String, usize)>,
    /// Every forwarded request line, and when the broker had received the request.
    carried: Vec<(String, Instant)>,
    lost: usize,
}

impl LossyProxy {
    /// Starts a proxy before `http://127.0.0.1:PORT`.
    pub fn in_front_of(broker: &str) -> Self {
        let broker: SocketAddr =
            broker.strip_prefix("http://").and_then(|address| address.parse().ok()).expect("an address");
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("a port");
        let orders = Arc::new(Mutex::new(Orders::default()));
        let shared = Arc::clone(&orders);
        // Runs until the test's process ends.
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let orders = Arc::clone(&shared);
                // An error here is a broken connection for the client, as intended.
                thread::spawn(move || drop(carry(client, broker, &orders)));
            }
        });
        Self { address, orders }
    }

    /// The proxy's URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Loses the next `times` responses to requests whose first line has this prefix.
    pub fn lose(&self, request: &str, times: usize) {
        locked(&self.orders).lose.push((request.to_owned(), times));
    }

    /// The number of lost responses so far.
    pub fn lost(&self) -> usize {
        locked(&self.orders).lost
    }

    /// When the broker had received the first request of this kind; `None` if there was none.
    pub fn carried(&self, request: &str) -> Option<Instant> {
        let orders = locked(&self.orders);
        orders.carried.iter().find(|(line, _)| line.starts_with(request)).map(|(_, at)| *at)
    }

    /// The number of forwarded requests of this kind.
    pub fn count(&self, request: &str) -> usize {
        locked(&self.orders).carried.iter().filter(|(line, _)| line.starts_with(request)).count()
    }
}

fn carry(mut client: TcpStream, broker: SocketAddr, orders: &Mutex<Orders>) -> std::io::Result<()> {
    client.set_read_timeout(Some(Duration::from_secs(60)))?;
    let Some(request) = message(&mut client)? else { return Ok(()) };
    let line =
        String::from_utf8_lossy(request.split(|byte| *byte == b'\r').next().unwrap_or_default()).into_owned();
    let mut upstream = TcpStream::connect(broker)?;
    upstream.set_read_timeout(Some(Duration::from_secs(60)))?;
    upstream.write_all(&request)?;
    locked(orders).carried.push((line.clone(), Instant::now()));
    let reply = message(&mut upstream)?.unwrap_or_default();
    {
        let mut orders = locked(orders);
        let due =
            orders.lose.iter_mut().find(|(start, times)| *times > 0 && line.starts_with(start.as_str()));
        if let Some((_, times)) = due {
            *times -= 1;
            orders.lost += 1;
            return Ok(());
        }
    }
    client.write_all(&reply)
}

/// Reads one HTTP/1.1 message: its head, and as much body as `Content-Length` says. Adds `Connection: close` to the
/// head.
fn message(stream: &mut TcpStream) -> std::io::Result<Option<Vec<u8>>> {
    const END: &[u8] = b"\r\n\r\n";
    let mut bytes = Vec::new();
    let mut buffer = [0; 8192];
    loop {
        if let Some(head) = bytes.windows(END.len()).position(|window| window == END) {
            let text = String::from_utf8_lossy(bytes.get(..head).unwrap_or_default()).to_ascii_lowercase();
            let length =
                text.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
            let whole: usize = head + END.len() + length.unwrap_or(0);
            if bytes.len() >= whole {
                bytes.truncate(whole);
                let first = bytes.iter().position(|byte| *byte == b'\n').unwrap_or_default() + 1;
                bytes.splice(first..first, b"connection: close\r\n".iter().copied());
                return Ok(Some(bytes));
            }
        }
        match stream.read(&mut buffer)? {
            0 => return Ok(None),
            n => bytes.extend_from_slice(buffer.get(..n).unwrap_or_default()),
        }
    }
}

fn locked(orders: &Mutex<Orders>) -> MutexGuard<'_, Orders> {
    orders.lock().unwrap_or_else(PoisonError::into_inner)
}
