//! Messages with a payload of any length, and with shared memory: what the drop-in's trainer and workers send each other.
//!
//! A payload that is too long for a message goes into shared memory, so that neither side waits for the other one to read.

use std::{
    collections::VecDeque,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::{
    error::{Error, Result},
    sys::{
        limits,
        memory::SharedMemory,
        poll,
        socket::{self, Received, Sent, Socket},
    },
};

/// What a message says in numbers; both sides know what they mean.
pub type Words = [i64; 6];

/// The longest payload that goes into a message.
const INLINE: usize = 16 << 10;
const WORD: usize = size_of::<i64>();
/// The words, and the length of a payload that lies in memory of its own, or -1.
const HEAD: usize = size_of::<Words>() + WORD;

/// A payload that has come.
#[derive(Debug)]
pub enum Payload {
    /// In the message.
    Inline(Vec<u8>),
    /// The first bytes of memory of its own.
    Spilled(SharedMemory, usize),
}

/// A message that has come.
#[derive(Debug)]
pub struct Parcel {
    /// Its numbers.
    pub words: Words,
    /// Its payload.
    pub payload: Payload,
    /// The memory that came with it.
    pub memory: Vec<SharedMemory>,
    /// Why its memory, and a payload that lies there, did not come.
    pub lost: Option<String>,
}

/// What a receive found.
#[derive(Debug)]
pub enum Arrival {
    /// A message.
    Parcel(Parcel),
    /// Nothing yet.
    Empty,
    /// The other end is gone.
    Closed,
}

#[derive(Debug)]
struct Unsent {
    bytes: Vec<u8>,
    memory: Vec<Arc<SharedMemory>>,
}

#[derive(Debug)]
struct Incoming {
    buffer: Vec<u8>,
    rights: Vec<u64>,
}

/// One end of a conversation. Several threads may use it.
#[derive(Debug)]
pub struct Payloads {
    socket: Socket,
    unsent: Mutex<VecDeque<Unsent>>,
    incoming: Mutex<Incoming>,
}

impl Payloads {
    /// Returns an end of a conversation over this socket.
    pub fn over(fd: OwnedFd) -> Self {
        let incoming =
            Incoming { buffer: vec![0; HEAD + INLINE + 1], rights: socket::rights_space(socket::MOST_RIGHTS) };
        Self { socket: fd.into(), unsent: Mutex::default(), incoming: Mutex::new(incoming) }
    }

    /// Sends a message, or keeps it for [`flush`](Self::flush) where there is no room; returns whether all is sent.
    ///
    /// # Errors
    /// [`Error::Sys`] where the system refuses the memory of a long payload, or to send so many descriptors.
    pub fn send(&self, words: &Words, payload: &[u8], mut memory: Vec<Arc<SharedMemory>>) -> Result<bool> {
        let mut head = [0; HEAD];
        let mut spilled = -1;
        let mut inline = payload;
        if payload.len() > INLINE {
            spilled = payload.len() as i64;
            inline = &[];
            limits::check_memory(payload.len() as u64, "a message", "raise the limit")?;
            memory.push(Arc::new(SharedMemory::of("stokehold-message", payload)?));
        }
        for (bytes, word) in head.as_chunks_mut::<WORD>().0.iter_mut().zip(words.iter().chain([&spilled])) {
            *bytes = word.to_ne_bytes();
        }
        let mut unsent = lock(&self.unsent);
        let sent =
            if unsent.is_empty() { self.try_send(&[&head, inline], &memory)? } else { self.flush_queue(&mut unsent)? };
        if sent == Sent::Full {
            unsent.push_back(Unsent { bytes: [&head, inline].concat(), memory });
        }
        Ok(unsent.is_empty())
    }

    /// Sends what could not be sent before; returns whether that is all.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn flush(&self) -> Result<bool> {
        let mut unsent = lock(&self.unsent);
        self.flush_queue(&mut unsent)?;
        Ok(unsent.is_empty())
    }

    /// Waits until there is room for a message, at most this long.
    ///
    /// # Errors
    /// [`Error::Sys`] where waiting fails.
    pub fn wait_for_room(&self, limit: Duration) -> Result<bool> {
        poll::writable(self.socket.as_fd(), limit)
    }

    /// Waits until there is something to receive, at most this long.
    ///
    /// # Errors
    /// [`Error::Sys`] where waiting fails.
    pub fn wait(&self, limit: Duration) -> Result<bool> {
        poll::readable(self.socket.as_fd(), limit)
    }

    fn flush_queue(&self, unsent: &mut VecDeque<Unsent>) -> Result<Sent> {
        while let Some(first) = unsent.front() {
            match self.try_send(&[&first.bytes], &first.memory)? {
                Sent::Full => return Ok(Sent::Full),
                // Nobody will read the others either, which whoever receives finds out.
                Sent::Gone => unsent.clear(),
                Sent::Yes => drop(unsent.pop_front()),
            }
        }
        Ok(Sent::Yes)
    }

    fn try_send(&self, parts: &[&[u8]], memory: &[Arc<SharedMemory>]) -> Result<Sent> {
        let fds: Vec<BorrowedFd<'_>> = memory.iter().map(|memory| memory.as_fd()).collect();
        self.socket.try_send_parts(parts, &fds)
    }

    /// Receives a message, if there is one.
    ///
    /// # Errors
    /// [`Error::Sys`] for anything that is neither a message nor the end, [`Error::Protocol`] for bytes that are none.
    pub fn receive(&self) -> Result<Arrival> {
        let mut incoming = lock(&self.incoming);
        let Incoming { buffer, rights } = &mut *incoming;
        let (received, fds) = self.socket.recv_rights(buffer, rights, false)?;
        match received {
            Received::Empty => Ok(Arrival::Empty),
            Received::Closed => Ok(Arrival::Closed),
            Received::Message(len) => parcel(&buffer[..len], fds).map(Arrival::Parcel),
        }
    }
}

