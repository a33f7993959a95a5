//! Compares the evidence pages with the points that ran; `CLOUDANIX_WRITE_DOCS=1` writes the pages.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use system_tests::aws::fixture::Mode;

use super::fault::CallFault;
use super::phase::Phase;
use super::point::Part;

const HEAD: &str = "# The kill matrix

Generated from the run of `tests/tests/integration/aws/kill_matrix`; it fails while this page says anything else.
To write it again: `CLOUDANIX_WRITE_DOCS=1 cargo test --workspace --test integration kill_matrix`.

A real broker with only the permissions of `examples/aws/broker-policy.json` provisions and revokes grants in an account
of an emulator that enforces IAM. The points are not a fixed list: the test first records a run without faults in every
mode, and every AWS call that the broker makes in it is a step with its boundaries. So the matrix covers a new step
automatically, and the test fails if the recorded runs lack a kind of step that the target knows.

";

const KILLED: &str = "## Killed

`kill -9`, at each call of each phase:

* before the call: the broker never sends it;
* applied and reply lost: AWS has applied the call, the broker never receives the reply;
* reply before commit: the broker has the reply and cannot commit it, because the test locks the database. The broker
  dies while it waits for the lock, or before its next call if it has nothing to commit;

and once in each phase after the commit and before the client reads the response. Then another broker starts on the same
data. The client, in turn, is gone, retries with the same key and revokes the grant, or revokes by its key twice. The
test moves the clock until no work is due. After each point:

* nothing is left and nothing foreign is gone: the account (roles, users, policies, associations) is as it was before,
  including foreign policies named like the broker's own, and foreign attachments, a foreign role and association;
* no grant is live, and the timeline is intact, begins with `elevate` and has one end;
* a retry received the same grant, or the response that it has ended.

";

const TWICE: &str = "
Every apply and every revert runs twice here: the retry, or the undo after it, repeats a call that was applied and whose
reply was lost, and `undo again` repeats a completed undo.
";

/// The table of one kind of points: their number by mode and phase.
pub(crate) fn table(parts: &[Part], points: impl Fn(&Part) -> usize) -> String {
    let mut text = "| mode | phase | AWS calls | points |\n|---|---|---|---|\n".to_owned();
    let mut all = 0;
    for mode in Mode::ALL {
        for phase in Phase::ALL {
            let part = parts.iter().find(|part| part.mode == *mode && part.phase == *phase);
            let Some(part) = part else { continue };
            let count = points(part);
            if count == 0 {
                continue;
            }
            all += count;
            let row = [mode.agent(), phase.in_words(), &part.calls(), &count.to_string()].join(" | ");
            writeln!(text, "| {row} |").unwrap();
        }
    }
    writeln!(text, "| **all** | | | **{all}** |").unwrap();
    text
}

pub(crate) fn killed(parts: &[Part]) -> String {
    let table = table(parts, |part| part.kill_points().len());
    format!("{HEAD}{KILLED}{table}{TWICE}")
}

const FAULTS: &str = "# The fault matrix

Generated from the run of `tests/tests/integration/aws/kill_matrix`, as [the kill matrix](kill-matrix.md) is, and
with the same checks after each point. No process is killed here; a proxy before the emulator makes a call fail. After a
fault in elevate the client receives its grant, and the timeline has the reason for the delay; after a later fault the
grant ends.

";

/// The table of injected faults: the number of calls by mode.
pub(crate) fn faults(points: &[(Mode, CallFault)]) -> String {
    let names: Vec<&str> = Mode::ALL.iter().map(|mode| mode.agent()).collect();
    let mut text = format!("{FAULTS}| what goes wrong | {} | points |\n", names.join(" | "));
    writeln!(text, "|---|{}---|", "---|".repeat(names.len())).unwrap();
    for call_fault in CallFault::ALL {
        let of = |mode: &Mode| points.iter().filter(|point| **point == (*mode, *call_fault)).count();
        let counts: Vec<usize> = Mode::ALL.iter().map(of).collect();
        let sum: usize = counts.iter().sum();
        let counts: Vec<String> = counts.iter().map(usize::to_string).collect();
        writeln!(text, "| {} | {} | {sum} |", call_fault.in_words(), counts.join(" | ")).unwrap();
    }
    writeln!(text, "| **all** |{} **{}** |", " |".repeat(names.len()), points.len()).unwrap();
    text
}

/// Fails unless the page has exactly this text.
#[track_caller]
pub(crate) fn assert_says(name: &str, text: &str) {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/evidence").join(name);
    if std::env::var_os("CLOUDANIX_WRITE_DOCS").is_some_and(|value| value == "1") {
        fs::write(&page, text).unwrap();
    }
    let found = fs::read_to_string(&page).unwrap_or_default();
    assert!(
        found == text,
        "docs/evidence/{name} says something else than what was run; what was run:\n{text}"
    );
}
