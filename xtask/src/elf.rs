//! Checks that a Linux program is static.

use anyhow::{Context, Result, bail};

const MAGIC: &[u8] = b"\x7fELF\x02\x01";
const PROGRAM_HEADERS_AT: usize = 32;
const PROGRAM_HEADER_SIZE_AT: usize = 54;
const PROGRAM_HEADER_COUNT_AT: usize = 56;
const PT_INTERP: u32 = 3;

/// Whether the program needs no dynamic loader. 64-bit little-endian files only.
pub(crate) fn is_static(file: &[u8]) -> Result<bool> {
    if !file.starts_with(MAGIC) {
        bail!("expected a 64-bit little-endian ELF file");
    }
    let table = usize::try_from(u64::from_le_bytes(at(file, PROGRAM_HEADERS_AT)?))?;
    let size = usize::from(u16::from_le_bytes(at(file, PROGRAM_HEADER_SIZE_AT)?));
    let count = usize::from(u16::from_le_bytes(at(file, PROGRAM_HEADER_COUNT_AT)?));
    for index in 0..count {
        let header = index.checked_mul(size).and_then(|offset| offset.checked_add(table));
        if u32::from_le_bytes(at(file, header.context("a program header lies outside of the file")?)?)
            == PT_INTERP
        {
            return Ok(false);
        }
    }
    Ok(true)
}

fn at<const N: usize>(file: &[u8], offset: usize) -> Result<[u8; N]> {
    let bytes = file.get(offset..).and_then(|rest| rest.first_chunk());
    bytes.copied().context("the ELF file is cut short")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A minimal ELF file: a header, and program headers of these kinds.
    fn file(kinds: &[u32]) -> Vec<u8> {
        let mut file = vec![0; 64];
        file[..6].copy_from_slice(MAGIC);
        file[PROGRAM_HEADERS_AT] = 64;
        file[PROGRAM_HEADER_SIZE_AT] = 56;
        file[PROGRAM_HEADER_COUNT_AT] = u8::try_from(kinds.len()).unwrap();
        for kind in kinds {
            file.extend(kind.to_le_bytes());
            file.extend([0; 52]);
        }
        file
    }

    #[test]
    fn a_file_with_an_interpreter_is_not_static() {
        assert!(is_static(&file(&[1, 2, 6])).unwrap());
        assert!(!is_static(&file(&[6, 1, PT_INTERP])).unwrap());
    }

    #[test]
    fn truncated_and_other_files_are_errors() {
        assert!(is_static(b"MZ").is_err());
        let whole = file(&[1, 2]);
        let kind_of_the_last = 64 + 56;
        assert!(is_static(&whole[..kind_of_the_last + 4]).is_ok());
        assert!(is_static(&whole[..kind_of_the_last + 3]).is_err());
        assert!(is_static(&whole[..40]).is_err());
    }

    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    #[test]
    fn this_very_test_is_not_static() {
        let this = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        assert!(!is_static(&this).unwrap());
    }
}
