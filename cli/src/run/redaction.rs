//! What is kept out of a step's output, when secrets of its grant may come while it runs?

use std::sync::{Arc, Mutex, PoisonError};

use protocol::Secret;

use crate::redact::Redactor;

/// The secrets up to now, and who looks for them.
pub(crate) struct Redaction(Mutex<Known>);

struct Known {
    secrets: Vec<Secret>,
    redactor: Arc<Redactor>,
}

impl Redaction {
    pub(crate) fn of(secrets: Vec<Secret>) -> Self {
        let redactor = Arc::new(Redactor::new(&secrets));
        Self(Mutex::new(Known { secrets, redactor }))
    }

    /// These too. Before anybody can print them.
    pub(crate) fn learn<'a>(&self, more: impl IntoIterator<Item = &'a Secret>) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.secrets.extend(more.into_iter().cloned());
        known.redactor = Arc::new(Redactor::new(&known.secrets));
    }

    /// Looks for every secret up to now.
    pub(crate) fn redactor(&self) -> Arc<Redactor> {
        Arc::clone(&self.0.lock().unwrap_or_else(PoisonError::into_inner).redactor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::redact::RedactedStream;

    #[test]
    fn a_secret_that_comes_in_the_middle_of_a_line_is_kept_out_and_so_is_the_one_before() {
        let redaction = Redaction::of(vec![Secret::new("the first secret")]);
        let mut stream = RedactedStream::new(redaction.redactor());
        let mut out = Vec::new();
        stream.push(b"one: the first secret, two: the fir", &mut out).unwrap();
        redaction.learn([&Secret::new("the second secret")]);
        stream.look_with(redaction.redactor());
        stream.push(b"st secret, three: the second", &mut out).unwrap();
        stream.push(b" secret.", &mut out).unwrap();
        stream.finish(&mut out).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "one: ***, two: ***, three: ***.");
    }
}
