//! Batches of steps that the driver applies, or reverts, in parallel.

use std::ops::Range;

use domain::Step;
use targets::Target;

/// Ranges of steps; a batch begins when the batch before it is done.
pub(super) fn batches(target: &dyn Target, steps: &[Step]) -> Vec<Range<usize>> {
    let mut end = 0;
    let batches = steps.chunk_by(|before, step| target.can_run_in_parallel_with(step, before));
    let ranges = batches.map(|batch| {
        let start = end;
        end += batch.len();
        start..end
    });
    ranges.collect()
}

/// The steps of the first batch that has any of those `left`.
pub(super) fn next_batch(target: &dyn Target, steps: &[Step], left: &[usize]) -> Vec<usize> {
    let of = |batch: Range<usize>| left.iter().copied().filter(move |at| batch.contains(at)).collect();
    let mut batches = batches(target, steps).into_iter().map(of);
    batches.find(|batch: &Vec<usize>| !batch.is_empty()).unwrap_or_default()
}
