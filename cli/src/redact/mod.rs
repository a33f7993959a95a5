//! How is a secret kept out of a step's output while it streams by?
//!
//! Every shape of every secret (see `forms`) is searched for at once by sampling: a text that contains a
//! shape of at least `m` bytes contains one of its four-byte groups at one of every `m - 3` positions, so
//! for tokens of hundreds of bytes nearly all of the output is never looked at.
//!
//! What is held back is only ever the beginning of a possible secret: a prompt without a line end appears at
//! once, and the memory needed is one chunk and one secret.

pub(crate) mod forms;

use std::collections::{BTreeSet, HashMap};
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
    /// Every group in `places`, so that most lookups end here.
    maybe: Groups,
    /// Every group of every form, wherever in it.
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

    /// Everything before this position can be decided with what is there; what follows may be the beginning
    /// of a secret.
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

    /// Every place where a form begins before `decided`, as (start, end), by start.
    fn matches(&self, text: &[u8], decided: usize) -> Vec<(usize, usize)> {
        let mut found = Vec::new();
        if self.forms.is_empty() {
            return found;
        }
        // Most groups of most texts are in no form: this loop is what a big output takes.
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

    /// Adds the forms that have this group and stand where it says, to `found`.
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
            let here = text.get(start..).is_some_and(|rest| rest.starts_with(form));
            if here && start < decided {
                found.push((start, start + form.len()));
            }
        }
    }
}

/// A set of groups that may say yes to one that is not in it: a bit for the hash of each.
///
/// Inlined by force, because the client is built for size, and a big output takes mostly this.
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

    /// Whether the next piece could be written as it is: nothing is held back, and nothing in it would be.
    pub(crate) fn is_clean(&self, chunk: &[u8]) -> bool {
        let index = self.redactor.index();
        self.held.is_empty()
            && index.decided(chunk) == chunk.len()
            && index.matches(chunk, chunk.len()).is_empty()
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
