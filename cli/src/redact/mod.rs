//! Redaction of secrets in a stream.
//!
//! Every form of every secret (see `forms`) is searched for at once by sampling: a text that contains a form of at least
//! `m` bytes contains one of its four-byte groups at one of every `m - 3` positions, so for tokens of hundreds of bytes
//! nearly all of the output is skipped.
//!
//! Only the beginning of a possible secret is retained: a prompt without a line end appears at once, and the memory needed
//! is one chunk and one secret.

pub(crate) mod forms;

use std::collections::{BTreeSet, HashMap};
use std::io::{self, Write};
use std::sync::{Arc, OnceLock};

use protocol::Secret;
use zeroize::Zeroizing;

/// The text that replaces a secret.
pub(crate) const MASK: &[u8] = b"***";

/// The number of bytes per lookup.
const GROUP: usize = 4;

/// Searches for a fixed set of secrets in any number of streams. The index is built at the first output: the start of a
/// step does not wait for it, and a step without output never needs it.
pub(crate) struct Redactor {
    secrets: Vec<Secret>,
    index: OnceLock<Index>,
}

impl Redactor {
    /// A redactor for these secrets. Secrets shorter than six bytes are ignored.
    pub(crate) fn new<'a>(secrets: impl IntoIterator<Item = &'a Secret>) -> Self {
        Self { secrets: secrets.into_iter().cloned().collect(), index: OnceLock::new() }
    }

    fn index(&self) -> &Index {
        self.index.get_or_init(|| Index::of(&self.secrets))
    }
}

/// The positions of every group of bytes in every form.
struct Index {
    forms: Vec<Zeroizing<Vec<u8>>>,
    longest: usize,
    stride: usize,
    /// Every group in `places`, so that most lookups end here.
    maybe: Groups,
    /// Every group of every form, at any offset.
    anywhere: Groups,
    /// Group to (which form, at which offset in it).
    places: HashMap<[u8; GROUP], Vec<(usize, usize)>>,
    /// The first group of every form.
    beginnings: Groups,
    /// The same without its last byte, each once: forms are many, and most begin like others.
    short_beginnings: BTreeSet<[u8; GROUP - 1]>,
}

impl Index {
    fn of(secrets: &[Secret]) -> Self {
        let forms = forms::of(secrets);
        let shortest = forms.iter().map(|form| form.len()).min().unwrap_or(usize::MAX);
        let mut places: HashMap<_, Vec<_>> = HashMap::new();
        let (mut maybe, mut anywhere, mut beginnings) = (Groups::none(), Groups::none(), Groups::none());
        for (form_number, form) in forms.iter().enumerate() {
            let groups = form.windows(GROUP).filter_map(|group| <[u8; GROUP]>::try_from(group).ok());
            for (offset, group) in groups.enumerate() {
                anywhere.add(group);
                if offset == 0 {
                    beginnings.add(group);
                }
                if offset <= shortest - GROUP {
                    places.entry(group).or_default().push((form_number, offset));
                    maybe.add(group);
                }
            }
        }
        let longest = forms.iter().map(|form| form.len()).max().unwrap_or(0);
        let stride = shortest.saturating_sub(GROUP - 1);
        let short_beginnings = forms.iter().filter_map(|form| form.first_chunk().copied()).collect();
        Self { forms, longest, stride, maybe, anywhere, places, beginnings, short_beginnings }
    }

    /// The position up to which the text is decided. The rest may be the beginning of a secret.
    fn decided(&self, text: &[u8]) -> usize {
        // A beginning that is longer than a group ends in a group of its form, which most texts do not.
        let may_be_long = text.last_chunk().is_none_or(|group| self.anywhere.may_have(*group));
        let longest = if may_be_long { self.longest.saturating_sub(1) } else { GROUP - 1 };
        let earliest = text.len().saturating_sub(longest);
        let begins_a_form = |at: &usize| {
            let rest = text.get(*at..).unwrap_or_default();
            match rest.first_chunk() {
                Some(group) => {
                    self.beginnings.may_have(*group)
                        && self.forms.iter().any(|form| form.len() > rest.len() && form.starts_with(rest))
                }
                None => self.short_beginnings.iter().any(|beginning| beginning.starts_with(rest)),
            }
        };
        (earliest..text.len()).find(begins_a_form).unwrap_or(text.len())
    }

