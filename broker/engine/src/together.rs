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

/// Those that are done at once of what is still to be done, and those that come after them.
pub(crate) fn first_two(target: &dyn Target, steps: &[Step], to_do: &[usize]) -> [Vec<usize>; 2] {
    let of = |group: Range<usize>| to_do.iter().copied().filter(move |at| group.contains(at)).collect();
    let left = groups(target, steps).into_iter().map(of);
    let mut left = left.filter(|left: &Vec<usize>| !left.is_empty());
    [left.next().unwrap_or_default(), left.next().unwrap_or_default()]
}
