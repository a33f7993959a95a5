//! The secrets to redact in a step's output, which can grow while the step runs.

use std::sync::{Arc, Mutex, PoisonError};

use protocol::Secret;

use crate::redact::Redactor;

/// The secrets and the redactor of all of them.
pub(crate) struct Redaction(Mutex<Known>);

struct Known {
    secrets: Vec<Secret>,
    redactor: Arc<Redactor>,
}

impl Redaction {
    pub(crate) fn new(secrets: Vec<Secret>) -> Self {
        let redactor = Arc::new(Redactor::new(&secrets));
        Self(Mutex::new(Known { secrets, redactor }))
    }

    /// Adds secrets. Call it before the step can read them.
    pub(crate) fn learn<'a>(&self, more: impl IntoIterator<Item = &'a Secret>) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.secrets.extend(more.into_iter().cloned());
        known.redactor = Arc::new(Redactor::new(&known.secrets));
    }

    /// The redactor for every secret up to now.
    pub(crate) fn redactor(&self) -> Arc<Redactor> {
        Arc::clone(&self.0.lock().unwrap_or_else(PoisonError::into_inner).redactor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::redact::RedactedStream;

    #[test]
    fn a_secret_that_is_added_within_a_line_is_redacted_like_earlier_ones() {
        let redaction = Redaction::new(vec![Secret::new("the first secret")]);
        let mut stream = RedactedStream::new(redaction.redactor());
        let mut out = Vec::new();
        stream.push(b"one: the first secret, two: the fir", &mut out).unwrap();
        redaction.learn([&Secret::new("the second secret")]);
        stream.set_redactor(redaction.redactor());
        stream.push(b"st secret, three: the second", &mut out).unwrap();
        stream.push(b" secret.", &mut out).unwrap();
        stream.finish(&mut out).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "one: ***, two: ***, three: ***.");
    }
}
