//! Messages of the drop-in, as Python code has them.

#![expect(unsafe_code, reason = "adopts the descriptor of a socket")]

use std::{
    ffi::c_int,
    os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use pyo3::{
    prelude::*,
    types::{PyBytes, PyMemoryView, PySet, PySlice},
};

use super::{
    memory::Memory,
    slots::{Slot, Slots},
};
use crate::{
    error::{Error, Result},
    protocol::{self, Arrival, Parcel, Payload, Words},
    sys::{memory::SharedMemory, stdio::StdioTaken},
};

/// How long a wait goes on before Python's signal handlers are looked at.
const TICK: Duration = Duration::from_secs(1);

/// One end of a conversation of messages, each with six numbers, bytes of any length, and memory.
#[pyclass(frozen, module = "stokehold._native")]
pub(super) struct Payloads(Mutex<Option<Arc<protocol::Payloads>>>);

/// What has come: numbers, bytes, memory, and why the memory did not come.
type Came<'py> = (Words, Bound<'py, PyAny>, Vec<Memory>, Option<String>);

impl Payloads {
    fn end(&self) -> Result<Arc<protocol::Payloads>> {
        let end = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        end.clone().ok_or_else(|| Error::Usage("this end of a conversation is closed".into()))
    }
}

#[pymethods]
impl Payloads {
    /// Takes a descriptor of a socket over.
    #[new]
    fn new(descriptor: c_int) -> PyResult<Self> {
        if descriptor < 0 {
            return Err(Error::Config(format!("descriptor must be that of a socket, not {descriptor}")).into());
        }
        // SAFETY: the caller gives the descriptor away: nobody else closes it.
        let fd = unsafe { OwnedFd::from_raw_fd(descriptor) };
        Ok(Self(Mutex::new(Some(Arc::new(protocol::Payloads::over(fd))))))
    }

    /// Sends a message, or keeps it until there is room; returns whether all is sent.
    fn send(&self, words: Words, payload: &[u8], memory: Vec<PyRef<'_, Memory>>) -> PyResult<bool> {
        let memory = memory.iter().map(|memory| Arc::clone(&memory.0)).collect();
        Ok(self.end()?.send(&words, payload, memory)?)
    }

    /// Sends a task with a slot for its batch; without one as long as nobody knows how large batches are, and where there is
    /// none to be had or to be sent. `known` are the numbers of the blocks that the worker has.
    ///
    /// Returns whether all is sent, and the slot, which the worker has from then on.
    fn ask(
        &self,
        slots: &Slots,
        worker: usize,
        known: &Bound<'_, PySet>,
        number: i64,
        epoch: i64,
        payload: &[u8],
    ) -> PyResult<(bool, Option<Slot>)> {
        let end = self.end()?;
        let words = |[block, offset, size]: [i64; 3]| [number, block, offset, size, slots.oldest() as i64, epoch];
        if let Some(slot) = could(slots.take(worker))?.flatten() {
            let free = slot.slot()?;
            let is_known = known.contains(free.block())?;
            let memory = if is_known { Vec::new() } else { vec![Arc::clone(free.memory())] };
            let place = words([free.block() as i64, free.offset() as i64, free.size() as i64]);
            // With too many descriptors on their way, the task goes alone.
            if let Some(all) = could(end.send(&place, payload, memory))? {
                slot.lend();
                if !is_known {
                    known.add(free.block())?;
                }
                return Ok((all, Some(slot)));
            }
        }
        Ok((end.send(&words([-1, 0, 0]), payload, Vec::new())?, None))
    }

    /// Sends what is kept, as far as there is room; returns whether all is sent.
    fn flush(&self) -> PyResult<bool> {
        Ok(self.end()?.flush()?)
    }

    /// Waits until all is sent, or the other end is gone.
    fn finish(&self, py: Python<'_>) -> PyResult<()> {
        let end = self.end()?;
        while !end.flush()? {
            py.detach(|| end.wait_for_room(TICK))?;
            py.check_signals()?;
        }
        Ok(())
    }

    /// Receives a message, for which it waits so many seconds: for ever without a number.
    ///
    /// Returns ``False`` where there is none, and ``None`` at the other side's end.
    fn receive<'py>(&self, py: Python<'py>, seconds: Option<f64>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let end = self.end()?;
        let limit = seconds.map(|seconds| Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX));
        let start = Instant::now();
        loop {
            // None of what comes may get the number of a closed standard descriptor: somebody may print just then.
            let taken = StdioTaken::take()?;
            let arrival = end.receive()?;
            drop(taken);
            match arrival {
                Arrival::Parcel(parcel) => return Ok(Some(came(py, parcel)?.into_pyobject(py)?.into_any())),
                Arrival::Closed => return Ok(None),
                Arrival::Empty => {}
            }
            let left = limit.map_or(Duration::MAX, |limit| limit.saturating_sub(start.elapsed()));
            if left.is_zero() {
                return Ok(Some(false.into_pyobject(py)?.to_owned().into_any()));
            }
            py.detach(|| end.wait(left))?;
            py.check_signals()?;
        }
    }

    /// Returns the descriptor, which stays this object's; -1 when it is closed.
    fn fileno(&self) -> c_int {
        self.end().map_or(-1, |end| end.as_fd().as_raw_fd())
    }

    /// Ends the conversation.
    fn close(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

/// Returns what could be done; none where the system has refused it.
fn could<T>(done: Result<T>) -> Result<Option<T>> {
    if matches!(done, Err(Error::Sys { .. })) { Ok(None) } else { done.map(Some) }
}

fn came(py: Python<'_>, parcel: Parcel) -> PyResult<Came<'_>> {
    let wrap = |memory: SharedMemory| Memory(Arc::new(memory));
    let payload = match parcel.payload {
        Payload::Inline(bytes) => PyBytes::new(py, &bytes).into_any(),
        Payload::Spilled(memory, length) => {
            let view = PyMemoryView::from(Bound::new(py, wrap(memory))?.as_any())?;
            view.get_item(PySlice::new(py, 0, length as isize, 1))?
        }
    };
    Ok((parcel.words, payload, parcel.memory.into_iter().map(wrap).collect(), parcel.lost))
}
