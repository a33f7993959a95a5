//! Commands that the system does not start and a shell does.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};
use rustix::io::Errno;

/// The shell of every Unix system.
pub(super) const SHELL: &str = "/bin/sh";

/// The script, if `program` is one without an interpreter line: a shell runs it itself. `path` is the search path.
pub(super) fn without_interpreter(error: &io::Error, program: &OsStr, path: Option<&str>) -> Option<PathBuf> {
    if Errno::from_io_error(error) != Some(Errno::NOEXEC) {
        return None;
    }
    let file = find(program, path.unwrap_or_default())?;
    is_text(&file).then_some(file)
}

/// Whether `program` does not exist. The system reports "permission denied" also when it could not search a folder of
/// `path`; a shell does not.
pub(super) fn is_absent(error: &io::Error, program: &OsStr, path: Option<&str>) -> bool {
    Errno::from_io_error(error) == Some(Errno::ACCESS)
        && !has_folder(program)
        && !candidates(program, path.unwrap_or_default()).any(|file| file.exists())
}

fn has_folder(program: &OsStr) -> bool {
    program.as_bytes().contains(&b'/')
}

fn candidates(program: &OsStr, path: &str) -> impl Iterator<Item = PathBuf> {
    path.split(':').map(move |folder| Path::new(if folder.is_empty() { "." } else { folder }).join(program))
}

/// The first executable file on the path, as the system finds it.
fn find(program: &OsStr, path: &str) -> Option<PathBuf> {
    if has_folder(program) {
        return Some(program.into());
    }
    candidates(program, path).find(|file| file.is_file() && access(file, Access::EXEC_OK).is_ok())
}

/// Whether the file is text. A shell would print errors for a program of another machine.
fn is_text(file: &Path) -> bool {
    let mut beginning = Vec::new();
    let read = File::open(file).and_then(|file| file.take(256).read_to_end(&mut beginning));
    read.is_ok() && beginning.split(|byte| *byte == b'\n').next().is_some_and(|line| !line.contains(&0))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn no_exec() -> io::Error {
        Errno::NOEXEC.into()
    }

    #[test]
    fn a_script_is_found_where_the_system_found_it() {
        let folder = tempfile::tempdir().unwrap();
        for (name, mode) in [("a", 0o644), ("b", 0o755)] {
            fs::create_dir(folder.path().join(name)).unwrap();
            let file = folder.path().join(name).join("deploy");
            fs::write(&file, "exit 3\n").unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
        }
        let path = format!("{0}/none:{0}/a:{0}/b", folder.path().display());
        let found = without_interpreter(&no_exec(), "deploy".as_ref(), Some(&path));
        assert_eq!(found, Some(folder.path().join("b/deploy")));
        assert_eq!(without_interpreter(&Errno::ACCESS.into(), "deploy".as_ref(), Some(&path)), None);
    }

    #[test]
    fn a_program_for_another_machine_is_no_script() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), b"\x7fELF\x02\x01\x01\0\0\nexit 0\n").unwrap();
        assert_eq!(without_interpreter(&no_exec(), file.path().as_os_str(), None), None);
    }

    #[test]
    fn a_program_behind_an_unreadable_folder_is_found() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("there"), "").unwrap();
        let path = format!("/proc/1/fd:{}", folder.path().display());
        let absent = |error: Errno, program: &str| is_absent(&error.into(), program.as_ref(), Some(&path));
        assert!(absent(Errno::ACCESS, "not-there"));
        assert!(!absent(Errno::ACCESS, "there"), "it is, and may not be executed");
        assert!(!absent(Errno::ACCESS, "./not-there"), "its own folder may not be searched");
        assert!(!absent(Errno::NOMEM, "not-there"));
    }

    #[test]
    fn an_empty_file_is_a_script() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let found = without_interpreter(&no_exec(), file.path().as_os_str(), None);
        assert_eq!(found.as_deref(), Some(file.path()));
    }
}
