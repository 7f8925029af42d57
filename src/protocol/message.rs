//! Fixed-size messages, encoded by hand so that every byte on the wire is known.
//!
//! Little-endian: `u16` magic, `u8` version, `u8` kind, `u32 n`, `u64 a`, `u64 b`, `u32 slot`, `u32 first_row`,
//! `u32 rows`, `u32 tag`, `u64 c`, `u64 d`, `u64 e`. What the letters hold depends on the kind; unused ones are 0.

use std::time::Duration;

/// The size of every message.
pub const MESSAGE_BYTES: usize = 64;
const MAGIC: u16 = 0x5348;
const VERSION: u8 = 1;

/// A message's bytes, taken apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "see the module's table")]
pub struct Frame {
    pub kind: u8,
    pub n: u32,
    pub a: u64,
    pub b: u64,
    pub slot: u32,
    pub first_row: u32,
    pub rows: u32,
    pub tag: u32,
    pub c: u64,
    pub d: u64,
    pub e: u64,
}

impl Frame {
    /// Returns the message's bytes.
    pub fn encode(&self) -> [u8; MESSAGE_BYTES] {
        let mut bytes = [0; MESSAGE_BYTES];
        let mut at = 0;
        let mut put = |part: &[u8]| {
            bytes[at..at + part.len()].copy_from_slice(part);
            at += part.len();
        };
        put(&MAGIC.to_le_bytes());
        put(&[VERSION, self.kind]);
        put(&self.n.to_le_bytes());
        put(&self.a.to_le_bytes());
        put(&self.b.to_le_bytes());
        for part in [self.slot, self.first_row, self.rows, self.tag] {
            put(&part.to_le_bytes());
        }
        for part in [self.c, self.d, self.e] {
            put(&part.to_le_bytes());
        }
        bytes
    }

    /// Takes a message apart; none for bytes of another size, magic or version.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; MESSAGE_BYTES] = bytes.try_into().ok()?;
        let u32_at = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let u64_at = |at: usize| u64::from(u32_at(at)) | u64::from(u32_at(at + 4)) << 32;
        let known = u16::from_le_bytes([bytes[0], bytes[1]]) == MAGIC && bytes[2] == VERSION;
        known.then(|| Self {
            kind: bytes[3],
            n: u32_at(4),
            a: u64_at(8),
            b: u64_at(16),
            slot: u32_at(24),
            first_row: u32_at(28),
            rows: u32_at(32),
            tag: u32_at(36),
            c: u64_at(40),
            d: u64_at(48),
            e: u64_at(56),
        })
    }
}

/// A message type that travels in one direction.
pub trait Wire: Sized {
    /// Returns the message as a frame.
    fn frame(&self) -> Frame;
    /// Returns the message that a frame holds; none for a kind that this direction does not have.
    fn from_frame(frame: &Frame) -> Option<Self>;
}

/// Some rows of one slot, the unit of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// The slot to write to.
    pub slot: u32,
    /// The first row.
    pub first_row: u32,
    /// The number of rows.
    pub rows: u32,
}

/// What a worker is to do with a run: which samples belong there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fill {
    /// Names the run in the report.
    pub tag: u32,
    /// The rows.
    pub run: Run,
    /// The epoch.
    pub epoch: u64,
    /// Where in the epoch's global order the rank's partition begins.
    pub cursor: u64,
    /// The batch of that partition.
    pub batch: u64,
    /// How many candidates for the run's first row have been given up before; see [`OnError`](crate::OnError).
    pub attempt: u32,
    /// What is to be done with the rows. Each has its own kind of message.
    pub work: Work,
}

/// What is to be done with the rows of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// Make the sample of each row and write it.
    Fill,
    /// The run is a whole batch whose rows are written: [finish](crate::pipeline::Pipeline::finish) it.
    Finish,
}

/// What a table says of an epoch, or of all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum TableOf {
    /// Its indices, in their order.
    Order = 0,
    /// Which samples come together.
    Cut = 1,
    /// How many samples the source had in earlier epochs. It is one for all epochs, given as that of epoch 0.
    Grown = 2,
}

