//! How should a batch get from one process to another?
//!
//! One producer process hands ready batches to one consumer process, in three ways and for sizes from 1 KiB to
//! 64 MiB. Every round of every way is interleaved with the others in one run, beside the limit: one thread that
//! copies the same bytes into reused memory.
//!
//! - `socket`: the bytes themselves through a Unix stream socket, into a buffer that the consumer reuses.
//! - `fresh`: a new memfd for each batch; its descriptor is sent, the consumer maps it and unmaps it. This is what
//!   torch's workers do.
//! - `stokehold`: the loader: slots that are mapped once and reused, and a message for each fill.
//! - `copy`: the limit; no second process.
//!
//! All start from the same source in memory, which the producer copies once. What is counted is the time per batch in a
//! steady loop in which the producer may be [`AHEAD`] batches ahead (for `socket`: as far as the socket's buffer
//! lets it), until the batch is readable in the consumer (`read` = 0), or until the consumer has also added up every
//! word of it (`read` = 1). A round passes over the source three times, and the first pass is not counted: what a
//! producer has made ahead while others were measured would make it look faster than it is. The first round only
//! warms up; the figures are the median, least and most of the others.
//!
//! ```text
//! cargo bench --bench ipc              # writes benches/results/ipc.csv
//! .venv/bin/python benches/ipc/plot.py # draws benches/results/ipc.png
//! ```
#![expect(unsafe_code, reason = "fork and mmap are what is measured")]
#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

mod fresh;
mod pool;
mod producer;
mod socket;

use std::{
    error::Error,
    fs,
    hint::black_box,
    io::Write,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

/// How many batches the producer may be ahead of the consumer.
const AHEAD: usize = 4;

/// The sizes of a batch in bytes.
const SIZES: [usize; 9] = [1 << 10, 1 << 12, 1 << 14, 1 << 16, 1 << 18, 1 << 20, 1 << 22, 1 << 24, 1 << 26];

/// The rounds that count, after one that warms up.
const ROUNDS: usize = 5;

/// The passes over the source in a round that count, after one that uses up what was made ahead.
const PASSES: usize = 2;

type Result<T, E = Box<dyn Error>> = std::result::Result<T, E>;

/// The batches of one round, one behind the other.
#[derive(Clone)]
struct Source {
    bytes: Arc<Vec<u8>>,
    batch: usize,
}

impl Source {
    /// Returns enough batches of `batch` bytes for a pass of some milliseconds, and more than can be made ahead.
    fn new(batch: usize) -> Self {
        let batches = ((128 << 20) / batch).clamp(2 * AHEAD, 4096);
        let mut state = 1_u64;
        let words = (0..batches * batch / 8).flat_map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            state.to_ne_bytes()
        });
        Self { bytes: Arc::new(words.collect()), batch }
    }

    fn batches(&self) -> std::slice::ChunksExact<'_, u8> {
        self.bytes.chunks_exact(self.batch)
    }
}

/// A way to get the batches of a [`Source`] to the consumer.
trait Transport {
    fn name(&self) -> &'static str;

    /// Hands each batch of the source, in order, to `consume`.
    fn pass(&mut self, consume: &mut dyn FnMut(&[u8])) -> Result<()>;
}

/// The limit: one thread, one copy, reused memory.
struct Copy {
    source: Source,
    slots: Vec<Vec<u8>>,
}

impl Transport for Copy {
    fn name(&self) -> &'static str {
        "copy"
    }

    fn pass(&mut self, consume: &mut dyn FnMut(&[u8])) -> Result<()> {
        for (at, batch) in self.source.batches().enumerate() {
            let slot = &mut self.slots[at % AHEAD];
            slot.copy_from_slice(batch);
            consume(black_box(slot));
        }
        Ok(())
    }
}

/// One line of the result.
struct Row {
    size: usize,
    transport: &'static str,
    read: bool,
    batches: usize,
    /// Seconds per batch of each round, in ascending order.
    seconds: Vec<f64>,
}

