//! What does the machinery itself cost? Slot hand-over, a message's round trip, and whole batches of small samples.
//!
//! `cargo bench --bench pool`. Times are per item as divan prints them; compare within one run only.

#![expect(unsafe_code, reason = "takes slots as a trainer does")]
#![expect(clippy::unwrap_used, reason = "a benchmark")]

use std::{sync::Arc, thread};

use divan::{Bencher, black_box, counter::BytesCount};
use stokehold::{
    BatchTransform, DType, FieldSpec, Loader, Mixing, SharedSource,
    protocol::{Channel, Command, Incoming, Report},
    rng::Key,
    sampler::{Given, Order, OrderSpec, Partition, Permutation, Sampler, Table},
    shm::{Arena, GiveBack, SlotLayout},
    transform::{BatchChain, BatchRows},
};

fn main() {
    stokehold::init();
    divan::main();
}

struct Nobody;

impl GiveBack for Nobody {
    fn give_back(&self, _: u32) {}
}

fn spec(name: &str, dtype: DType, shape: &[usize]) -> FieldSpec {
    FieldSpec::new(name, dtype, shape)
}

/// Which sample is at a position of a shuffled epoch of a million.
#[divan::bench]
fn shuffled_index(bencher: Bencher<'_, '_>) {
    let order = Permutation::new(1_000_003, 1, 2);
    let mut position = 0;
    bencher.bench_local(|| {
        position = (position + 7919) % 1_000_003;
        black_box(order.get(position))
    });
}

/// An epoch of 10 million positions of an order, over as many samples.
fn partition((spec, table): (OrderSpec, Vec<u8>)) -> Partition {
    let order = Order::Given(Given::open(&spec, Some(Table::new(table)), POSITIONS).unwrap());
    let sampler = Sampler { seed: 1, batch_size: 256, ..Sampler::new(POSITIONS, order) };
    sampler.partition(2, 0)
}

const POSITIONS: u64 = 10_000_000;

/// Which sample is at a position of an epoch that is drawn by weight.
#[divan::bench]
fn weighted_index(bencher: Bencher<'_, '_>) {
    let weights: Vec<f64> = (0..POSITIONS).map(|at| (at % 97) as f64).collect();
    let partition = partition(OrderSpec::weighted(&weights, None).unwrap());
    let mut position = 0;
    bencher.bench_local(|| {
        position = (position + 7919) % POSITIONS;
        black_box(partition.at(position))
    });
}

/// Which sample is at a position of a mixture of 8 sources.
#[divan::bench]
fn mixture_index(bencher: Bencher<'_, '_>) {
    let weights = [0.3, 0.2, 0.15, 0.1, 0.1, 0.08, 0.05, 0.02];
    let partition = partition(OrderSpec::mixture(&weights, &[POSITIONS / 8; 8], None).unwrap());
    let mut position = 0;
    bencher.bench_local(|| {
        position = (position + 7919) % POSITIONS;
        black_box(partition.at(position))
    });
}

/// Making the table of 10 million weights, and that of 10 million turns of 8 sources.
#[divan::bench(args = ["weights", "turns"], sample_count = 3, sample_size = 1)]
fn order_table(table: &str) -> (OrderSpec, Vec<u8>) {
    match table {
        "weights" => OrderSpec::weighted(&vec![0.5; POSITIONS as usize], None).unwrap(),
        _ => OrderSpec::mixture(&[0.3, 0.2, 0.15, 0.1, 0.1, 0.08, 0.05, 0.02], &[POSITIONS / 8; 8], None).unwrap(),
    }
}

/// Taking a slot and giving it back, without the message.
#[divan::bench]
fn slot_hand_over(bencher: Bencher<'_, '_>) {
    let layout = SlotLayout::new(64, &[spec("image", DType::UInt8, &[224, 224, 3])]).unwrap();
    let mut arena = Arena::new(layout);
    arena.grow(2).unwrap();
    let owner: Arc<dyn GiveBack> = Arc::new(Nobody);
    // SAFETY: nobody else has a right to the slot, and each one taken is dropped at once.
    bencher.bench_local(|| black_box(unsafe { arena.take(1, 0, 64, Arc::clone(&owner)) }.unwrap()));
}