impl AsFd for Payloads {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn parcel(bytes: &[u8], fds: Option<Vec<OwnedFd>>) -> Result<Parcel> {
    let unknown = || Error::Protocol(format!("a message of {} bytes that this version does not know", bytes.len()));
    let (head, inline) = bytes.split_at_checked(HEAD).ok_or_else(unknown)?;
    let mut numbers = head.as_chunks::<WORD>().0.iter().map(|bytes| i64::from_ne_bytes(*bytes));
    let mut words = Words::default();
    words.iter_mut().zip(&mut numbers).for_each(|(word, number)| *word = number);
    let spilled = numbers.next().and_then(|length| usize::try_from(length).ok());
    let mut payload = Payload::Inline(inline.to_vec());
    let (mut came, lost) = match fds.map(|fds| fds.into_iter().map(SharedMemory::open).collect::<Result<Vec<_>>>()) {
        Some(Ok(came)) => (came, None),
        Some(Err(error)) => (Vec::new(), Some(error.to_string())),
        None => (Vec::new(), Some(socket::CUT.to_owned())),
    };
    if let (Some(length), None) = (spilled, &lost) {
        let memory = came.pop().filter(|memory| length <= memory.len()).ok_or_else(unknown)?;
        payload = Payload::Spilled(memory, length);
    }
    Ok(Parcel { words, payload, memory: came, lost })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> (Payloads, Payloads) {
        let (one, two) = Socket::pair().unwrap();
        (Payloads::over(one.into_fd()), Payloads::over(two.into_fd()))
    }

    fn received(end: &Payloads) -> Parcel {
        match end.receive().unwrap() {
            Arrival::Parcel(parcel) => parcel,
            other @ (Arrival::Empty | Arrival::Closed) => panic!("{other:?}"),
        }
    }

    /// The bytes of a payload in its message, and the length of every payload.
    fn looked_at(payload: Payload) -> (Vec<u8>, usize) {
        match payload {
            Payload::Inline(bytes) => (bytes.clone(), bytes.len()),
            Payload::Spilled(memory, length) => (Vec::new(), length.min(memory.len())),
        }
    }

    #[test]
    fn payloads_of_all_lengths_arrive_with_their_words() {
        let (one, two) = pair();
        for length in [0, 1, INLINE, INLINE + 1, 100 * INLINE] {
            let payload: Vec<u8> = (0..length).map(|at| (at % 251) as u8).collect();
            assert!(one.send(&[1, -2, 3, 4, 5, length as i64], &payload, Vec::new()).unwrap());
            let parcel = received(&two);
            assert_eq!((parcel.words, parcel.lost), ([1, -2, 3, 4, 5, length as i64], None));
            let inline = if length > INLINE { Vec::new() } else { payload };
            assert_eq!(looked_at(parcel.payload), (inline, length));
        }
        assert!(matches!(two.receive().unwrap(), Arrival::Empty));
        drop(one);
        assert!(matches!(two.receive().unwrap(), Arrival::Closed));
    }

    #[test]
    fn memory_travels_beside_a_long_payload() {
        let (one, two) = pair();
        let memory: Vec<_> = (1..4).map(|size| Arc::new(SharedMemory::create("test", size * 4096).unwrap())).collect();
        assert!(one.send(&[0; 6], &vec![7; INLINE + 1], memory).unwrap());
        let parcel = received(&two);
        assert_eq!(parcel.memory.iter().map(SharedMemory::len).collect::<Vec<_>>(), [4096, 8192, 12288]);
        assert_eq!(looked_at(parcel.payload), (Vec::new(), INLINE + 1));
    }

    #[test]
    fn what_does_not_fit_is_sent_later_and_in_order() {
        let (one, two) = pair();
        let mut sent = 0;
        while one.send(&[sent, 0, 0, 0, 0, 0], &[1; 1000], Vec::new()).unwrap() {
            sent += 1;
        }
        assert!(!one.send(&[sent + 1, 0, 0, 0, 0, 0], &[1; 1000], Vec::new()).unwrap());
        assert!(!one.flush().unwrap());
        for number in 0..=sent + 1 {
            assert_eq!(received(&two).words[0], number);
            one.flush().unwrap();
        }
        assert!(one.flush().unwrap());
    }

    #[test]
    fn nothing_is_kept_for_an_end_that_is_gone() {
        let (one, two) = pair();
        while one.send(&[0; 6], &[1; 1000], Vec::new()).unwrap() {}
        drop(two);
        assert!(one.flush().unwrap());
        assert!(one.send(&[0; 6], b"", Vec::new()).unwrap());
    }
}
