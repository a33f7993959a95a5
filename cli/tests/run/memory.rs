//! Core files of `run` and its keeper.

use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::Command;

use crate::fake_broker::FakeBroker;
use crate::harness::{Wrapper, files_in, kill, wait_until_gone};

const WITH_CORE_FILES: &str = "ulimit -c unlimited && exec \"$@\"";

fn core_files(folder: &Path) -> Vec<String> {
    files_in(folder).into_iter().filter(|name| name.starts_with("core")).collect()
}

/// Whether a program that crashes here leaves a core file in its folder.
fn core_files_are_written() -> bool {
    let folder = tempfile::tempdir().unwrap();
    let mut crash = Command::new("sh");
    crash.args(["-c", WITH_CORE_FILES, "sh", "sh", "-c", "kill -ABRT $$"]).current_dir(folder.path());
    crash.status().unwrap().core_dumped() && !core_files(folder.path()).is_empty()
}

#[test]
fn only_the_step_can_leave_a_core_file() {
    if !core_files_are_written() {
        println!("skipped: this machine writes no core files into the folder of what crashed");
        return;
    }
    let broker = FakeBroker::start();
    let launcher = ["sh", "-c", WITH_CORE_FILES, "sh", "setsid"];
    let step = "echo $$ > pid; until test -e go || ! test -e pid; do sleep 0.01; done";
    let mut running = Wrapper::through(&launcher, &broker, &["--", "sh", "-c", step]).start();
    let (step, keeper) = (running.pid_in("pid"), running.keeper());
    for pid in [keeper, running.pid()] {
        kill(pid, "ABRT");
    }
    let status = running.status();
    assert_eq!((status.signal(), status.core_dumped()), (Some(6), false));
    wait_until_gone(keeper);
    assert_eq!(core_files(running.folder.path()), [""; 0]);
    kill(step, "ABRT");
    wait_until_gone(step);
    assert_eq!(core_files(running.folder.path()).len(), 1, "the step is not bound by it");
}
