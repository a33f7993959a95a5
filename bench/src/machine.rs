//! Describes the machine and its current load.

use std::fs;
use std::thread::available_parallelism;

use crate::clock;

/// Description of the machine in one line.
pub(crate) fn describe() -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let cpu = read("/proc/cpuinfo");
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
    let now = i64::try_from(clock::wall().as_millis()).unwrap_or_default();
    format!(
        "machine: {} cores · {} · Linux {} · {} · {}",
        available_parallelism().map_or(0, usize::from),
        model.trim_start_matches(['\t', ' ', ':']),
        read("/proc/sys/kernel/osrelease").trim(),
        protocol::Timestamp::from_millis(now),
        load(),
    )
}

/// The load average, with a warning if other processes use the machine.
pub(crate) fn load() -> String {
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let minute = load.split(' ').next().unwrap_or_default();
    format!(
        "load average {minute} over the last minute (only figures from below 1 before the start are for the record)"
    )
}
