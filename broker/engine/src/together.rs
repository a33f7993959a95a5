//! Which steps of a grant need not wait for one another?

use std::ops::Range;

use domain::Step;
use targets::Target;

/// Steps that are done, and undone, at once; each group when the one before it is done.
pub(crate) fn groups(target: &dyn Target, steps: &[Step]) -> Vec<Range<usize>> {
    let mut end = 0;
    let groups = steps.chunk_by(|before, step| target.can_run_in_parallel_with(step, before));
    let ranges = groups.map(|group| {
        let start = end;
        end += group.len();
        start..end
    });
    ranges.collect()
}

/// Those of what is still to be done that are done at once now.
pub(crate) fn first(target: &dyn Target, steps: &[Step], to_do: &[usize]) -> Vec<usize> {
    let of = |group: Range<usize>| to_do.iter().copied().filter(move |at| group.contains(at)).collect();
    let mut left = groups(target, steps).into_iter().map(of);
    left.find(|left: &Vec<usize>| !left.is_empty()).unwrap_or_default()
}