    /// Every form that begins before `decided`, as (start, end), sorted by start.
    fn matches(&self, text: &[u8], decided: usize) -> Vec<(usize, usize)> {
        let mut found = Vec::new();
        if self.forms.is_empty() {
            return found;
        }
        // Most groups of most texts are in no form: a big output spends its time in this loop.
        let mut rest = text.get(self.stride - 1..).unwrap_or_default();
        while let Some(group) = rest.first_chunk() {
            if self.maybe.may_have(*group) {
                self.forms_around(text.len() - rest.len(), group, text, decided, &mut found);
            }
            rest = rest.get(self.stride..).unwrap_or_default();
        }
        found.sort_unstable();
        found
    }

    /// Adds the forms that contain this group and match around it to `found`.
    fn forms_around(
        &self,
        at: usize,
        group: &[u8; GROUP],
        text: &[u8],
        decided: usize,
        found: &mut Vec<(usize, usize)>,
    ) {
        for (form, offset) in self.places.get(group).into_iter().flatten() {
            let (Some(form), Some(start)) = (self.forms.get(*form), at.checked_sub(*offset)) else {
                continue;
            };
            let matches = text.get(start..).is_some_and(|rest| rest.starts_with(form));
            if matches && start < decided {
                found.push((start, start + form.len()));
            }
        }
    }
}

/// A set of groups with false positives: a bit for the hash of each.
///
/// Always inlined, because the client is built for size and a big output spends its time here.
struct Groups(Box<[u64; HASHES / 64]>);

const HASHES: usize = 1 << 17;

impl Groups {
    fn none() -> Self {
        Self(Box::new([0; HASHES / 64]))
    }

    fn add(&mut self, group: [u8; GROUP]) {
        let (word, bit) = Self::slot(group);
        if let Some(word) = self.0.get_mut(word) {
            *word |= bit;
        }
    }

    #[inline(always)]
    fn may_have(&self, group: [u8; GROUP]) -> bool {
        let (word, bit) = Self::slot(group);
        self.0.get(word).is_some_and(|bits| bits & bit != 0)
    }

    #[inline(always)]
    fn slot(group: [u8; GROUP]) -> (usize, u64) {
        let hash = u32::from_le_bytes(group).wrapping_mul(0x9E37_79B1) >> (32 - HASHES.trailing_zeros());
        let hash = usize::try_from(hash).unwrap_or_default();
        (hash / 64, 1 << (hash % 64))
    }
}

/// One stream through a [`Redactor`].
pub(crate) struct RedactedStream {
    redactor: Arc<Redactor>,
    /// The end of the input that may be the beginning of a secret.
    retained: Vec<u8>,
    /// How many of the retained bytes belong to a secret whose mask is written.
    covered: usize,
}

impl RedactedStream {
    /// A stream for one of the step's outputs.
    pub(crate) fn new(redactor: Arc<Redactor>) -> Self {
        Self { redactor, retained: Vec::new(), covered: 0 }
    }

    /// Replaces the redactor. The new one must know every secret of the old one.
    pub(crate) fn set_redactor(&mut self, redactor: Arc<Redactor>) {
        self.redactor = redactor;
    }

    /// Whether the next piece can be written unchanged: nothing is retained, and nothing in it would be.
    pub(crate) fn is_clean(&self, chunk: &[u8]) -> bool {
        let index = self.redactor.index();
        self.retained.is_empty()
            && index.decided(chunk) == chunk.len()
            && index.matches(chunk, chunk.len()).is_empty()
    }

    /// Takes the next piece and writes everything that is decided.
    pub(crate) fn push(&mut self, chunk: &[u8], out: &mut impl Write) -> io::Result<()> {
        if self.retained.is_empty() {
            let decided = self.redactor.index().decided(chunk);
            self.write_masked(chunk, decided, out)?;
            self.retained.extend_from_slice(chunk.get(decided..).unwrap_or_default());
        } else {
            let mut text = std::mem::take(&mut self.retained);
            text.extend_from_slice(chunk);
            let decided = self.redactor.index().decided(&text);
            self.write_masked(&text, decided, out)?;
            text.drain(..decided);
            self.retained = text;
        }
        Ok(())
    }

    /// Writes the retained bytes at the end of the stream.
    pub(crate) fn finish(&mut self, out: &mut impl Write) -> io::Result<()> {
        let text = std::mem::take(&mut self.retained);
        if text.is_empty() { Ok(()) } else { self.write_masked(&text, text.len(), out) }
    }

    /// Writes the first `decided` bytes of `text` with masks. Secrets that overlap share one mask.
    fn write_masked(&mut self, text: &[u8], decided: usize, out: &mut impl Write) -> io::Result<()> {
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
