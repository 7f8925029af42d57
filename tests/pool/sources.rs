//! A source that is code: rows of numbers, with something that happens at one of them.

use std::{
    fmt,
    fs::{File, OpenOptions},
    io::Write,
    os::{
        fd::{AsRawFd, RawFd},
        unix::fs::FileExt,
    },
    path::{Path, PathBuf},
    sync::Arc,
    thread,
    time::Duration,
};

use stokehold::{
    Batch, Builder, DType, Field, FieldSpec, Input, Launch, Loader, Source,
    error::{Failure, Stage},
    source::{BytesReader, Reader, Record},
};

/// What happens when a sample is fetched.
pub(crate) type Event = Arc<dyn Fn(u64) -> Result<(), Failure> + Send + Sync>;

/// Samples of three numbers that follow from the index.
pub(crate) struct Numbers {
    len: u64,
    fields: Vec<Field>,
    event: Event,
    /// Where the numbers are read from, if not made up.
    file: Option<File>,
}

impl Numbers {
    pub(crate) fn new(len: u64, event: impl Fn(u64) -> Result<(), Failure> + Send + Sync + 'static) -> Self {
        let spec = FieldSpec::new("x", DType::UInt64, [3]);
        Self { len, fields: vec![spec.into()], event: Arc::new(event), file: None }
    }

    /// The same numbers from a file that is kept open.
    pub(crate) fn in_file(len: u64, path: &Path) -> Self {
        let bytes: Vec<u8> = (0..len).flat_map(record_of).collect();
        std::fs::write(path, bytes).unwrap();
        Self { file: Some(File::open(path).unwrap()), ..Self::new(len, |_| Ok(())) }
    }
}

impl fmt::Debug for Numbers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Numbers").field("len", &self.len).finish_non_exhaustive()
    }
}

impl Source for Numbers {
    fn len(&self) -> u64 {
        self.len
    }

    fn fields(&self) -> &[Field] {
        &self.fields
    }

    fn key(&self, index: u64) -> String {
        format!("number {index}")
    }

    fn descriptors(&self) -> Vec<RawFd> {
        self.file.iter().map(AsRawFd::as_raw_fd).collect()
    }

    fn does_io(&self) -> bool {
        true
    }

    fn reader(&self) -> Box<dyn Reader + '_> {
        Box::new(BytesReader::new(|index, bytes, _| {
            bytes.clear();
            (self.event)(index)?;
            match &self.file {
                None => bytes.extend(record_of(index)),
                Some(file) => {
                    bytes.resize(24, 0);
                    file.read_exact_at(bytes, index * 24).map_err(|error| Failure::io("", &error))?;
                }
            }
            Ok(())
        }))
    }

    fn field<'a>(&'a self, _: usize, _: u64, record: &'a Record) -> &'a [u8] {
        &record.bytes
    }
}

fn record_of(index: u64) -> impl Iterator<Item = u8> {
    (0..3).flat_map(move |n| (index * 10 + n).to_ne_bytes())
}

/// A file that processes of a test write down what they did in: one line each.
#[derive(Clone)]
pub(crate) struct Diary(PathBuf);

impl Diary {
    pub(crate) fn new() -> Self {
        let name = format!("stokehold-test-{}-{:?}", std::process::id(), thread::current().id());
        let diary = Self(std::env::temp_dir().join(name));
        std::fs::write(&diary.0, "").unwrap();
        diary
    }

    pub(crate) fn write(&self, line: impl fmt::Display) {
        let mut file = OpenOptions::new().append(true).open(&self.0).unwrap();
        file.write_all(format!("{line}\n").as_bytes()).unwrap();
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        std::fs::read_to_string(&self.0).unwrap_or_default().lines().map(str::to_owned).collect()
    }

    pub(crate) fn count(&self, line: impl fmt::Display) -> usize {
        let line = line.to_string();
        self.lines().iter().filter(|known| **known == line).count()
    }

    /// Returns whether the caller is one of the first `times` who ask: two workers may at the same moment.
    fn claim(&self, times: usize) -> bool {
        let claimed = |number| OpenOptions::new().write(true).create_new(true).open(self.claimed(number)).is_ok();
        (0..times).any(claimed)
    }

    fn claimed(&self, number: usize) -> PathBuf {
        self.0.with_extension(number.to_string())
    }
}

impl Drop for Diary {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
        let mut number = 0;
        while std::fs::remove_file(self.claimed(number)).is_ok() {
            number += 1;
        }
    }
}

/// An event that sends the worker a signal at sample `at`, the first `times` times.
pub(crate) fn signal_at(at: u64, times: usize, signal: i32, diary: &Diary) -> Event {
    let path = diary.0.clone();
    Arc::new(move |index| {
        let diary = std::mem::ManuallyDrop::new(Diary(path.clone()));
        if index == at && diary.claim(times) {
            diary.write("hit");
            nix::sys::signal::raise(nix::sys::signal::Signal::try_from(signal).unwrap()).unwrap();
        }
        Ok(())
    })
}

/// An event that writes the worker's pid down at sample `at`, the first time, and then sleeps to be killed.
pub(crate) fn wait_at(at: u64, diary: &Diary) -> Event {
    let path = diary.0.clone();
    Arc::new(move |index| {
        let diary = std::mem::ManuallyDrop::new(Diary(path.clone()));
        if index == at && diary.claim(1) {
            diary.write(std::process::id());
            thread::sleep(Duration::from_mins(10));
        }
        Ok(())
    })
}

/// An event that fails at the samples that are multiples of `n`.
pub(crate) fn fail_at_multiples(n: u64) -> impl Fn(u64) -> Result<(), Failure> + Send + Sync {
    move |index| {
        if index % n == 0 { Err(Failure::new(Stage::Read, "the test wants it so")) } else { Ok(()) }
    }
}

/// An event that takes a while.
pub(crate) fn slowly(time: Duration) -> impl Fn(u64) -> Result<(), Failure> + Send + Sync {
    move |_| {
        thread::sleep(time);
        Ok(())
    }
}

pub(crate) fn loader_of(source: Numbers, workers: u32) -> Builder {
    Loader::builder(Input::Custom(Arc::new(source)))
        .batch_size(4)
        .shuffle(true)
        .seed(7)
        .num_workers(workers)
        .launch(Launch::Fork)
}

/// A batch as plain values: its indices and its bytes.
pub(crate) fn values(batch: &Batch) -> (Vec<u64>, Vec<u8>) {
    (batch.indices(), batch.bytes("x").unwrap().to_vec())
}

/// What an undisturbed epoch of a loader like this gives.
pub(crate) fn undisturbed(len: u64) -> Vec<(Vec<u64>, Vec<u8>)> {
    let loader = loader_of(Numbers::new(len, |_| Ok(())), 0).build().unwrap();
    loader.iter().map(|batch| values(&batch.unwrap())).collect()
}

pub(crate) fn epoch(loader: &Loader) -> Vec<(Vec<u64>, Vec<u8>)> {
    loader.iter().map(|batch| values(&batch.unwrap())).collect()
}
