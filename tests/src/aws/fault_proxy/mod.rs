//! Injects faults into AWS calls.
//!
//! A proxy on loopback before the emulator, for one call per connection. It names each call, records all calls in
//! order, injects the faults that the test orders, and pauses at the instants where a test acts: before a call is
//! applied, and after it is applied but before the caller receives the reply.

mod call;
mod fault;
mod message;
mod reply;

use std::collections::BTreeMap;
use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

pub use self::call::Call;
pub use self::fault::{Fault, Meanwhile, Which};
use self::message::{Message, WithoutLength};
pub use self::reply::Reply;

/// Longer than the timeout of any client.
const PATIENCE: Duration = Duration::from_secs(60);

/// A proxy before one emulator.
pub struct FaultProxy {
    address: SocketAddr,
    inside: Arc<Inside>,
}

/// An instant in the life of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Instant {
    /// The call has arrived; the emulator has not received it.
    Before,
    /// The emulator has responded; the caller has not received the response.
    AfterApplied,
}

type Hook = Arc<dyn Fn(&Call) + Send + Sync>;

struct Inside {
    emulator: SocketAddr,
    script: Mutex<Script>,
    changed: Condvar,
}

#[derive(Default)]
struct Script {
    faults: Vec<(Which, Fault)>,
    hooks: Vec<(Which, Instant, Hook)>,
    calls: Vec<Call>,
    last_replies: BTreeMap<String, Reply>,
    late: Vec<(usize, Message)>,
    /// Replies to late calls whose connections are still open.
    late_replies: BTreeMap<usize, Reply>,
    releases: usize,
    held: usize,
    on_their_way: usize,
}

impl FaultProxy {
    /// Starts a proxy before `http://127.0.0.1:PORT`.
    pub fn in_front_of(emulator: &str) -> Self {
        let emulator =
            emulator.strip_prefix("http://").and_then(|address| address.parse().ok()).expect("an address");
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("a port");
        let inside = Arc::new(Inside { emulator, script: Mutex::default(), changed: Condvar::new() });
        let shared = Arc::clone(&inside);
        // Runs until the test's process ends.
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let inside = Arc::clone(&shared);
                // An error here is a broken connection for the client, as intended.
                thread::spawn(move || drop(inside.carry(client)));
            }
        });
        Self { address, inside }
    }

    /// The endpoint for the programs under test.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Injects this fault into these calls from now on. The earliest order that selects a call wins.
    pub fn order(&self, which: Which, fault: Fault) {
        self.inside.locked().faults.push((which, fault));
    }

    /// Removes all orders and hooks; held replies and late calls stay as they are.
    pub fn behave(&self) {
        let mut script = self.inside.locked();
        script.faults.clear();
        script.hooks.clear();
    }

    /// Runs a hook at this instant of these calls, which wait for it. The hook may query the proxy, and kill the
    /// caller. A call that was going to be applied still is, as if it had left the machine; with
    /// [`Fault::NotForwarded`] it never left. Late calls have no instant after.
    pub fn at(&self, instant: Instant, which: Which, hook: impl Fn(&Call) + Send + Sync + 'static) {
        self.inside.locked().hooks.push((which, instant, Arc::new(hook)));
    }

    /// All calls so far, in the order of arrival.
    pub fn calls(&self) -> Vec<Call> {
        self.inside.locked().calls.clone()
    }

    /// The names of all calls so far.
    pub fn names(&self) -> Vec<String> {
        self.calls().into_iter().map(|call| call.name).collect()
    }

    /// The number of calls of this name.
    pub fn count(&self, name: &str) -> usize {
        self.inside.locked().calls.iter().filter(|call| call.name == name).count()
    }

    /// The emulator's last reply to a call of this name, for [`Fault::Answered`]: a stale read.
    pub fn last_reply(&self, name: &str) -> Option<Reply> {
        self.inside.locked().last_replies.get(name).cloned()
    }

    /// The number of replies that [`Fault::ReplyHeld`] holds.
    pub fn held(&self) -> usize {
        self.inside.locked().held
    }

    /// The number of calls in flight at the emulator.
    pub fn on_their_way(&self) -> usize {
        self.inside.locked().on_their_way
    }

    /// Sends all held replies.
    pub fn release(&self) {
        self.inside.locked().releases += 1;
        self.inside.changed.notify_all();
    }

    /// The number of calls that wait for [`FaultProxy::apply_late`].
    pub fn late(&self) -> usize {
        self.inside.locked().late.len()
    }

    /// Applies all late calls now, in the order of arrival. Returns the calls, with the emulator's status.
    pub fn apply_late(&self) -> Vec<Call> {
        let late = std::mem::take(&mut self.inside.locked().late);
        let mut applied = Vec::new();
        for (number, request) in late {
            let reply = self.inside.apply(number, &request).expect("an answer of the emulator");
            let mut script = self.inside.locked();
            script.late_replies.insert(number, reply);
            applied.extend(script.calls.get(number - 1).cloned());
        }
        self.inside.changed.notify_all();
        applied
    }
}

