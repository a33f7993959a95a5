//! Spans of a use case, for traces.
//!
//! They have names only: no id, no claim, no data of a request. With traces off, a span costs one check of its target.

use domain::TargetKind;
use tracing::{Span, info_span};

/// The `target` of every span that goes into a trace, and of nothing else.
pub const TRACES: &str = "cloudanix_jit::traces";

pub(crate) fn identity() -> Span {
    info_span!(target: TRACES, "verify identity")
}

pub(crate) fn store(what: &'static str) -> Span {
    info_span!(target: TRACES, "store", otel.name = what)
}

/// A call that applies or reverts a step.
pub(crate) fn target(what: &'static str, kind: TargetKind) -> Span {
    info_span!(target: TRACES, "target", otel.name = what, target = %kind)
}
