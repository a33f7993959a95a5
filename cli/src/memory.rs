//! Who can read our memory, in which there are secrets, and what does it cost to have some?

/// musl's own asks the kernel for a few pages at a time and gives them back at once: in a process that lives for
/// milliseconds that is most of what it does. See docs/adr/0009-allocate-with-dlmalloc-on-musl.md.
#[cfg(target_env = "musl")]
#[global_allocator]
static ALLOCATOR: dlmalloc::GlobalDlmalloc = dlmalloc::GlobalDlmalloc;

/// From here on nobody without special rights: no core file is written, and no debugger attaches. A program
/// that we start is not bound by it; the keeper, which is one, says it again for itself.
pub(crate) fn keep_out_of_core_files() {
    // Where there is no such thing, or it is refused, the step is still worth running.
    #[cfg(target_os = "linux")]
    let _ = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable);
}
