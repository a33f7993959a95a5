//! Memory of this process: its protection from readers, and its allocator.

/// musl's allocator requests and releases a few pages at a time, which dominates a process that lives for milliseconds. See docs/adr/0009-allocate-with-dlmalloc-on-musl.md.
#[cfg(target_env = "musl")]
#[global_allocator]
static ALLOCATOR: dlmalloc::GlobalDlmalloc = dlmalloc::GlobalDlmalloc;

/// Prevents core files, and debuggers without special rights, from now on. A child process does not inherit this; the
/// keeper calls it again.
pub(crate) fn keep_out_of_core_files() {
    // The step runs also where the system does not support or refuses this.
    #[cfg(target_os = "linux")]
    let _ = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable);
}
