//! Files that keep what was found out once: whole, or as if they were not there.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use serde::{Serialize, de::DeserializeOwned};
use xxhash_rust::xxh3::Xxh3;

const MAGIC: &[u8; 16] = b"stokehold index\n";
const SUM_BYTES: usize = 16;
const LEN_BYTES: usize = 8;

/// Returns the header of a file and what follows it, as [`write`] wrote them; nothing where any byte is another one.
pub(crate) fn read<H: DeserializeOwned>(path: &Path) -> Option<(H, Vec<u8>)> {
    let mut file = File::open(path).ok()?;
    let mut front = [0; MAGIC.len() + SUM_BYTES + LEN_BYTES];
    file.read_exact(&mut front).ok()?;
    let (sum, len) = front.strip_prefix(MAGIC)?.split_at(SUM_BYTES);
    let mut hashed = Xxh3::new();
    hashed.update(len);
    let left = file.metadata().ok()?.len().checked_sub(front.len() as u64)?;
    // Of the header it is known how long it is, and of what follows: it is read to where it stays.
    let len = u64::from_le_bytes(len.try_into().ok()?);
    let mut header = vec![0; usize::try_from(len).ok().filter(|_| len <= left)?];
    file.read_exact(&mut header).ok()?;
    hashed.update(&header);
    let mut bytes = Vec::with_capacity(usize::try_from(left - len).ok()?);
    file.read_to_end(&mut bytes).ok()?;
    hashed.update(&bytes);
    if sum != hashed.digest128().to_le_bytes() {
        return None;
    }
    let header = serde_json::from_slice(&header).ok()?;
    Some((header, bytes))
}

/// Makes a file, which only its owner may read, under a name of its own; once `content` has written it, it takes its name, so
/// that others never see half of one. Its folder is made where there is none. Nothing is left where anything fails.
///
/// # Errors
/// What `refused` makes of an error of the system, and those of `content`.
pub(crate) fn whole<E>(
    path: &Path,
    refused: impl Fn(io::Error) -> E,
    content: impl FnOnce(&mut File) -> Result<(), E>,
) -> Result<(), E> {
    fs::create_dir_all(path.parent().unwrap_or(path)).map_err(&refused)?;
    let own = path.with_extension(format!("{}.part", std::process::id()));
    let made = || {
        let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&own);
        content(&mut file.map_err(&refused)?)?;
        fs::rename(&own, path).map_err(&refused)
    };
    made().inspect_err(|_| {
        let _ = fs::remove_file(&own);
    })
}

/// Writes a file, [`whole`] or not at all.
///
/// # Errors
/// Where the system refuses anything of this.
pub(crate) fn write<H: Serialize>(path: &Path, header: &H, pieces: &[&[u8]]) -> io::Result<()> {
    let header = serde_json::to_vec(header)?;
    let len = (header.len() as u64).to_le_bytes();
    let parts = || [&len[..], &header].into_iter().chain(pieces.iter().copied());
    let mut sum = Xxh3::new();
    parts().for_each(|part| sum.update(part));
    whole(path, std::convert::identity, |file| {
        file.write_all(MAGIC)?;
        file.write_all(&sum.digest128().to_le_bytes())?;
        parts().try_for_each(|part| file.write_all(part))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_whole_or_not_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("of/its/own");
        assert_eq!(read::<String>(&path), None);
        write(&path, &"header", &[b"some", b"bytes"]).unwrap();
        assert_eq!(read::<String>(&path), Some(("header".into(), b"somebytes".to_vec())));
        assert_eq!(read::<u8>(&path), None);
        let whole = fs::read(&path).unwrap();
        for at in 0..whole.len() {
            let mut other = whole.clone();
            other[at] ^= 1;
            fs::write(&path, &other).unwrap();
            assert_eq!(read::<String>(&path), None, "byte {at}");
            fs::write(&path, &whole[..at]).unwrap();
            assert_eq!(read::<String>(&path), None, "cut at {at}");
        }
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }
}
