//! The steps that the benchmarks run under the client.

use std::hint::black_box;
use std::time::Instant;

use anyhow::Result;
use clap::Subcommand;

use crate::clock;

/// A program that the client runs as its step.
#[derive(Subcommand)]
pub(crate) enum Step {
    /// Print the grant and the time in nanoseconds since 1970, and end.
    Now,
    /// Compute for this many rounds, and print the milliseconds.
    Spin {
        /// Number of rounds.
        rounds: u64,
    },
}

impl Step {
    pub(crate) fn take(self) -> Result<()> {
        match self {
            Self::Now => {
                let grant = std::env::var("CLOUDANIX_GRANT_ID").unwrap_or_default();
                println!("{grant} {}", clock::wall().as_nanos());
            }
            Self::Spin { rounds } => println!("{}", spin(rounds)),
        }
        Ok(())
    }
}

/// Keeps one core busy without touching memory. Returns the milliseconds.
pub(crate) fn spin(rounds: u64) -> f64 {
    let start = Instant::now();
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    for _ in 0..rounds {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
    }
    black_box(state);
    crate::figures::millis(start.elapsed())
}

/// How many rounds take about this long on this machine.
pub(crate) fn rounds_for(millis: f64) -> u64 {
    const TRIAL: u64 = 20_000_000;
    spin(TRIAL);
    let trial = spin(TRIAL).max(0.1);
    (TRIAL as f64 * millis / trial) as u64
}
