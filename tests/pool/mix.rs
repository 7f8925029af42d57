//! Batches that are mixed as a whole: whoever ends in the middle of it, the bytes are those of an undisturbed run.

use std::{
    fs::{self, File},
    os::unix::fs::FileExt,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use nix::sys::signal::Signal;
use stokehold::{
    Batch, BatchTransform, Builder, DType, Error, FieldSpec, Input, Launch, Loader, Mixing, Source, Stage,
    field::Field,
    source::{BytesReader, Reader, Record},
};

use crate::{
    Test,
    world::{PATIENCE, eventually, send},
};

pub(crate) const TESTS: &[Test] = &[
    ("mixed_bytes_do_not_depend_on_workers_or_threads", mixed_bytes_do_not_depend_on_workers_or_threads),
    ("a_resumed_epoch_is_mixed_as_it_would_have_been", a_resumed_epoch_is_mixed_as_it_would_have_been),
    ("a_worker_that_ends_while_it_mixes_is_not_seen", a_worker_that_ends_while_it_mixes_is_not_seen),
    (
        "a_batch_that_ends_two_workers_is_named_and_the_rest_goes_on",
        a_batch_that_ends_two_workers_is_named_and_the_rest_goes_on,
    ),
    ("an_abandoned_iteration_may_be_in_the_middle_of_mixing", an_abandoned_iteration_may_be_in_the_middle_of_mixing),
];

const ROWS: u64 = 10;
const BATCH: usize = 4;
/// Large enough, and mixed often enough, that it takes a while: the watcher must get at it in the middle.
const PIXELS: usize = 1 << 20;
const MIXES: usize = if cfg!(debug_assertions) { 1 } else { 40 };
const CLASSES: u32 = 3;

/// Images in memory; to get at one of them may take a while.
#[derive(Debug)]
struct Pictures {
    fields: [Field; 2],
    images: Vec<u8>,
    does_io: bool,
    slow: Option<u64>,
}

impl Source for Pictures {
    fn len(&self) -> u64 {
        ROWS
    }

    fn fields(&self) -> &[Field] {
        &self.fields
    }

    fn key(&self, index: u64) -> String {
        format!("picture {index}")
    }

    fn does_io(&self) -> bool {
        self.does_io
    }

    fn reader(&self) -> Box<dyn Reader + '_> {
        Box::new(BytesReader::new(|index, bytes, _| {
            if self.slow == Some(index) {
                thread::sleep(Duration::from_millis(200));
            }
            bytes.clear();
            bytes.extend((index as i64 % i64::from(CLASSES)).to_ne_bytes());
            Ok(())
        }))
    }

    fn field<'a>(&'a self, field: usize, index: u64, record: &'a Record) -> &'a [u8] {
        if field == 1 { &record.bytes } else { &self.images[index as usize * PIXELS..][..PIXELS] }
    }
}

/// A loader that mixes; `slow` is a sample that comes slowly.
fn mixing(workers: u32, does_io: bool, slow: Option<u64>) -> Builder {
    let spec = |name: &str, dtype, shape: &[usize]| FieldSpec::new(name, dtype, shape);
    let fields = [spec("image", DType::UInt8, &[1024, 1024]), spec("label", DType::Int64, &[])];
    let images = (0..ROWS as usize * PIXELS).map(|at| (at * 31 + at / PIXELS * 7) as u8).collect();
    let source = Pictures { fields: fields.map(Field::from), images, does_io, slow };
    let mixes = [BatchTransform::MixUp(Mixing::new(CLASSES)), BatchTransform::CutMix(Mixing::new(CLASSES))];
    let choice = BatchTransform::RandomChoice { transforms: mixes.to_vec(), p: Some(vec![1.0, 0.2]) };
    Loader::builder(Input::Custom(Arc::new(source)))
        .batch_size(BATCH as u32)
        .shuffle(true)
        .batch_transforms(vec![choice; MIXES])
        .num_workers(workers)
        .prefetch(1)
        .launch(Launch::Fork)
}

/// What an undisturbed epoch gives.
fn undisturbed() -> Vec<Value> {
    epoch(&mixing(0, false, None).build().unwrap())
}

type Value = (Vec<u64>, Vec<u8>, Vec<f32>);

fn value(batch: &Batch) -> Value {
    let labels = bytemuck::cast_slice(batch.bytes("label").unwrap()).to_vec();
    (batch.indices(), batch.bytes("image").unwrap().to_vec(), labels)
}

fn epoch(loader: &Loader) -> Vec<Value> {
    loader.iter().map(|batch| value(&batch.unwrap())).collect()
}

/// The notes on the rows of the first slot, as they lie in the arena that this process has mapped.
struct Notes(File, u64);

