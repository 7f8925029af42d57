//! Opening regular files.

use std::{
    fs::{File, FileType, Metadata, OpenOptions},
    io,
    os::{
        fd::AsRawFd,
        unix::fs::{FileTypeExt, OpenOptionsExt},
    },
    path::Path,
};

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