impl TableOf {
    fn of(number: u32) -> Option<Self> {
        match number {
            0 => Some(Self::Order),
            1 => Some(Self::Cut),
            2 => Some(Self::Grown),
            _ => None,
        }
    }
}

/// Coordinator to worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Fill these rows, or finish them as a batch.
    Fill(Fill),
    /// A descriptor of a new segment of the arena comes with this message.
    Segment,
    /// The first message to a worker that was not forked: what it must know lies in the memory whose descriptor comes with
    /// it.
    Post {
        /// Its length.
        len: u32,
    },
    /// A descriptor of memory that the posting speaks of comes with this message.
    Memory,
    /// A descriptor of a table that an epoch has comes with this message.
    Table {
        /// The epoch.
        epoch: u64,
        /// What the table says.
        of: TableOf,
    },
}

/// Worker to coordinator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Report {
    /// The worker is ready for its first command.
    Up,
    /// A run is done.
    Done(Done),
    /// What a process that was to learn something says of it lies in the memory of its posting.
    Learned {
        /// Its length.
        len: u32,
    },
}

/// How a run went: its rows are written, but for those whose samples failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Done {
    /// The run's name.
    pub tag: u32,
    /// The length of the text in the run's lane of the worker's mailbox: which samples failed and what was counted,
    /// as JSON; 0 for neither.
    pub len: u32,
    /// The time spent reading.
    pub read: Duration,
    /// The time spent decoding.
    pub decode: Duration,
    /// The time spent transforming and writing.
    pub transform: Duration,
}

/// Trainer to coordinator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// Begin an epoch; whatever belongs to an earlier generation is cancelled.
    Start {
        /// The iteration's number, counted by the trainer.
        generation: u64,
        /// The epoch.
        epoch: u64,
        /// Where in the epoch's global order to begin.
        cursor: u64,
        /// The batch to begin with: those before it have been delivered.
        batch: u64,
    },
    /// What has begun is not to go on, since epochs have other samples or groups from now on; `Start` follows.
    Cancel,
    /// There is to be more room in the rows of a field; a descriptor of a new arena comes with this message, and `Start`
    /// follows.
    Grow {
        /// The field, by its index.
        field: u32,
        /// What a row of it is to have room for.
        places: u64,
    },
    /// The slot is free again.
    Release {
        /// The slot.
        slot: u32,
    },
    /// A descriptor of a new segment of the arena comes with this message.
    Segment,
    /// Write the statistics into the trainer's mailbox.
    Stats,
    /// Say what there is to know of the source's first samples.
    First {
        /// How many samples.
        samples: u64,
    },
    /// The first message: the descriptor of the trainer's mailbox comes with it, the loader's description lies in there.
    Boot {
        /// The description's length.
        len: u32,
        /// Whether the thread that has started the coordinator lives as long as the trainer.
        by_main_thread: bool,
    },
    /// The descriptor of the source's shared bytes comes with this message.
    Bytes,
    /// A descriptor of a table that an epoch has comes with this message.
    Table {
        /// The epoch.
        epoch: u64,
        /// What the table says.
        of: TableOf,
    },
}

/// Coordinator to trainer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    /// The pool is up; a description of the source lies in the mailbox.
    Up {
        /// Its length.
        len: u32,
    },
    /// What was learned of code of the user lies in the mailbox: there can be slots now.
    Learned {
        /// Its length.
        len: u32,
    },
    /// The pool is over, or never came up; the reason lies in the mailbox.
    Over {
        /// Its length.
        len: u32,
    },
    /// A batch is ready.
    Ready {
        /// The iteration it belongs to.
        generation: u64,
        /// Its number in the partition.
        batch: u64,
        /// Its slot.
        slot: u32,
        /// Its rows.
        rows: u32,
    },
    /// A batch could not be made; the reason lies in its slot.
    Failed {
        /// The iteration it belongs to.
        generation: u64,
        /// Its number in the partition.
        batch: u64,
        /// Its slot.
        slot: u32,
        /// The length of the reason.
        len: u32,
    },
    /// An iteration over streams is at its end: there are no more batches.
    Ended {
        /// The iteration.
        generation: u64,
    },
    /// The statistics lie in the mailbox.
    Stats {
        /// Their length.
        len: u32,
    },
    /// What there is to know of the source's first samples.
    First {
        /// How many samples.
        samples: u64,
        /// What the source says that tells them from others.
        known: u64,
        /// A hash of what some of them are called.
        names: u64,
        /// Whether what becomes of them depends on those behind them.
        draws_others: bool,
    },
    /// A sample needs more room than rows have. Nothing is done until the trainer gives a new arena.
    Outgrown {
        /// The field, by its index.
        field: u32,
        /// What a row would have to have room for, at least.
        places: u64,
    },
    /// Slots are lost, or found again: workers that were killed and do not end may still write to them.
    Lost {
        /// How many there are now.
        slots: u32,
    },
}