impl Inside {
    fn carry(&self, mut client: TcpStream) -> std::io::Result<()> {
        client.set_read_timeout(Some(PATIENCE))?;
        let request = Message::read(&mut client, WithoutLength::Empty)?;
        let (call, protocol, fault) = {
            let mut script = self.locked();
            let (call, protocol) = call::read(script.calls.len() + 1, &request);
            script.calls.push(call.clone());
            // Every order counts every call, even one that another order takes.
            let mut chosen = None;
            for (which, fault) in &mut script.faults {
                if which.takes(&call) && chosen.is_none() {
                    chosen = Some(fault.clone());
                }
            }
            (call, protocol, chosen)
        };
        self.call_back(Instant::Before, &call);
        let service = call.name.split(':').next().unwrap_or_default();
        let reply = match fault {
            None => Some(self.apply_and_call_back(&call, &request)?),
            Some(Fault::Throttled) => Some(fault::throttled(protocol, service)),
            Some(Fault::ServerError(status)) => Some(fault::server_error(protocol, service, status)),
            Some(Fault::AccessDenied) => Some(fault::access_denied(protocol, service)),
            Some(Fault::LimitExceeded) => Some(fault::limit_exceeded(protocol, service)),
            Some(Fault::Refused(status, code)) => {
                Some(Reply::error(protocol, service, status, code, "made up by a test"))
            }
            Some(Fault::ReplyLost) => {
                self.apply_and_call_back(&call, &request)?;
                None
            }
            Some(Fault::ReplyHeld) => {
                let reply = self.apply_and_call_back(&call, &request)?;
                self.hold();
                Some(reply)
            }
            Some(Fault::NotForwarded) => None,
            Some(Fault::Late(meanwhile)) => {
                self.locked().late.push((call.number, request));
                match meanwhile {
                    Meanwhile::ServerError => Some(fault::server_error(protocol, service, 503)),
                    Meanwhile::Closed => None,
                    Meanwhile::Silence => self.late_reply(call.number),
                }
            }
            Some(Fault::Answered(reply)) => Some(reply),
        };
        match reply {
            Some(reply) => client.write_all(&reply.message.bytes()),
            None => Ok(()),
        }
    }

    fn apply_and_call_back(&self, call: &Call, request: &Message) -> std::io::Result<Reply> {
        let reply = self.apply(call.number, request)?;
        self.call_back(Instant::AfterApplied, &Call { status: Some(reply.status()), ..call.clone() });
        Ok(reply)
    }

    fn apply(&self, number: usize, request: &Message) -> std::io::Result<Reply> {
        self.locked().on_their_way += 1;
        let reply = self.forward(request);
        let mut script = self.locked();
        script.on_their_way -= 1;
        let reply = reply?;
        if let Some(call) = script.calls.get_mut(number - 1) {
            call.status = Some(reply.status());
            let name = call.name.clone();
            script.last_replies.insert(name, reply.clone());
        }
        Ok(reply)
    }

    fn forward(&self, request: &Message) -> std::io::Result<Reply> {
        let mut emulator = TcpStream::connect(self.emulator)?;
        emulator.set_read_timeout(Some(PATIENCE))?;
        emulator.write_all(&request.bytes())?;
        Ok(Reply { message: Message::read(&mut emulator, WithoutLength::UntilTheEnd)? })
    }

    fn call_back(&self, instant: Instant, call: &Call) {
        let mut due: Vec<Hook> = Vec::new();
        for (which, when, hook) in &mut self.locked().hooks {
            if *when == instant && which.takes(call) {
                due.push(Arc::clone(hook));
            }
        }
        // Without the lock: a hook may query the proxy.
        for hook in due {
            hook(call);
        }
    }

    fn hold(&self) {
        let mut script = self.locked();
        script.held += 1;
        let before = script.releases;
        let waited = self.changed.wait_timeout_while(script, PATIENCE, |script| script.releases == before);
        let (mut script, _) = waited.unwrap_or_else(PoisonError::into_inner);
        script.held -= 1;
    }

    fn late_reply(&self, number: usize) -> Option<Reply> {
        let waited = self
            .changed
            .wait_timeout_while(self.locked(), PATIENCE, |script| !script.late_replies.contains_key(&number));
        let (mut script, _) = waited.unwrap_or_else(PoisonError::into_inner);
        script.late_replies.remove(&number)
    }

    fn locked(&self) -> MutexGuard<'_, Script> {
        self.script.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
