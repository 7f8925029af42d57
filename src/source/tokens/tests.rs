use std::{fs, sync::Arc};

use super::*;
use crate::{
    field::Tensor,
    source::{BlocksAt, Column, RunsAt, ShardsAt, TableSpec},
    spec::DType,
    stamp::Stamp,
};

/// Windows of four tokens of one file, each a token behind the last one.
fn windows(path: &Path, tokens: &[u16]) -> (TokensSpec, Bytes) {
    fs::write(path, tokens.iter().flat_map(|token| token.to_le_bytes()).collect::<Vec<_>>()).unwrap();
    let stamp = Stamp::of(&path.metadata().unwrap());
    let name = path.to_str().unwrap();
    let mut bytes = name.as_bytes().to_vec();
    let mut add = |numbers: &[u64]| {
        let at = bytes.len();
        bytes.extend(numbers.iter().flat_map(|number| number.to_ne_bytes()));
        at
    };
    let ends = add(&[name.len() as u64]);
    let stamps = add(&[stamp.size, stamp.changed]);
    let blocks = BlocksAt { offset: add(&[0, 0, 0, 2]), count: 1 };
    let shards = ShardsAt { count: 1, paths: RunsAt { offset: 0, ends, longest: name.len() }, stamps, mapped: false };
    let row = Field::new("tokens", Tensor { dtype: DType::UInt16, shape: vec![4] });
    let columns = vec![Column { field: row, stored: Stored::Blocks(blocks) }];
    let windows = TableSpec { shards: Some(shards), ..TableSpec::new(tokens.len() as u64 - 3, columns) };
    let spec = TokensSpec {
        windows,
        output: DType::Int32,
        limit: u64::MAX,
        separator: Some(9),
        segments: true,
        documents: None,
    };
    (spec, Arc::new(bytes))
}

fn sample(source: &Tokens, index: u64) -> Result<Vec<Vec<i32>>, Failure> {
    let mut record = Record::default();
    source.reader().read(Key { seed: 0, epoch: 0, index }, &mut record, 1000)?;
    let numbers = |field| {
        let bytes = source.field(field, index, &record);
        bytes.as_chunks().0.iter().map(|each| i32::from_ne_bytes(*each)).collect()
    };
    Ok((0..source.fields().len()).map(numbers).collect())
}

#[test]
fn a_sample_is_a_window_and_its_targets() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.bin");
    let (spec, bytes) = windows(&path, &[1, 9, 3, 4, 50000]);
    assert_eq!(serde_json::from_str::<TokensSpec>(&serde_json::to_string(&spec).unwrap()).unwrap(), spec);
    let source = Tokens::open(spec.clone(), Arc::clone(&bytes), None).unwrap();
    assert_eq!(sample(&source, 0).unwrap(), [[1, 9, 3], [9, 3, 4], [1, 1, 2], [0, 1, 0]]);
    assert_eq!(sample(&source, 1).unwrap(), [[9, 3, 4], [3, 4, 50000], [1, 2, 2], [0, 0, 1]]);
    assert_eq!(source.key(1), format!("{}: tokens from byte 2 on", path.display()));

    let documents = TokensSpec { documents: Some(RunsAt { offset: 8, ends: 0, longest: 16 }), ..spec.clone() };
    let starts: Bytes = Arc::new([16_u64, 0, 4].map(u64::to_ne_bytes).concat());
    let by_start = Tokens::open(documents.clone(), Arc::clone(&bytes), Some(starts)).unwrap();
    assert_eq!(sample(&by_start, 0).unwrap()[2..], [[1, 1, 2], [0, 1, 0]]);
    assert_eq!(sample(&by_start, 1).unwrap()[2..], [[1, 2, 2], [0, 0, 1]]);
    assert_eq!(by_start.identity(2), source.identity(2));

    let most = by_start.reader().read(Key { seed: 0, epoch: 0, index: 0 }, &mut Record::default(), 39).unwrap_err();
    assert_eq!(most.reason, "the window takes 40 bytes, and max_sample_bytes is 39");
    let limited = TokensSpec { limit: 50000, ..spec.clone() };
    let limited = Tokens::open(limited, Arc::clone(&bytes), None).unwrap();
    let failure = sample(&limited, 1).unwrap_err();
    assert!(failure.reason.starts_with(&format!("the token at byte 8 of `{}` is 50000", path.display())));
    for wrong in [TokensSpec { separator: None, ..spec.clone() }, documents] {
        let message = Tokens::open(wrong, Arc::clone(&bytes), None).unwrap_err().to_string();
        assert!(message.contains("segments need a separator"), "{message}");
    }
    let wrong = TokensSpec { output: DType::Float32, ..spec };
    assert!(Tokens::open(wrong, bytes, None).unwrap_err().to_string().contains("uint16 do not become float32"));
}

#[test]
fn a_file_that_shrinks_is_a_bad_sample() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.bin");
    let (spec, bytes) = windows(&path, &[1, 2, 3, 4, 5]);
    let source = Tokens::open(spec, bytes, None).unwrap();
    let mut reader = source.reader();
    let mut record = Record::default();
    let key = |index| Key { seed: 0, epoch: 0, index };
    reader.read(key(0), &mut record, 1000).unwrap();
    fs::File::options().write(true).open(&path).unwrap().set_len(8).unwrap();
    reader.read(key(0), &mut record, 1000).unwrap();
    assert!(reader.read(key(1), &mut record, 1000).unwrap_err().reason.contains("a.bin"));
    assert!(sample(&source, 0).unwrap_err().reason.contains("changed after its index was made"));
}