impl Wire for Command {
    fn frame(&self) -> Frame {
        match *self {
            Self::Fill(Fill { tag, run: Run { slot, first_row, rows }, epoch, cursor, batch, attempt, work }) => {
                Frame {
                    kind: match work {
                        Work::Fill => 1,
                        Work::Finish => 3,
                    },
                    n: attempt,
                    slot,
                    first_row,
                    rows,
                    tag,
                    a: epoch,
                    b: cursor,
                    c: batch,
                    ..Frame::default()
                }
            }
            Self::Segment => Frame { kind: 2, ..Frame::default() },
            Self::Post { len } => Frame { kind: 4, n: len, ..Frame::default() },
            Self::Memory => Frame { kind: 5, ..Frame::default() },
            Self::Table { epoch, of } => Frame { kind: 6, a: epoch, n: of as u32, ..Frame::default() },
        }
    }

    fn from_frame(frame: &Frame) -> Option<Self> {
        let &Frame { kind, n, a, b, slot, first_row, rows, tag, c, .. } = frame;
        match kind {
            1 | 3 => Some(Self::Fill(Fill {
                tag,
                run: Run { slot, first_row, rows },
                epoch: a,
                cursor: b,
                batch: c,
                attempt: n,
                work: if kind == 3 { Work::Finish } else { Work::Fill },
            })),
            2 => Some(Self::Segment),
            4 => Some(Self::Post { len: n }),
            5 => Some(Self::Memory),
            6 => Some(Self::Table { epoch: a, of: TableOf::of(n)? }),
            _ => None,
        }
    }
}

impl Wire for Report {
    fn frame(&self) -> Frame {
        match *self {
            Self::Up => Frame { kind: 11, ..Frame::default() },
            Self::Learned { len } => Frame { kind: 13, n: len, ..Frame::default() },
            Self::Done(Done { tag, len, read, decode, transform }) => {
                let nanos = |time: Duration| time.as_nanos() as u64;
                let (c, d, e) = (nanos(read), nanos(decode), nanos(transform));
                Frame { kind: 12, n: len, tag, c, d, e, ..Frame::default() }
            }
        }
    }

    fn from_frame(frame: &Frame) -> Option<Self> {
        let &Frame { kind, n, tag, c, d, e, .. } = frame;
        match kind {
            11 => Some(Self::Up),
            13 => Some(Self::Learned { len: n }),
            12 => {
                let (read, decode, transform) =
                    (Duration::from_nanos(c), Duration::from_nanos(d), Duration::from_nanos(e));
                Some(Self::Done(Done { tag, len: n, read, decode, transform }))
            }
            _ => None,
        }
    }
}

impl Wire for Request {
    fn frame(&self) -> Frame {
        match *self {
            Self::Start { generation, epoch, cursor, batch } => {
                Frame { kind: 21, a: generation, b: epoch, c: cursor, d: batch, ..Frame::default() }
            }
            Self::Grow { field, places } => Frame { kind: 27, n: field, a: places, ..Frame::default() },
            Self::Release { slot } => Frame { kind: 22, slot, ..Frame::default() },
            Self::Segment => Frame { kind: 23, ..Frame::default() },
            Self::Stats => Frame { kind: 24, ..Frame::default() },
            Self::First { samples } => Frame { kind: 29, a: samples, ..Frame::default() },
            Self::Cancel => Frame { kind: 30, ..Frame::default() },
            Self::Boot { len, by_main_thread } => {
                Frame { kind: 25, n: len, a: u64::from(by_main_thread), ..Frame::default() }
            }
            Self::Bytes => Frame { kind: 26, ..Frame::default() },
            Self::Table { epoch, of } => Frame { kind: 28, a: epoch, n: of as u32, ..Frame::default() },
        }
    }