impl Notes {
    fn of_this_process() -> Self {
        let maps = fs::read_to_string("/proc/self/maps").unwrap();
        let arena = maps.lines().find(|line| line.contains("stokehold-arena")).expect("an arena");
        let start = u64::from_str_radix(arena.split('-').next().unwrap(), 16).unwrap();
        Self(File::open("/proc/self/mem").unwrap(), start)
    }

    fn wait_for(&self, wanted: [u8; BATCH]) {
        let deadline = Instant::now() + PATIENCE;
        let mut seen = [0; BATCH];
        while seen != wanted {
            assert!(Instant::now() < deadline, "never: {wanted:?}; now {seen:?}");
            self.0.read_exact_at(&mut seen, self.1).unwrap();
        }
    }

    /// Waits until the batch in the first slot is being mixed: its last row is the slow sample, which nobody can miss,
    /// and then all rows are noted as waiting, the first as in hand.
    fn wait_for_mixing(&self) {
        self.wait_for([3, 3, 3, 1]);
        self.wait_for([1, 0, 0, 0]);
    }
}

fn worker(loader: &Loader) -> i32 {
    loader.stats(&mut || Ok(())).unwrap().workers[0].1
}

fn mixed_bytes_do_not_depend_on_workers_or_threads() {
    let expected = undisturbed();
    assert_eq!(expected.iter().map(|(indices, ..)| indices.len()).collect::<Vec<_>>(), [4, 4, 2]);
    for (workers, threads) in [(0, 2), (1, 1), (1, 2), (2, 1), (3, 2)] {
        let loader = mixing(workers, workers == 2, None).threads_per_worker(threads).build().unwrap();
        assert_eq!(epoch(&loader), expected, "{workers} workers of {threads} threads");
        assert_ne!(epoch(&loader), expected, "another epoch, another mix");
    }
}

fn a_resumed_epoch_is_mixed_as_it_would_have_been() {
    let expected = undisturbed();
    for (before, after) in [(0, 0), (0, 1), (2, 0)] {
        let first = mixing(before, false, None).build().unwrap();
        assert_eq!(value(&first.iter().next().unwrap().unwrap()), expected[0]);
        let second = mixing(after, false, None).build().unwrap();
        second.load_state(&first.state()).unwrap();
        assert_eq!(epoch(&second), expected[1..], "{before} workers, then {after}");
    }
}

fn a_worker_that_ends_while_it_mixes_is_not_seen() {
    let expected = undisturbed();
    for (signal, threads) in [(Signal::SIGKILL, 1), (Signal::SIGSEGV, 2), (Signal::SIGSTOP, 1)] {
        // Longer than a busy machine takes to mix a batch: only the stopped worker stalls.
        let stall_timeout = if signal == Signal::SIGSTOP { Duration::from_secs(4) } else { Duration::from_mins(1) };
        let loader = mixing(1, threads == 2, Some(expected[0].0[3]))
            .threads_per_worker(threads)
            .stall_timeout(stall_timeout)
            .build()
            .unwrap();
        let pid = worker(&loader);
        let batches = loader.iter();
        Notes::of_this_process().wait_for_mixing();
        send(pid, signal);
        let seen: Vec<_> = batches.map(|batch| value(&batch.unwrap())).collect();
        assert_eq!(seen, expected, "{signal} in the middle of mixing, {threads} threads");
        let stats = loader.stats(&mut || Ok(())).unwrap();
        assert_eq!((stats.restarts, stats.failed_samples), (1, 0), "{stats:?}");
    }
}

fn a_batch_that_ends_two_workers_is_named_and_the_rest_goes_on() {
    let expected = undisturbed();
    let loader = mixing(1, false, Some(expected[0].0[3])).build().unwrap();
    let (batches, notes) = (loader.iter(), Notes::of_this_process());
    for ended in 0..2 {
        eventually("the worker before is replaced", || loader.stats(&mut || Ok(())).unwrap().restarts == ended);
        let pid = worker(&loader);
        notes.wait_for_mixing();
        send(pid, Signal::SIGKILL);
    }
    let seen: Vec<_> = batches.collect();
    let Err(Error::Sample(error)) = &seen[0] else { panic!("{:?}", seen[0]) };
    assert_eq!((error.index, error.stage), (expected[0].0[0], Stage::Worker));
    assert!(error.reason.contains("the transforms of its batch ended 2 workers, the last one"), "{error}");
    let rest: Vec<_> = seen[1..].iter().map(|batch| value(batch.as_ref().unwrap())).collect();
    assert_eq!(rest, expected[1..]);
    assert_eq!(loader.stats(&mut || Ok(())).unwrap().failed_samples, 1);
}

fn an_abandoned_iteration_may_be_in_the_middle_of_mixing() {
    let expected = undisturbed();
    let loader = mixing(1, false, Some(expected[0].0[3])).build().unwrap();
    drop(loader.iter());
    Notes::of_this_process().wait_for_mixing();
    loader.set_epoch(0);
    assert_eq!(epoch(&loader), expected);
}
