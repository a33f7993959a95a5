//! How is a secret kept out of a step's output while it streams by?
//!
//! Every shape of every secret (see `forms`) is searched for at once by sampling: a text that contains a
//! shape of at least `m` bytes contains one of its four-byte groups at one of every `m - 3` positions, so
//! for tokens of hundreds of bytes nearly all of the output is never looked at.
//!
//! What is held back is only ever the beginning of a possible secret: a prompt without a line end appears at
//! once, and the memory needed is one chunk and one secret.

mod forms;

use std::collections::HashMap;
use std::io::{self, Write};
use std::sync::{Arc, OnceLock};

use protocol::Secret;
use zeroize::Zeroizing;

/// What stands in the place of a secret.
pub(crate) const MASK: &[u8] = b"***";

/// Bytes that are looked up together.
const GROUP: usize = 4;

/// Looks for a fixed set of secrets in any number of streams. What it takes is made when there is something to
/// look at: a step does not wait for it, and a silent one never needs it.
pub(crate) struct Redactor {
    secrets: Vec<Secret>,
    index: OnceLock<Index>,
}

impl Redactor {
    /// Secrets shorter than six bytes are not looked for.
    pub(crate) fn new<'a>(secrets: impl IntoIterator<Item = &'a Secret>) -> Self {
        Self { secrets: secrets.into_iter().cloned().collect(), index: OnceLock::new() }
    }

    fn index(&self) -> &Index {
        self.index.get_or_init(|| Index::of(&self.secrets))
    }
}

/// Where in which shape every group of bytes stands.
struct Index {
    forms: Vec<Zeroizing<Vec<u8>>>,
    longest: usize,
    stride: usize,
    /// One bit for the hash of every group in `places`, so that most lookups end here.
    maybe: Vec<u64>,
    /// Group to (which form, at which offset in it).
    places: HashMap<[u8; GROUP], Vec<(usize, usize)>>,
    first_bytes: Vec<bool>,
}

impl Index {
    fn of(secrets: &[Secret]) -> Self {
        let forms = forms::of(secrets);
        let shortest = forms.iter().map(|form| form.len()).min().unwrap_or(usize::MAX);
        let mut places: HashMap<_, Vec<_>> = HashMap::new();
        let mut maybe = vec![0_u64; HASHES / 64];
        let mut first_bytes = vec![false; 256];
        for (form_number, form) in forms.iter().enumerate() {
            for (offset, group) in form.windows(GROUP).enumerate().take(shortest - GROUP + 1) {
                if let Ok(group) = <[u8; GROUP]>::try_from(group) {
                    places.entry(group).or_default().push((form_number, offset));
                    let (word, bit) = slot(group);
                    if let Some(word) = maybe.get_mut(word) {
                        *word |= bit;
                    }
                }
            }
            if let Some(known) = form.first().and_then(|first| first_bytes.get_mut(usize::from(*first))) {
                *known = true;
            }
        }
        let longest = forms.iter().map(|form| form.len()).max().unwrap_or(0);
        let stride = shortest.saturating_sub(GROUP - 1);
        Self { forms, longest, stride, maybe, places, first_bytes }
    }

    /// Everything before this position can be decided with what is there; what follows may be the beginning
    /// of a secret.
    fn decided(&self, text: &[u8]) -> usize {
        let earliest = text.len().saturating_sub(self.longest.saturating_sub(1));
        let tail = text.get(earliest..).unwrap_or_default();
        let begins_a_form = |at: &usize| {
            let rest = tail.get(*at..).unwrap_or_default();
            self.forms.iter().any(|form| form.len() > rest.len() && form.starts_with(rest))
        };
        let position = tail
            .iter()
            .enumerate()
            .filter(|(_, byte)| self.first_bytes.get(usize::from(**byte)).copied().unwrap_or(false))
            .map(|(at, _)| at)
            .find(begins_a_form);
        position.map_or(text.len(), |at| earliest + at)
    }

    /// Every place where a form begins before `decided`, as (start, end), by start.
    fn matches(&self, text: &[u8], decided: usize) -> Vec<(usize, usize)> {
        let mut found = Vec::new();
        if self.forms.is_empty() {
            return found;
        }
        let mut at = self.stride - 1;
        while let Some(group) = text.get(at..at + GROUP).and_then(|group| <[u8; GROUP]>::try_from(group).ok())
        {
            let (word, bit) = slot(group);
            if self.maybe.get(word).is_some_and(|bits| bits & bit != 0) {
                for (form, offset) in self.places.get(&group).into_iter().flatten() {
                    let (Some(form), Some(start)) = (self.forms.get(*form), at.checked_sub(*offset)) else {
                        continue;
                    };
                    let here = text.get(start..).is_some_and(|rest| rest.starts_with(form));
                    if here && start < decided {
                        found.push((start, start + form.len()));
                    }
                }
            }
            at += self.stride;
        }
        found.sort_unstable();
        found
    }
}

const HASHES: usize = 1 << 17;

fn slot(group: [u8; GROUP]) -> (usize, u64) {
    let hash = u32::from_le_bytes(group).wrapping_mul(0x9E37_79B1) >> (32 - HASHES.trailing_zeros());
    let hash = usize::try_from(hash).unwrap_or_default();
    (hash / 64, 1 << (hash % 64))
}

/// One stream on its way through a [`Redactor`].
pub(crate) struct RedactedStream {
    redactor: Arc<Redactor>,
    /// The end of what came in that may be the beginning of a secret.
    held: Vec<u8>,
    /// How many of the held bytes belong to a secret whose mask was written already.
    covered: usize,
}

impl RedactedStream {
    /// A stream of its own, for one of the step's outputs.
    pub(crate) fn new(redactor: Arc<Redactor>) -> Self {
        Self { redactor, held: Vec::new(), covered: 0 }
    }

    /// From now on this one looks, which must know every secret of the one before.
    pub(crate) fn look_with(&mut self, redactor: Arc<Redactor>) {
        self.redactor = redactor;
    }

    /// Takes the next piece in and writes everything that is decided by now.
    pub(crate) fn push(&mut self, chunk: &[u8], out: &mut impl Write) -> io::Result<()> {
        if self.held.is_empty() {
            let decided = self.redactor.index().decided(chunk);
            self.pass(chunk, decided, out)?;
            self.held.extend_from_slice(chunk.get(decided..).unwrap_or_default());
        } else {
            let mut text = std::mem::take(&mut self.held);
            text.extend_from_slice(chunk);
            let decided = self.redactor.index().decided(&text);
            self.pass(&text, decided, out)?;
            text.drain(..decided);
            self.held = text;
        }
        Ok(())
    }

    /// Nothing more will come: writes what was held back.
    pub(crate) fn finish(&mut self, out: &mut impl Write) -> io::Result<()> {
        let text = std::mem::take(&mut self.held);
        if text.is_empty() { Ok(()) } else { self.pass(&text, text.len(), out) }
    }

    /// Writes the first `decided` bytes of `text` with masks. Secrets that overlap share one mask.
    fn pass(&mut self, text: &[u8], decided: usize, out: &mut impl Write) -> io::Result<()> {
        let mut written = self.covered;
        for (start, end) in self.redactor.index().matches(text, decided) {
            if start >= written {
                out.write_all(text.get(written..start).unwrap_or_default())?;
                out.write_all(MASK)?;
            }
            written = written.max(end);
        }
        out.write_all(text.get(written..decided).unwrap_or_default())?;
        self.covered = written.saturating_sub(decided);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