    fn from_frame(frame: &Frame) -> Option<Self> {
        let &Frame { kind, n, a, b, c, d, slot, .. } = frame;
        match kind {
            21 => Some(Self::Start { generation: a, epoch: b, cursor: c, batch: d }),
            22 => Some(Self::Release { slot }),
            23 => Some(Self::Segment),
            24 => Some(Self::Stats),
            25 => Some(Self::Boot { len: n, by_main_thread: a != 0 }),
            26 => Some(Self::Bytes),
            27 => Some(Self::Grow { field: n, places: a }),
            28 => Some(Self::Table { epoch: a, of: TableOf::of(n)? }),
            29 => Some(Self::First { samples: a }),
            30 => Some(Self::Cancel),
            _ => None,
        }
    }
}

impl Wire for Reply {
    fn frame(&self) -> Frame {
        match *self {
            Self::Up { len } => Frame { kind: 31, n: len, ..Frame::default() },
            Self::Over { len } => Frame { kind: 32, n: len, ..Frame::default() },
            Self::Ready { generation, batch, slot, rows } => {
                Frame { kind: 33, a: generation, b: batch, slot, rows, ..Frame::default() }
            }
            Self::Failed { generation, batch, slot, len } => {
                Frame { kind: 34, n: len, a: generation, b: batch, slot, ..Frame::default() }
            }
            Self::Ended { generation } => Frame { kind: 39, a: generation, ..Frame::default() },
            Self::Stats { len } => Frame { kind: 35, n: len, ..Frame::default() },
            Self::First { samples, known, names, draws_others } => {
                Frame { kind: 40, n: draws_others.into(), a: samples, b: known, c: names, ..Frame::default() }
            }
            Self::Lost { slots } => Frame { kind: 36, n: slots, ..Frame::default() },
            Self::Outgrown { field, places } => Frame { kind: 38, n: field, a: places, ..Frame::default() },
            Self::Learned { len } => Frame { kind: 37, n: len, ..Frame::default() },
        }
    }

