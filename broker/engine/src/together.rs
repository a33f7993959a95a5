//! Which steps of a grant need not wait for one another?

use std::ops::Range;

use domain::Step;
use targets::Target;

/// Steps that are done, and undone, at once; each group when the one before it is done.
pub(crate) fn groups(target: &dyn Target, steps: &[Step]) -> Vec<Range<usize>> {
    let mut end = 0;
    let groups = steps.chunk_by(|before, step| target.goes_with(step, before));
    let ranges = groups.map(|group| {
        let start = end;
        end += group.len();
        start..end
    });
    ranges.collect()
}
