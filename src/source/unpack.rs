//! Compressed files, unpacked once to where they can be read at random.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read, Write},
    path::Path,
};

use ruzstd::decoding::StreamingDecoder;

use super::kept_file;
use crate::error::{Error, Result};

/// How far back Zstandard may look: what its strongest preset looks back.
const MAX_WINDOW: u64 = 128 << 20;
const PIECE: usize = 1 << 18;

/// Unpacks a file of Zstandard frames, which come to `size` bytes, to a new file that only its owner may read.
///
/// The new file has its name once it is whole, and is not there if anything fails. Its folder is made where there is none.
///
/// # Errors
/// [`Error::Sys`] where a file cannot be read or written, and [`Error::Config`] where the frames are broken or come to
/// another size, of which no more than `size` bytes are ever written.
pub fn unpack_zstd(from: &Path, to: &Path, size: u64) -> Result<()> {
    let broken = |why: String| Error::config(format!("{}: {why}", from.display()));
    let unread = |error: io::Error| Error::sys("read of a compressed shard", error);
    let unwritten = |error: io::Error| Error::sys("write to a cache", error);
    let mut input = BufReader::with_capacity(PIECE, File::open(from).map_err(unread)?);
    kept_file::whole(to, unwritten, |file| {
        let (mut left, mut piece) = (size, vec![0; PIECE]);
        while !input.fill_buf().map_err(unread)?.is_empty() {
            let mut frame = StreamingDecoder::new_with_max_window_size(&mut input, MAX_WINDOW)
                .map_err(|error| broken(format!("is not Zstandard: {error}")))?;
            loop {
                let count = frame.read(&mut piece).map_err(|error| broken(format!("is broken: {error}")))?;
                if count == 0 {
                    break;
                }
                left = left.checked_sub(count as u64).ok_or_else(|| broken(format!("holds more than {size} bytes")))?;
                file.write_all(&piece[..count]).map_err(unwritten)?;
            }
        }
        if left > 0 {
            return Err(broken(format!("holds {} bytes, not {size}", size - left)));
        }
        Ok(())
    })
}
