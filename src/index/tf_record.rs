//! `TFRecord` files of `tf.train.Example`s.

use std::{
    fs::File,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::{
    Progress,
    cache::Cache,
    features::Wanted,
    shards::{Shard, each, open},
};
use crate::{
    budget::Budget,
    error::{Error, Failure, Result},
    field::{Bytes, Field},
    loader::{Columns, Parts, Shards, SharedSource, Values},
    rng::Key,
    source::{CRC_BYTES, Feature, HEAD_BYTES, Record, features_of, masked_crc},
    stamp::Stamp,
};

/// `TFRecord` files, whose records are `tf.train.Example`s.
///
/// A record is its length as a little-endian `u64`, the checksum of these eight bytes, the bytes, and their checksum. The
/// index has where each begins; the checksums of all lengths are compared for it, those of the bytes when they are read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TfRecord {
    /// The files.
    pub shards: Vec<PathBuf>,
    /// The fields; none for one of each feature that the first record has.
    pub features: Option<Vec<Wanted>>,
    /// Whether the checksum of each record's bytes is compared when it is read.
    pub check_crc: bool,
}

/// How many records, and how many bytes of them, tell what fields have room for.
const PROBED_RECORDS: u64 = 1000;
const PROBED_BYTES: u64 = 8 << 20;

impl TfRecord {
    /// Finds the records, or has them from the cache, and returns them as a source.
    ///
    /// # Errors
    /// [`Config`](Error::Config) that names the shard and the byte where a file is no `TFRecord` file, is compressed or ends too
    /// early, or the first record is not what the fields need; [`Sys`](Error::Sys) for a file that cannot be read.
    pub fn index(&self, cache: &Cache, progress: Progress<'_>) -> Result<SharedSource> {
        let shards = self.shards.iter().map(|path| open(path)).collect::<Result<Vec<_>>>()?;
        let stamped: Vec<_> = shards.iter().map(|(path, _, stamp)| (path.clone(), *stamp)).collect();
        let what = serde_json::to_string(self).map_err(|error| Error::Protocol(error.to_string()))?;
        let (source, _) = cache.get(&what, &stamped, || Ok((self.build(&shards, &stamped, progress)?, 0)))?;
        Ok(source)
    }

    fn build(&self, shards: &[Shard], stamped: &[(PathBuf, Stamp)], progress: Progress<'_>) -> Result<SharedSource> {
        let found = each(shards, progress, |_, (path, file, stamp)| records(path, file, stamp.size))?;
        let (mut numbers, mut starts, mut sizes) = (Vec::new(), Vec::new(), Vec::new());
        for (number, found) in found.into_iter().enumerate() {
            numbers.extend(std::iter::repeat_n(number as u32, found.len()));
            starts.extend(found.iter().map(|(start, _)| start));
            sizes.extend(found.iter().map(|(_, size)| size));
        }
        if numbers.is_empty() {
            return Err(Error::Config(format!("there is no record in {} shards", shards.len())));
        }
        let field = Field::new("record", Bytes { capacity: 0 });
        let parts = Values::Parts(Parts { shards: &numbers, starts: &starts, sizes: &sizes });
        let shards = Some(Shards { files: stamped, mapped: false });
        let columns = Columns { shards, ..Columns::new(numbers.len() as u64, vec![(field, parts)]) };
        let records = SharedSource::table(columns)?;
        let at = (&*stamped[numbers[0] as usize].0, starts[0] - HEAD_BYTES);
        let features = self.features(&records, at)?;
        let source = records.examples(features.clone(), self.check_crc)?;
        let roomy = with_room(&source, features, at)?;
        records.examples(roomy, self.check_crc)
    }

