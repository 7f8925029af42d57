//! Reading a whole file to the end of a buffer that is used again.

use std::path::Path;

use super::store;
use crate::error::{Failure, Stage};

/// Reads the file at `path`, of any store, to the end of `record`, which is to become no longer than `most` bytes.
pub(super) fn append(path: &Path, record: &mut Vec<u8>, most: u64) -> Result<(), Failure> {
    let file = store::of(path).open(path)?;
    let size = file.stamp().size;
    if size == 0 {
        return Err(Failure::new(Stage::Read, "the file is empty (0 bytes)"));
    }
    let before = record.len();
    if size > most.saturating_sub(before as u64) {
        let others = if before > 0 { format!(", after {before} bytes that were read before") } else { String::new() };
        let reason = format!("the file has {size} bytes{others}, and max_sample_bytes is {most}");
        return Err(Failure::new(Stage::Read, reason));
    }
    let read = file.append(0, size as usize, record)?;
    if read as u64 != size {
        return Err(Failure::new(
            Stage::Read,
            format!("the file was cut short while it was read: {read} of {size} bytes"),
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::{
        fs::{self, File},
        os::unix::net::UnixListener,
        process::Command,
    };

    use super::*;

    fn reason(path: &Path) -> String {
        append(path, &mut Vec::new(), 1000).unwrap_err().reason
    }

    #[test]
    fn the_buffer_is_used_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        fs::write(&path, "abc").unwrap();
        let mut record = Vec::with_capacity(4096);
        record.extend_from_slice(b"before ");
        append(&path, &mut record, 10).unwrap();
        assert_eq!(record, b"before abc");
        assert_eq!(record.capacity(), 4096);
    }

    #[test]
    fn only_regular_files_with_content_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("empty"), "").unwrap();
        File::create(at("huge")).unwrap().set_len(1001).unwrap();
        fs::write(at("three"), "abc").unwrap();
        let _socket = UnixListener::bind(at("socket")).unwrap();
        assert!(Command::new("mkfifo").arg(at("fifo")).status().unwrap().success());

        assert_eq!(reason(&at("empty")), "the file is empty (0 bytes)");
        assert_eq!(reason(&at("huge")), "the file has 1001 bytes, and max_sample_bytes is 1000");
        let mut record = vec![0; 998];
        let failure = append(&at("three"), &mut record, 1000).unwrap_err();
        assert_eq!(
            failure.reason,
            "the file has 3 bytes, after 998 bytes that were read before, and max_sample_bytes is 1000"
        );
        assert_eq!(record.len(), 998);
        assert_eq!(reason(&at("socket")), "is a socket, not a regular file");
        assert_eq!(reason(&at("fifo")), "is a FIFO, not a regular file");
        assert_eq!(reason(folder.path()), "is a directory, not a regular file");
        assert_eq!(reason(Path::new("/dev/null")), "is a device, not a regular file");
    }
}
