//! Reads a process's memory, children and processor time from `/proc`.

use std::fs;

/// Peak resident memory in kB since the last `exec`. `None` once the process has ended.
pub(crate) fn peak_memory(pid: u32) -> Option<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().trim_end_matches(" kB").parse().ok()
}

/// Children of the process that it has not waited for.
pub(crate) fn children(pid: u32) -> Vec<u32> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    children.split_whitespace().filter_map(|child| child.parse().ok()).collect()
}

/// Whether the process's command line ends with this word.
pub(crate) fn is_called_with(pid: u32, last: &str) -> bool {
    fs::read(format!("/proc/{pid}/cmdline"))
        .is_ok_and(|line| line.ends_with(format!("\0{last}\0").as_bytes()))
}

/// Seconds of processor time so far, user and system.
pub(crate) fn processor_time(pid: u32) -> (f64, f64) {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // Counts fields from behind the name, which may contain any byte.
    let fields = stat.rsplit_once(") ").map_or("", |(_, fields)| fields);
    let mut ticks = fields.split(' ').skip(11).filter_map(|field| field.parse::<f64>().ok());
    // A tick is 10 ms for every program on Linux, whatever `CONFIG_HZ` is.
    (ticks.next().unwrap_or_default() / 100.0, ticks.next().unwrap_or_default() / 100.0)
}
