//! Reduces many runs to one figure and prints it.

use std::time::{Duration, Instant};

use anyhow::Result;

/// Measurements of one quantity.
#[derive(Debug, Default, Clone)]
pub(crate) struct Samples(Vec<f64>);

impl FromIterator<f64> for Samples {
    fn from_iter<I: IntoIterator<Item = f64>>(values: I) -> Self {
        Self(values.into_iter().collect())
    }
}

impl Samples {
    pub(crate) fn push(&mut self, value: f64) {
        self.0.push(value);
    }

    pub(crate) fn extend(&mut self, others: Self) {
        self.0.extend(others.0);
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// The value at this percentile; NaN without measurements.
    pub(crate) fn percentile(&self, percent: usize) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let rank = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
        sorted.get(rank).copied().unwrap_or(f64::NAN)
    }

    pub(crate) fn median(&self) -> f64 {
        self.percentile(50)
    }
}

/// Measurements of our program and of the baseline, taken alternately.
#[derive(Debug, Default)]
pub(crate) struct Pairs {
    pub(crate) ours: Samples,
    pub(crate) other: Samples,
}

impl Pairs {
    /// Ratio of the medians.
    pub(crate) fn ratio(&self) -> f64 {
        self.ours.median() / self.other.median()
    }
}

/// Measures both `runs` times after one warm-up of each, and alternates which one goes first.
pub(crate) fn interleaved(
    runs: usize,
    mut ours: impl FnMut() -> Result<f64>,
    mut other: impl FnMut() -> Result<f64>,
) -> Result<Pairs> {
    ours()?;
    other()?;
    let mut pairs = Pairs::default();
    for run in 0..runs {
        if run % 2 == 0 {
            pairs.ours.push(ours()?);
            pairs.other.push(other()?);
        } else {
            pairs.other.push(other()?);
            pairs.ours.push(ours()?);
        }
    }
    Ok(pairs)
}

/// Time of one call, in milliseconds.
pub(crate) fn timed(work: impl FnOnce() -> Result<()>) -> Result<f64> {
    let start = Instant::now();
    work()?;
    Ok(millis(start.elapsed()))
}

pub(crate) fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

/// Target of a ratio.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Target {
    AtMost(f64),
    AtLeast(f64),
    /// No target: for information.
    None,
}

impl Target {
    fn verdict(self, ratio: f64) -> String {
        let (sign, limit, reached) = match self {
            Self::AtMost(limit) => ('≤', limit, ratio <= limit),
            Self::AtLeast(limit) => ('≥', limit, ratio >= limit),
            Self::None => return "            ".to_owned(),
        };
        format!("{sign} {limit:<5} {}", if reached { "yes " } else { "MISS" })
    }
}

/// One line of the report.
pub(crate) struct Figure<'a> {
    pub(crate) claim: &'a str,
    pub(crate) ratio: f64,
    pub(crate) target: Target,
    pub(crate) ours: String,
    pub(crate) other: String,
    pub(crate) runs: usize,
}

/// Prints figures as they are measured.
#[derive(Debug, Default)]
pub(crate) struct Report {
    missed: usize,
}

impl Report {
    pub(crate) fn section(&mut self, name: &str) {
        println!("\n{name}\n   ratio   target       claim");
    }

    pub(crate) fn figure(&mut self, figure: &Figure<'_>) {
        let Figure { claim, ratio, target, ours, other, runs } = figure;
        let verdict = target.verdict(*ratio);
        self.missed += usize::from(verdict.contains("MISS"));
        println!("{ratio:>8.3}   {verdict} {claim}\n{:>24}ours {ours} · {other} · {runs} runs", "");
    }

    /// Prints a note on the figures above it.
    pub(crate) fn note(&self, note: &str) {
        println!("{:>24}{note}", "");
    }

    /// Number of targets missed so far.
    pub(crate) fn missed(&self) -> usize {
        self.missed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_were_measured() {
        let mut samples = Samples::default();
        for value in [5.0, 1.0, 4.0, 2.0, 3.0] {
            samples.push(value);
        }
        assert_eq!((samples.median(), samples.percentile(99), samples.percentile(20)), (3.0, 5.0, 1.0));
        assert!(Samples::default().median().is_nan());
    }

    #[test]
    fn both_are_measured_equally_often_and_take_turns_at_being_first() {
        let order = std::cell::RefCell::new(String::new());
        let note = |name: char| {
            order.borrow_mut().push(name);
            Ok(1.0)
        };
        let pairs = interleaved(3, || note('a'), || note('b')).unwrap();
        assert_eq!((pairs.ours.len(), pairs.other.len()), (3, 3));
        assert_eq!(*order.borrow(), "ababbaab", "expected one warm-up of each, then three alternating pairs");
    }

    #[test]
    fn a_ratio_beyond_its_target_is_a_miss() {
        assert!(Target::AtMost(0.25).verdict(0.26).contains("MISS"));
        assert!(Target::AtMost(0.25).verdict(0.25).contains("yes"));
        assert!(Target::AtLeast(0.5).verdict(0.4).contains("MISS"));
        assert!(!Target::None.verdict(9.0).contains("MISS"));
    }
}
