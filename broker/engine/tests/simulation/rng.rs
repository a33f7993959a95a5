//! Generates random numbers from the seed of a run.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use engine::{NoRandomness, Random};

/// Numbers from a seed (splitmix64).
pub(crate) struct Rng(Mutex<u64>);

impl Rng {
    pub(crate) fn of(seed: u64) -> Self {
        Self(Mutex::new(seed))
    }

    pub(crate) fn next(&self) -> u64 {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = *state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number from 0 to `sides`, exclusive.
    pub(crate) fn below(&self, sides: usize) -> usize {
        usize::try_from(self.next() % sides as u64).unwrap()
    }

    /// True with a probability of `permille` in a thousand.
    pub(crate) fn chance(&self, permille: u64) -> bool {
        self.next() % 1000 < permille
    }

    /// A duration between `least` and `most` milliseconds; short ones are more likely.
    pub(crate) fn millis(&self, least: u64, most: u64) -> Duration {
        let part = self.next() % 1000;
        Duration::from_millis(least + (most - least) * part * part / 1_000_000)
    }

    pub(crate) fn pick<'a, T>(&self, among: &'a [T]) -> &'a T {
        &among[self.below(among.len())]
    }
}

impl Random for Rng {
    fn fill(&self, buffer: &mut [u8]) -> Result<(), NoRandomness> {
        for byte in buffer.iter_mut() {
            *byte = self.next().to_be_bytes()[0];
        }
        Ok(())
    }
}
