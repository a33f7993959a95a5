//! What can go wrong with a call, and with which one does it?

use super::call::{Call, Protocol};
use super::reply::Reply;

/// What happens to a call.
#[derive(Debug, Clone)]
pub enum Fault {
    /// Too many calls, in the service's own words. Not applied.
    Throttled,
    /// A 5xx of this status. Not applied.
    ServerError(u16),
    /// Not allowed. Not applied.
    AccessDenied,
    /// A quota is used up. Not applied.
    LimitExceeded,
    /// This status and error code. Not applied.
    Refused(u16, &'static str),
    /// Applied; then the connection ends without a byte.
    ReplyLost,
    /// Applied; the reply comes when [`super::FaultProxy::release`] is called.
    ReplyHeld,
    /// Not applied; the connection ends without a byte.
    NotForwarded,
    /// Applied when [`super::FaultProxy::apply_late`] is called, and until then this comes of it.
    Late(Meanwhile),
    /// Not applied; this answer, as one that an earlier call got ([`super::FaultProxy::last_reply`]).
    Answered(Reply),
}

/// What the client sees of a call that is applied later.
#[derive(Debug, Clone, Copy)]
pub enum Meanwhile {
    /// A 503.
    ServerError,
    /// A connection that ends without a byte.
    Closed,
    /// Nothing, until the call was applied: then the reply.
    Silence,
}

/// Some of the calls that come from now on.
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

    /// The n-th call, the next being the first.
    pub fn nth(n: usize) -> Self {
        Self { skip: n.saturating_sub(1), times: 1, ..Self::every() }
    }

    /// But only those that were given this.
    pub fn with(self, parameter: &'static str, value: &str) -> Self {
        Self { parameter: Some((parameter, value.to_owned())), ..self }
    }

    /// But not the first so many of them.
    pub fn after(self, skip: usize) -> Self {
        Self { skip, ..self }
    }

    /// But only so many of them.
    pub fn times(self, times: usize) -> Self {
        Self { times, ..self }
    }

    /// Whether this call is one of them; it counts.
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

/// The services' own words for it, from their API references.
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