fn main() -> Result<()> {
    stokehold::init();
    let rounds = if std::env::args().any(|argument| argument == "--quick") { 1 } else { ROUNDS };
    let mut rows = Vec::new();
    println!("{:>9}  {:<10} {:>4} {:>12} {:>9}", "bytes", "transport", "read", "us per batch", "GB/s");
    for size in SIZES {
        let measured = measure(size, rounds)?;
        for row in &measured {
            let (median, gigabytes) = (median(&row.seconds), row.size as f64 / median(&row.seconds) / 1e9);
            let (read, us) = (u8::from(row.read), median * 1e6);
            println!("{:>9}  {:<10} {read:>4} {us:>12.2} {gigabytes:>9.3}", row.size, row.transport);
        }
        rows.extend(measured);
    }
    if rounds == ROUNDS {
        write_csv(&Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/results/ipc.csv"), &rows)?;
    }
    Ok(())
}

/// Measures every transport with batches of `size` bytes, one round of each in turn.
fn measure(size: usize, rounds: usize) -> Result<Vec<Row>> {
    let source = Source::new(size);
    let batches = source.batches().len();
    let expected = source.batches().map(sum).fold(0, u64::wrapping_add).wrapping_mul(1 + PASSES as u64);
    let mut transports: Vec<Box<dyn Transport>> = vec![
        Box::new(socket::Socket::start(source.clone())?),
        Box::new(fresh::Fresh::start(source.clone())?),
        Box::new(pool::Pool::start(&source)?),
        Box::new(Copy { slots: vec![vec![0; size]; AHEAD], source }),
    ];

    let mut rows: Vec<Row> = Vec::new();
    for transport in &transports {
        for read in [false, true] {
            rows.push(Row { size, transport: transport.name(), read, batches, seconds: Vec::new() });
        }
    }
    for round in 0..=rounds {
        for (at, row) in rows.iter_mut().enumerate() {
            let (took, seen) = time_round(&mut *transports[at / 2], row.read)?;
            if row.read && seen != expected {
                return Err(format!("{}: the consumer read something else than was sent", row.transport).into());
            }
            if round > 0 {
                row.seconds.push(took.as_secs_f64() / (PASSES * batches) as f64);
            }
        }
    }
    for row in &mut rows {
        row.seconds.sort_by(f64::total_cmp);
    }
    Ok(rows)
}

/// Runs one round; returns how long the passes that count took, and the sum of all that was read.
fn time_round(transport: &mut dyn Transport, read: bool) -> Result<(Duration, u64)> {
    let mut seen = 0_u64;
    let mut consume = |batch: &[u8]| {
        if read {
            seen = seen.wrapping_add(sum(batch));
        } else {
            black_box(batch);
        }
    };
    transport.pass(&mut consume)?;
    let began = Instant::now();
    for _ in 0..PASSES {
        transport.pass(&mut consume)?;
    }
    Ok((began.elapsed(), seen))
}

/// Adds up every word of a batch.
fn sum(batch: &[u8]) -> u64 {
    let (words, _) = batch.as_chunks::<8>();
    words.iter().map(|word| u64::from_ne_bytes(*word)).fold(0, u64::wrapping_add)
}

fn median(sorted: &[f64]) -> f64 {
    sorted[sorted.len() / 2]
}

fn write_csv(path: &Path, rows: &[Row]) -> Result<()> {
    fs::create_dir_all(path.parent().ok_or("a file has a folder")?)?;
    let mut file = fs::File::create(path)?;
    writeln!(file, "bytes,transport,read,batches,us_median,us_least,us_most")?;
    for Row { size, transport, read, batches, seconds } in rows {
        let [median, least, most] = [median(seconds), seconds[0], seconds[seconds.len() - 1]].map(|s| s * 1e6);
        writeln!(file, "{size},{transport},{},{batches},{median:.3},{least:.3},{most:.3}", u8::from(*read))?;
    }
    println!("wrote benches/results/ipc.csv");
    Ok(())
}
