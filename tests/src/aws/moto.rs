//! Runs moto, a second independent AWS emulator.
//!
//! It checks error codes, and whether an attached policy allows a call. Not more: it enforces no condition on
//! the time, no session policy and no boundary, has no pod identity associations, and refuses calls of ECS and EKS
//! in IAM's XML, which boto3 reads as the code `403`.

use reqwest::Method;

use super::account::Account;
use super::calls::Calls;
use super::server::Server;
use crate::http;

/// The account whose root may set things up.
pub const ACCOUNT: &str = "123456789012";

/// A running moto. It enforces IAM only after [`Moto::enforce`].
pub struct Moto {
    server: Server,
    calls: Calls,
}

impl Moto {
    /// Starts a moto. It has none of AWS's own managed policies: a test creates those that it needs.
    pub fn start() -> Self {
        let server = Server::start("moto_server", "/moto-api/data.json", |command, port| {
            command.args(["-H", "127.0.0.1", "-p", &port.to_string()]);
        });
        let server = server.unwrap_or_else(|said| panic!("moto does not start: {said}"));
        let calls = Calls::to(&server.url());
        Self { server, calls }
    }

    /// The endpoint of every service.
    pub fn url(&self) -> String {
        self.server.url()
    }

    /// A boto3 process that calls this moto.
    pub fn calls(&self) -> &Calls {
        &self.calls
    }

    /// The account of this moto.
    pub fn account(&self) -> Account<'_> {
        Account::new(&self.calls, ACCOUNT)
    }

    /// Enforces IAM from now on: every caller needs permissions, and root's keys become invalid.
    #[track_caller]
    pub fn enforce(&self) {
        let url = format!("{}/moto-api/reset-auth", self.url());
        // Without this content type moto parses the body as a form and enforces nothing.
        let request = http::request(Method::POST, &url).header("content-type", "text/plain").body("0");
        http::send(request).expect(200);
    }
}
