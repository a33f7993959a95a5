//! The faults that a test injects, and the calls that they affect.

use super::call::{Call, Protocol};
use super::reply::Reply;

/// What the proxy does to a call.
#[derive(Debug, Clone)]
pub enum Fault {
    /// Throttled, with the service's own error code. Not applied.
    Throttled,
    /// A 5xx of this status. Not applied.
    ServerError(u16),
    /// Access denied. Not applied.
    AccessDenied,
    /// Quota exceeded. Not applied.
    LimitExceeded,
    /// Fails with this status and error code. Not applied.
    Refused(u16, &'static str),
    /// Applied; then the proxy closes the connection without a byte.
    ReplyLost,
    /// Applied; the proxy sends the reply when [`super::FaultProxy::release`] is called.
    ReplyHeld,
    /// Not applied; the proxy closes the connection without a byte.
    NotForwarded,
    /// Applied when [`super::FaultProxy::apply_late`] is called; until then the client sees this.
    Late(Meanwhile),
    /// Not applied; the proxy repeats the reply to an earlier call ([`super::FaultProxy::last_reply`]).
    Answered(Reply),
}

/// What the client sees of a call that is applied late.
#[derive(Debug, Clone, Copy)]
pub enum Meanwhile {
    /// A 503.
    ServerError,
    /// A connection that closes without a byte.
    Closed,
    /// No response until the call is applied: then the reply.
    Silence,
}

/// Selects some of the future calls.
#[derive(Debug, Clone)]
pub struct Which {
    name: Option<&'static str>,
    parameter: Option<(&'static str, String)>,
    skip: usize,
    times: usize,
}

impl Which {
    /// Every call.
    pub fn every() -> Self {
        Self { name: None, parameter: None, skip: 0, times: usize::MAX }
    }

    /// Every call of this name.
    pub fn named(name: &'static str) -> Self {
        Self { name: Some(name), ..Self::every() }
    }

    /// The n-th call from now on; the next one is the first.
    pub fn nth(n: usize) -> Self {
        Self { skip: n.saturating_sub(1), times: 1, ..Self::every() }
    }

    /// Narrows to calls with this parameter.
    pub fn with(self, parameter: &'static str, value: &str) -> Self {
        Self { parameter: Some((parameter, value.to_owned())), ..self }
    }

    /// Skips this many of the calls.
    pub fn after(self, skip: usize) -> Self {
        Self { skip, ..self }
    }

    /// Ends after this many of the calls.
    pub fn times(self, times: usize) -> Self {
        Self { times, ..self }
    }

    /// Whether this call is selected; counts it.
    pub(super) fn takes(&mut self, call: &Call) -> bool {
        if self.name.is_some_and(|name| name != call.name) {
            return false;
        }
        if self.parameter.as_ref().is_some_and(|(name, value)| call.parameter(name) != value) {
            return false;
        }
        if self.skip > 0 {
            self.skip -= 1;
            return false;
        }
        let taken = self.times > 0;
        self.times = self.times.saturating_sub(1);
        taken
    }
}

/// The services' own error codes, from their API references.
pub(super) fn throttled(protocol: Protocol, service: &str) -> Reply {
    let (status, code) = match protocol {
        Protocol::Query => (400, "Throttling"),
        Protocol::RestJson => (429, "TooManyRequestsException"),
        Protocol::Json => (400, "ThrottlingException"),
        Protocol::RestXml => (503, "SlowDown"),
    };
    Reply::error(protocol, service, status, code, "Rate exceeded")
}

pub(super) fn server_error(protocol: Protocol, service: &str, status: u16) -> Reply {
    let code = match (protocol, status) {
        (Protocol::RestJson, 503) => "ServiceUnavailableException",
        (Protocol::Query | Protocol::Json | Protocol::RestXml, 503) => "ServiceUnavailable",
        (Protocol::RestJson | Protocol::Json, _) => "ServerException",
        (Protocol::Query, _) => "ServiceFailure",
        (Protocol::RestXml, _) => "InternalError",
    };
    Reply::error(protocol, service, status, code, "made up by a test")
}

pub(super) fn access_denied(protocol: Protocol, service: &str) -> Reply {
    let code = match protocol {
        Protocol::Query | Protocol::RestXml => "AccessDenied",
        Protocol::RestJson | Protocol::Json => "AccessDeniedException",
    };
    Reply::error(protocol, service, 403, code, "made up by a test")
}

pub(super) fn limit_exceeded(protocol: Protocol, service: &str) -> Reply {
    let (status, code) = match protocol {
        Protocol::Query => (409, "LimitExceeded"),
        Protocol::RestJson => (400, "ResourceLimitExceededException"),
        Protocol::Json => (400, "LimitExceededException"),
        Protocol::RestXml => (400, "TooManyBuckets"),
    };
    Reply::error(protocol, service, status, code, "made up by a test")
}
