//! Which parts of a use case are worth a span of their own?
//!
//! Names only: no id, no claim, nothing of a request. Where traces are not asked for, nobody is interested in this
//! target, and a span is no more than that question.

use domain::TargetKind;
use tracing::{Span, info_span};

/// The `target` of every span that goes into a trace, and of nothing else.
pub const TRACES: &str = "cloudanix_jit::traces";

/// Who asks?
pub(crate) fn identity() -> Span {
    info_span!(target: TRACES, "verify identity")
}

/// What is written down before and after everything else.
pub(crate) fn store(what: &'static str) -> Span {
    info_span!(target: TRACES, "store", otel.name = what)
}

/// A step that changes something outside the broker.
pub(crate) fn target(what: &'static str, kind: TargetKind) -> Span {
    info_span!(target: TRACES, "target", otel.name = what, target = %kind)
}
