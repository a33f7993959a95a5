//! Runs ministack, an independent AWS emulator.
//!
//! One ministack with IAM enforced, in a folder and on a loopback port of its own. It ends with the handle, and with
//! the test's process however that ends.

use std::sync::atomic::{AtomicU64, Ordering};

use super::account::Account;
use super::calls::Calls;
use super::clock::Clock;
use super::server::Server;
use crate::gate::{EMULATORS, Permit};

/// The emulator's default account.
pub const ACCOUNT: &str = "111111111111";

/// A running emulator.
pub struct Ministack {
    server: Server,
    clock: Option<Clock>,
    calls: Calls,
    next_account: AtomicU64,
    /// Dropped last: the folder is free when the processes have ended.
    _permit: Option<Permit>,
}

impl Ministack {
    /// A shared emulator with the machine's clock, for the rest of the process.
    pub fn shared() -> Self {
        Self::by(None, None)
    }

    /// An emulator with the machine's clock, for one test.
    pub fn start() -> Self {
        Self::by(None, Some(EMULATORS.enter()))
    }

    /// An emulator with a clock of its own, which [`Ministack::clock`] moves.
    pub fn with_faketime() -> Self {
        let permit = EMULATORS.enter();
        Self::by(Some(Clock::new()), Some(permit))
    }

    fn by(clock: Option<Clock>, permit: Option<Permit>) -> Self {
        let server = Server::start("ministack", "/_ministack/health", |command, port| {
            command
                .envs(clock.as_ref().map(Clock::environment).unwrap_or_default())
                .env("AUTH", "true")
                .env("BIND_HOST", "127.0.0.1")
                .env("GATEWAY_PORT", port.to_string())
                .env("MINISTACK_ACCOUNT_ID", ACCOUNT)
                .env("LOG_LEVEL", "WARNING")
                // These two would listen on ports of their own, on every interface.
                .env("IOT_MTLS_ENABLED", "0")
                .env("SFTP_ENABLED", "0");
        });
        let server = server.unwrap_or_else(|said| panic!("ministack does not start: {said}"));
        let calls = Calls::started(&server.url(), clock.as_ref());
        Self { server, clock, calls, next_account: AtomicU64::new(200_000_000_000), _permit: permit }
    }

    /// The endpoint of every service.
    pub fn url(&self) -> String {
        self.server.url()
    }

    /// The boto3 process that calls the emulator, with its clock.
    pub fn calls(&self) -> &Calls {
        &self.calls
    }

    /// Another boto3 process, for concurrent calls or for calls through a proxy.
    pub fn more_calls(&self, endpoint: &str) -> Calls {
        Calls::started(endpoint, self.clock.as_ref())
    }

    /// An account, by its twelve digits. All accounts exist from the start.
    pub fn account(&self, number: &str) -> Account<'_> {
        Account::new(&self.calls, number)
    }

    /// An unused account, so that tests on a shared emulator do not interfere.
    pub fn new_account(&self) -> Account<'_> {
        self.account(&self.next_account.fetch_add(1, Ordering::Relaxed).to_string())
    }

    /// The emulator's clock; fails the test if the emulator was started without one.
    #[track_caller]
    pub fn clock(&self) -> &Clock {
        self.clock.as_ref().expect("an emulator that was started by `with_faketime`")
    }

    pub(super) fn own_clock(&self) -> Option<&Clock> {
        self.clock.as_ref()
    }

    /// The emulator's log so far.
    pub fn log(&self) -> String {
        self.server.log()
    }
}