    fn from_frame(frame: &Frame) -> Option<Self> {
        let &Frame { kind, n, a, b, c, slot, rows, .. } = frame;
        match kind {
            31 => Some(Self::Up { len: n }),
            32 => Some(Self::Over { len: n }),
            33 => Some(Self::Ready { generation: a, batch: b, slot, rows }),
            34 => Some(Self::Failed { generation: a, batch: b, slot, len: n }),
            35 => Some(Self::Stats { len: n }),
            36 => Some(Self::Lost { slots: n }),
            37 => Some(Self::Learned { len: n }),
            39 => Some(Self::Ended { generation: a }),
            38 => Some(Self::Outgrown { field: n, places: a }),
            40 => Some(Self::First { samples: a, known: b, names: c, draws_others: n != 0 }),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_bytes_of_a_fill_are_these() {
        let fill = Fill {
            tag: 0x0102_0304,
            run: Run { slot: 5, first_row: 16, rows: 8 },
            epoch: 3,
            cursor: 0x1122_3344_5566_7788,
            batch: 9,
            attempt: 2,
            work: Work::Fill,
        };
        let mut golden = [0; MESSAGE_BYTES];
        golden[..8].copy_from_slice(&[0x48, 0x53, 1, 1, 2, 0, 0, 0]);
        golden[8] = 3;
        golden[16..24].copy_from_slice(&[0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11]);
        (golden[24], golden[28], golden[32]) = (5, 16, 8);
        golden[36..40].copy_from_slice(&[4, 3, 2, 1]);
        golden[40] = 9;
        assert_eq!(Command::Fill(fill).frame().encode(), golden);
        golden[3] = 3;
        assert_eq!(Command::Fill(Fill { work: Work::Finish, ..fill }).frame().encode(), golden);
    }

    #[test]
    fn the_bytes_of_a_ready_are_these() {
        let ready = Reply::Ready { generation: 1, batch: 2, slot: 3, rows: 64 };
        let mut golden = [0; MESSAGE_BYTES];
        golden[..4].copy_from_slice(&[0x48, 0x53, 1, 33]);
        (golden[8], golden[16], golden[24], golden[32]) = (1, 2, 3, 64);
        assert_eq!(ready.frame().encode(), golden);
    }

    fn round_trip<M: Wire + PartialEq + std::fmt::Debug>(message: M) {
        let frame = Frame::decode(&message.frame().encode()).unwrap();
        assert_eq!(M::from_frame(&frame), Some(message));
    }

    #[test]
    fn another_version_is_refused() {
        let mut bytes = Report::Up.frame().encode();
        bytes[2] = VERSION + 1;
        assert_eq!(Frame::decode(&bytes), None);
    }

    #[test]
    fn a_direction_refuses_the_kinds_of_the_others() {
        assert_eq!(Command::from_frame(&Report::Up.frame()), None);
        assert_eq!(Report::from_frame(&Command::Segment.frame()), None);
        assert_eq!(Request::from_frame(&Reply::Up { len: 1 }.frame()), None);
        assert_eq!(Reply::from_frame(&Request::Stats.frame()), None);
    }

    proptest! {
        #[test]
        fn every_message_round_trips(finishes: bool, n: u32, slot: u32, rows: u32, tag: u32, a: u64, b: u64, c: u64) {
            let run = Run { slot, first_row: n, rows };
            let work = if finishes { Work::Finish } else { Work::Fill };
            round_trip(Command::Fill(Fill { tag, run, epoch: a, cursor: b, batch: c, attempt: n, work }));
            round_trip(Command::Segment);
            round_trip(Command::Post { len: n });
            round_trip(Command::Memory);
            for of in [TableOf::Order, TableOf::Cut, TableOf::Grown] {
                round_trip(Command::Table { epoch: a, of });
                round_trip(Request::Table { epoch: a, of });
            }
            round_trip(Report::Learned { len: n });
            round_trip(Report::Up);
            let (read, decode, transform) = (Duration::from_nanos(a), Duration::from_nanos(b), Duration::from_nanos(c));
            round_trip(Report::Done(Done { tag, len: n, read, decode, transform }));
            round_trip(Request::Start { generation: a, epoch: b, cursor: c, batch: a ^ c });
            round_trip(Request::Grow { field: n, places: a });
            round_trip(Reply::Outgrown { field: n, places: a });
            round_trip(Request::Release { slot });
            round_trip(Request::Segment);
            round_trip(Request::Cancel);
            round_trip(Request::Stats);
            round_trip(Request::First { samples: a });
            round_trip(Reply::First { samples: a, known: b, names: c, draws_others: finishes });
            round_trip(Request::Boot { len: n, by_main_thread: n % 2 == 0 });
            round_trip(Request::Bytes);
            round_trip(Reply::Up { len: n });
            round_trip(Reply::Over { len: n });
            round_trip(Reply::Ready { generation: a, batch: b, slot, rows });
            round_trip(Reply::Failed { generation: a, batch: b, slot, len: n });
            round_trip(Reply::Stats { len: n });
            round_trip(Reply::Lost { slots: n });
            round_trip(Reply::Learned { len: n });
        }

        #[test]
        fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let _ = Frame::decode(&bytes);
        }

        #[test]
        fn random_frames_never_panic(mut bytes in prop::collection::vec(any::<u8>(), MESSAGE_BYTES)) {
            bytes[..3].copy_from_slice(&[0x48, 0x53, VERSION]);
            let frame = Frame::decode(&bytes).unwrap();
            let _ = (Command::from_frame(&frame), Report::from_frame(&frame), Request::from_frame(&frame), Reply::from_frame(&frame));
            let again = frame.encode();
            prop_assert_eq!(again.as_slice(), bytes.as_slice());
        }
    }
}