/// Mixing 64 images of 224 px, (3, 224, 224), in place.
#[divan::bench(args = [("MixUp", DType::UInt8), ("MixUp", DType::Float16), ("MixUp", DType::BFloat16),
    ("MixUp", DType::Float32), ("CutMix", DType::UInt8), ("CutMix", DType::Float32)])]
fn mixed_batch(bencher: Bencher<'_, '_>, (name, dtype): (&str, DType)) {
    const ROWS: usize = 64;
    let mixing = Mixing::new(1000);
    let mix = if name == "MixUp" { BatchTransform::MixUp(mixing) } else { BatchTransform::CutMix(mixing) };
    let mut fields = [spec("image", dtype, &[3, 224, 224]), spec("label", DType::Int64, &[])];
    let chain = BatchChain::compile(&[mix], &mut fields).unwrap();
    let layout = SlotLayout::new(ROWS, &fields).unwrap();
    let mut arena = Arena::new(layout);
    arena.grow(1).unwrap();
    // SAFETY: nobody else has a right to the slot.
    let mut rows = unsafe { arena.rows_mut(0, 0, 0..ROWS) }.unwrap();
    rows.fields().iter_mut().for_each(|field| field.fill(0x3c));
    let mut index = 0;
    bencher.counter(BytesCount::new(ROWS * fields[0].row_bytes().unwrap())).bench_local(|| {
        index += 1;
        let mut batch = BatchRows { rows: ROWS, fields: &mut rows.fields(), specs: &fields, functions: None };
        chain.apply(Key { seed: 0, epoch: 0, index }, &mut batch).expect("a mix cannot fail");
    });
}

/// A command and its report between two threads that are awake.
#[divan::bench]
fn message_round_trip(bencher: Bencher<'_, '_>) {
    let (coordinator, worker) = Channel::<Command, Report>::pair().unwrap();
    let echo = thread::spawn(move || {
        while let Incoming::Message(_) = worker.recv(true).unwrap() {
            worker.send(&Report::Up).unwrap();
        }
    });
    bencher.bench_local(|| {
        coordinator.send(&Command::Segment).unwrap();
        black_box(coordinator.recv(true).unwrap());
    });
    drop(coordinator);
    echo.join().unwrap();
}

/// One batch of 256 samples of 16 `int64`: nothing but machinery.
#[divan::bench(args = [0, 1, 2])]
fn batch_of_small_samples(bencher: Bencher<'_, '_>, workers: u32) {
    let rows = 256 * 64;
    let data = vec![7_i64; rows * 16];
    let arrays =
        SharedSource::copy(rows as u64, &[(spec("x", DType::Int64, &[16]), bytemuck::cast_slice(&data))]).unwrap();
    batches(bencher.counter(BytesCount::new(256 * 16 * 8_u64)), arrays, 256, workers);
}

/// One batch of 64 images of 3x224x224 `float32`, 38.5 MB: nothing but memory.
#[divan::bench(args = [0, 1, 2], sample_count = 50)]
fn batch_of_large_samples(bencher: Bencher<'_, '_>, workers: u32) {
    let (rows, shape) = (256, [3, 224, 224]);
    let size = shape.iter().product::<usize>();
    let data = vec![1.0_f32; rows * size];
    let arrays =
        SharedSource::copy(rows as u64, &[(spec("x", DType::Float32, &shape), bytemuck::cast_slice(&data))]).unwrap();
    batches(bencher.counter(BytesCount::new(64 * size as u64 * 4)), arrays, 64, workers);
}

fn batches(bencher: Bencher<'_, '_>, arrays: SharedSource, batch_size: u32, workers: u32) {
    let loader = Loader::builder(arrays).batch_size(batch_size).num_workers(workers).build().unwrap();
    let mut epoch = loader.iter();
    bencher.bench_local(|| {
        if let Some(batch) = epoch.next() {
            return batch.unwrap();
        }
        epoch = loader.iter();
        epoch.next().unwrap().unwrap()
    });
}