    /// Returns the fields, as the first record, which is `at` this byte of this file, has their features.
    fn features(&self, records: &SharedSource, at: (&Path, u64)) -> Result<Vec<Feature>> {
        let source = records.open()?;
        let mut record = Record::default();
        let key = Key { seed: 0, epoch: 0, index: 0 };
        let told = |reason: String| first_record(at, &reason);
        let read = source.reader().read(key, &mut record, Budget::DEFAULT);
        read.map_err(|failure| told(failure.reason))?;
        let found = features_of(source.field(0, 0, &record), self.check_crc).map_err(told)?;
        let wanted = match &self.features {
            Some(wanted) => wanted.clone(),
            None => found.keys().map(|name| Wanted::first(name)).collect(),
        };
        if wanted.is_empty() {
            return Err(told("has no features".into()));
        }
        wanted.iter().map(|wanted| wanted.of(&found).map_err(told)).collect()
    }
}

/// Returns what is wrong with the first record, which is at this byte of this file.
fn first_record((path, at): (&Path, u64), reason: &str) -> Error {
    Error::Config(format!("`{}`: the first record, at byte {at}: {reason}", path.display()))
}

/// Makes room in fields that vary, by the longest of the first records and half as much again.
fn with_room(examples: &SharedSource, mut features: Vec<Feature>, at: (&Path, u64)) -> Result<Vec<Feature>> {
    let source = examples.open()?;
    let mut longest = vec![0; features.len()];
    let (mut reader, mut record, mut bytes) = (source.reader(), Record::default(), 0);
    for index in 0..source.len().min(PROBED_RECORDS) {
        let read = reader.read(Key { seed: 0, epoch: 0, index }, &mut record, Budget::DEFAULT);
        match read {
            Ok(()) => {}
            Err(Failure { reason, .. }) if index == 0 => return Err(first_record(at, &reason)),
            // What is wrong there is told for the sample that it is wrong with.
            Err(_) => continue,
        }
        for (field, longest) in longest.iter_mut().enumerate() {
            *longest = source.field(field, index, &record).len().max(*longest);
        }
        bytes += record.len() as u64;
        if bytes > PROBED_BYTES {
            break;
        }
    }
    for (feature, longest) in features.iter_mut().zip(longest) {
        feature.field.make_room((longest * 3 / 2).max(64));
    }
    Ok(features)
}

/// Bytes of a file, read some at a time.
struct Window<'a> {
    file: &'a File,
    start: u64,
    bytes: Vec<u8>,
}

/// What is read at a time: heads of small records lie near each other, and a page is what a disk gives in any case.
const WINDOW_BYTES: usize = 4096;

impl Window<'_> {
    /// Returns the head of a record, which ends in the file.
    fn head(&mut self, at: u64, size: u64) -> std::io::Result<[u8; HEAD_BYTES as usize]> {
        let found = |window: &Self| {
            let from = usize::try_from(at.checked_sub(window.start)?).ok()?;
            window.bytes.get(from..)?.first_chunk().copied()
        };
        if let Some(head) = found(self) {
            return Ok(head);
        }
        self.bytes.resize((size - at).min(WINDOW_BYTES as u64) as usize, 0);
        self.file.read_exact_at(&mut self.bytes, at)?;
        self.start = at;
        found(self).ok_or_else(|| std::io::ErrorKind::UnexpectedEof.into())
    }
}

