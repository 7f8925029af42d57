//! Compressed files, unpacked once to where they can be read at random.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufReader, Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use ruzstd::decoding::StreamingDecoder;

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
    let sys = |call: &'static str| move |error: io::Error| Error::sys(call, error);
    let mut input = BufReader::with_capacity(PIECE, File::open(from).map_err(sys("open of a compressed shard"))?);
    fs::create_dir_all(to.parent().unwrap_or(to)).map_err(sys("mkdir of a cache"))?;
    let own = to.with_extension(format!("{}.part", std::process::id()));
    let mut unpack = || {
        let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&own);
        let mut file = file.map_err(sys("open in a cache"))?;
        let (mut left, mut piece) = (size, vec![0; PIECE]);
        while !at_end(&mut input).map_err(sys("read of a compressed shard"))? {
            let mut frame = StreamingDecoder::new_with_max_window_size(&mut input, MAX_WINDOW)
                .map_err(|error| broken(format!("is not Zstandard: {error}")))?;
            loop {
                let count = frame.read(&mut piece).map_err(|error| broken(format!("is broken: {error}")))?;
                if count == 0 {
                    break;
                }
                left = left.checked_sub(count as u64).ok_or_else(|| broken(format!("holds more than {size} bytes")))?;
                file.write_all(&piece[..count]).map_err(sys("write to a cache"))?;
            }
        }
        if left > 0 {
            return Err(broken(format!("holds {} bytes, not {size}", size - left)));
        }
        fs::rename(&own, to).map_err(sys("rename in a cache"))
    };
    unpack().inspect_err(|_| {
        let _ = fs::remove_file(&own);
    })
}

fn at_end(input: &mut BufReader<File>) -> io::Result<bool> {
    io::BufRead::fill_buf(input).map(<[u8]>::is_empty)
}
