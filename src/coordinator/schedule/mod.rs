//! Who fills what, when: a pure state machine. Events go in, actions come out; it knows no process, socket or clock.
//!
//! The unit of work is a run of rows of one slot. Runs are handed out in the order of the epoch, to whichever
//! worker has room, so several workers fill one batch; batches are delivered in order. A slot goes
//! Free -> Filling -> Ready -> Held -> Free, and is back-pressure by itself: no free slot, no work. A cancelled
//! slot that somebody may still write to is Draining until every writer has reported or its end is confirmed.
//!
//! When a worker ends, its rows are done again. The rows that it had in hand are done one at a time by a worker
//! that has nothing else, so that a row which kills two workers is known for certain: a poison sample.
//!
//! A batch that must be finished as a whole is one more run, handed out first of all when its last row is done.
//! It changes rows in place, so that after its worker's end all rows of the batch are done again.
//!
//! Where samples come as streams, each seat has one, a batch is one run, and batches are the seats' in turn: batch b is
//! that of seat b modulo their number. Slots go to batches in order, so that the next one to deliver always has one. How
//! many there are is known when each stream has ended: the batches behind its end are passed over. A run that is done
//! again has to be done by its seat, whose worker begins its stream anew and goes over what is behind it.
//!
//! When the last run of an epoch is handed out, the next epoch begins in advance; its batches are delivered once
//! the trainer asks for that epoch, and cancelled if it asks for another.

mod assign;
mod deliver;
mod ends;
mod finishing;
mod parts;
mod recovery;
mod state;
mod streams;

pub use self::state::{Schedule, ScheduleOptions};

#[cfg(test)]
mod tests;