/// Returns where the bytes of each record start, and how many they are, with the checksum behind them.
fn records(path: &Path, file: &File, size: u64) -> Result<Vec<(u64, u64)>> {
    let (mut found, mut at) = (Vec::new(), 0);
    let mut window = Window { file, start: 0, bytes: Vec::new() };
    while at < size {
        let told =
            |what: String| Error::Config(format!("`{}`: record {} at byte {at} {what}", path.display(), found.len()));
        let left = size - at;
        if left < HEAD_BYTES {
            return Err(told(format!(
                "is cut short: its length takes {HEAD_BYTES} bytes, and the file ends after {left}"
            )));
        }
        let head = window.head(at, size).map_err(|error| told(format!("cannot be read: {error}")))?;
        let (length, crc) = head.split_at(8);
        if masked_crc(length).to_le_bytes() != crc {
            return Err(if at == 0 && is_compressed(&head) {
                Error::Config(format!(
                    "`{}` is compressed, so that no record can be read by itself; decompress it (gunzip), or write it \
                     without a compression type",
                    path.display()
                ))
            } else {
                told("has a length whose checksum is wrong: the file is damaged, or no TFRecord file".into())
            });
        }
        let length = u64::from_le_bytes(length.try_into().unwrap_or_default());
        let part = length.checked_add(CRC_BYTES as u64).filter(|part| *part <= left - HEAD_BYTES);
        let part = part.ok_or_else(|| {
            told(format!("has {length} bytes and a checksum, and the file ends after {}", left - HEAD_BYTES))
        })?;
        found.push((at + HEAD_BYTES, part));
        at += HEAD_BYTES + part;
    }
    Ok(found)
}

/// Tells whether a file begins as those of gzip and zlib do.
fn is_compressed(head: &[u8]) -> bool {
    matches!(head, [0x1f, 0x8b, 8, ..] | [0x78, 0x01 | 0x5e | 0x9c | 0xda, ..])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framed(data: &[u8]) -> Vec<u8> {
        let length = (data.len() as u64).to_le_bytes();
        let crc = |bytes: &[u8]| masked_crc(bytes).to_le_bytes();
        [&length[..], &crc(&length), data, &crc(data)].concat()
    }

    fn found(content: &[u8]) -> Result<Vec<(u64, u64)>> {
        let path = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(path.path(), content).unwrap();
        records(Path::new("x"), path.as_file(), content.len() as u64)
    }

    fn reason(content: &[u8]) -> String {
        found(content).unwrap_err().to_string()
    }

    #[test]
    fn records_are_found_within_and_beyond_a_window() {
        let sizes = [0, 1, 5000, 4096 - 16, 10, 3, 9000];
        let content: Vec<u8> = sizes.iter().flat_map(|size| framed(&vec![7; *size])).collect();
        let mut at = 0;
        for ((start, bytes), size) in found(&content).unwrap().into_iter().zip(sizes) {
            assert_eq!((start, bytes), (at + 12, size as u64 + 4));
            at += 16 + size as u64;
        }
        assert_eq!(at, content.len() as u64);
        assert_eq!(found(b"").unwrap(), []);
    }

    #[test]
    fn a_file_that_ends_anywhere_names_the_record_and_its_byte() {
        let (one, two) = (framed(b"abc"), framed(b"defg"));
        let whole = [one.clone(), two].concat();
        for end in 1..whole.len() {
            match found(&whole[..end]) {
                Ok(found) => assert_eq!((found.len(), end), (1, one.len())),
                Err(error) => {
                    let record = if end < one.len() { "record 0 at byte 0 " } else { "record 1 at byte 19 " };
                    assert!(error.to_string().contains(record), "{error}");
                }
            }
        }
        assert_eq!(
            reason(&whole[..whole.len() - 1]),
            "`x`: record 1 at byte 19 has 4 bytes and a checksum, and the file ends after 7"
        );
    }

    #[test]
    fn lengths_that_lead_out_of_the_file_are_refused() {
        for length in [4, u64::MAX, u64::MAX - 3, 1 << 63] {
            let length = length.to_le_bytes();
            let head = [&length[..], &masked_crc(&length).to_le_bytes(), b"abc", &[0; 4]].concat();
            assert!(reason(&head).contains("and the file ends after 7"));
        }
        let mut flipped = framed(b"abc");
        flipped[0] ^= 1;
        assert!(reason(&flipped).contains("record 0 at byte 0 has a length whose checksum is wrong"));
        assert!(reason(b"\x1f\x8b\x08\0\0\0\0\0\0\x03abc").contains("is compressed"));
    }
}
