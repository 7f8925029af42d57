//! Opening regular files, and reading a whole one to the end of a buffer that is used again.

use std::{
    fs::{File, FileType, Metadata, OpenOptions},
    io,
    os::{
        fd::AsRawFd,
        unix::fs::{FileTypeExt, OpenOptionsExt},
    },
    path::Path,
};

use super::store;
use crate::{
    descriptor::beyond_stdio,
    error::{Failure, Stage},
};

/// Opens a regular file; anything else is a failure that says what it is.
pub(crate) fn open(path: &Path) -> Result<(File, Metadata), Failure> {
    // Without O_NONBLOCK, opening a FIFO that nobody writes to would wait for ever.
    let flags = libc::O_NONBLOCK | libc::O_CLOEXEC | libc::O_NOCTTY;
    let open = || OpenOptions::new().read(true).custom_flags(flags).open(path);
    let file = beyond_stdio(File::as_raw_fd, open).map_err(|error| cannot_open(path, &error))?;
    let metadata = file.metadata().map_err(|error| Failure::io("", &error))?;
    if !metadata.is_file() {
        return Err(not_regular(metadata.file_type()));
    }
    Ok((file, metadata))
}

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

/// Names a socket, which cannot be opened and would otherwise read "No such device or address".
fn cannot_open(path: &Path, error: &io::Error) -> Failure {
    if error.raw_os_error() == Some(libc::ENXIO)
        && let Ok(metadata) = path.metadata()
        && !metadata.is_file()
    {
        return not_regular(metadata.file_type());
    }
    Failure::io("", error)
}

fn not_regular(kind: FileType) -> Failure {
    let kind = if kind.is_dir() {
        "a directory"
    } else if kind.is_fifo() {
        "a FIFO"
    } else if kind.is_socket() {
        "a socket"
    } else {
        "a device"
    };
    Failure::new(Stage::Read, format!("is {kind}, not a regular file"))
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::net::UnixListener, process::Command};

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
