//! Whatever a Parquet file holds, reading it returns: no panic, no more memory than the cache allows.
//!
//! The first byte chooses how nulls are treated, the rest is the file.

#![no_main]

use std::{fs, path::PathBuf, process};

use libfuzzer_sys::fuzz_target;
use stokehold::{
    Source, SourceSpec,
    rng::Key,
    source::{Nulls, ParquetRequest, Record, RequestedFile},
};

/// Enough for the seeds, and little enough to find what takes more than it says.
const CACHE_BYTES: u64 = 1 << 22;

fuzz_target!(|input: &[u8]| {
    let Some((choice, file)) = input.split_first() else { return };
    let path = PathBuf::from(format!("/dev/shm/stokehold-fuzz-{}.parquet", process::id()));
    fs::write(&path, file).expect("there is shared memory");
    let nulls = [Nulls::Error, Nulls::Fill, Nulls::Mask][usize::from(choice % 3)];
    let files = vec![RequestedFile { path, partitions: Vec::new() }];
    let request = ParquetRequest { files, nulls, cache_bytes: CACHE_BYTES, ..ParquetRequest::default() };
    let Ok(spec) = request.probe() else { return };
    let Ok(source) = SourceSpec::Parquet(spec).open(&[]) else { return };
    let (mut reader, mut record) = (source.reader(), Record::default());
    for index in (0..source.len()).take(1000) {
        let key = Key { seed: 0, epoch: 0, index };
        if reader.read(key, &mut record, CACHE_BYTES).is_ok() {
            let bytes: usize = (0..source.fields().len()).map(|field| source.field(field, index, &record).len()).sum();
            assert!(bytes as u64 <= CACHE_BYTES);
        }
        assert!(source.key(index).contains("row group"));
    }
});
