//! Words for people, from the coordinator and the workers to the trainer, and from there to standard error.
//!
//! Standard error belongs to somebody else: a pipe that nobody reads, or a terminal that Ctrl-S has stopped, takes a line
//! only when its owner wants it to. So coordinator and workers write into a pipe of the loader's own, which never makes
//! them wait: what it has no room for is lost. The trainer empties it whenever it looks after its loader.

#![expect(unsafe_code, reason = "writes to a descriptor that may be closed")]

use std::{
    io::{self, ErrorKind, Read},
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd},
    sync::OnceLock,
    time::Duration,
};

use nix::{
    fcntl::{OFlag, open},
    sys::{
        socket::{MsgFlags, send},
        stat::{Mode, SFlag, fstat},
    },
    unistd::{pipe2, write},
};

use super::{poll::Watch, retry, stdio};
use crate::{
    descriptor::beyond_stdio,
    error::{Result, printable},
};

/// The longest line, with its end: what a pipe takes whole or not at all.
const LONGEST: usize = libc::PIPE_BUF;
/// The most that is read from the pipe at a time, so that a writer without end is no loop without end.
const MOST: usize = 64 << 10;

/// Where the reports of this process go; standard error where there is none, as in a trainer.
static PIPE: OnceLock<OwnedFd> = OnceLock::new();

/// The trainer's end of the pipe.
#[derive(Debug)]
pub struct Reports {
    pipe: std::fs::File,
    /// The beginning of a line whose end has not come.
    begun: Vec<u8>,
    /// The lines that have not been taken.
    lines: Vec<String>,
    last: Option<String>,
}

/// Returns the trainer's end of a new pipe and the other one, for the coordinator.
///
/// # Errors
/// [`Sys`](crate::Error::Sys) where the system has no descriptors left.
pub fn pipe() -> Result<(Reports, OwnedFd)> {
    let lowest = |(read, write): &(OwnedFd, OwnedFd)| read.as_raw_fd().min(write.as_raw_fd());
    let make = || retry("pipe2", || pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK));
    let (read, write) = beyond_stdio(lowest, make)?;
    Ok((Reports { pipe: read.into(), begun: Vec::new(), lines: Vec::new(), last: None }, write))
}

impl Reports {
    /// Returns the lines that have come since the last call. Never waits.
    pub fn take(&mut self) -> Vec<String> {
        self.read();
        std::mem::take(&mut self.lines)
    }

    /// Returns the last of all lines, taken or not.
    pub fn last(&mut self) -> Option<&str> {
        self.read();
        self.last.as_deref()
    }

    fn read(&mut self) {
        let mut text = std::mem::take(&mut self.begun);
        let mut part = [0; LONGEST];
        while text.len() < MOST {
            match self.pipe.read(&mut part) {
                Ok(0) => break,
                Ok(read) => text.extend_from_slice(&part[..read]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        let whole = text.iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1);
        // What has no end by now is cut: it would be kept for ever.
        self.begun = text.split_off(if whole == 0 && text.len() >= MOST { text.len() } else { whole });
        let lines = text.split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
        // Whoever has taken a worker over may write anything.
        self.lines.extend(lines.map(|line| printable(&String::from_utf8_lossy(line)).into_owned()));
        if let Some(line) = self.lines.last() {
            self.last = Some(line.clone());
        }
    }
}

/// Makes this end of a pipe the one that the reports of this process, and of those that it forks, go to.
pub fn report_to(pipe: OwnedFd) {
    // A process has one trainer, and so one pipe.
    let _ = PIPE.set(pipe);
}

/// Makes standard error, where [`spawn`](super::process::spawn) has put a pipe, the one that reports go to.
///
/// # Errors
/// [`Sys`](crate::Error::Sys) where this process may have no more descriptors.
pub fn report_to_stderr() -> Result<()> {
    stdio::beyond(io::stderr().as_fd()).map(report_to)
}

/// Returns the end of a pipe that reports go to, for a program that is started.
pub fn pipe_end() -> Option<BorrowedFd<'static>> {
    PIPE.get().map(AsFd::as_fd)
}

/// Returns the descriptor that reports go to, which a process that closes all others must keep.
pub fn descriptor() -> Option<RawFd> {
    PIPE.get().map(AsRawFd::as_raw_fd)
}

/// Tells the user something, in one line. Never waits: what nobody takes now is lost.
pub fn report(line: &str) {
    match PIPE.get() {
        Some(pipe) => drop(write(pipe, &whole_line(line))),
        None => print(libc::STDERR_FILENO, &format!("stokehold: {line}")),
    }
}

/// Writes a line to a descriptor that belongs to somebody else, unless that would have to wait, or it is closed.
pub fn print(fd: RawFd, line: &str) {
    // SAFETY: the calls look up a number, whatever it stands for, and keep nothing of it.
    let fd = unsafe { BorrowedFd::borrow_raw(fd) };
    // Whoever does not take it does not get it.
    let _ = write_without_waiting(fd, &whole_line(line));
}

fn whole_line(line: &str) -> Vec<u8> {
    let line = line.replace('\n', " ");
    let line = printable(&line);
    let mut bytes = line[..line.floor_char_boundary(LONGEST - 1)].to_owned().into_bytes();
    bytes.push(b'\n');
    bytes
}

/// The flag that makes a write not wait belongs to everybody who has the same pipe or terminal, so it is not set here:
/// another opening of it has a flag of its own.
fn write_without_waiting(fd: BorrowedFd<'_>, bytes: &[u8]) -> nix::Result<usize> {
    let kind = fstat(fd)?.st_mode & SFlag::S_IFMT.bits();
    if kind == SFlag::S_IFSOCK.bits() {
        return send(fd.as_raw_fd(), bytes, MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL);
    }
    if kind != SFlag::S_IFIFO.bits() && kind != SFlag::S_IFCHR.bits() {
        return write(fd, bytes);
    }
    let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
    let flags = OFlag::O_WRONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    match beyond_stdio(AsRawFd::as_raw_fd, || open(&*path, flags, Mode::empty())) {
        Ok(own) => write(own, bytes),
        // Of another user, say, or /proc is not there. A line goes whole into a pipe that says it has room.
        Err(_) if has_room(fd) => write(fd, bytes),
        Err(errno) => Err(errno),
    }
}

fn has_room(fd: BorrowedFd<'_>) -> bool {
    let mut watch = Watch::default();
    let key = watch.add(fd, true);
    watch.wait(Some(Duration::ZERO)).is_ok_and(|_| watch.writable(key))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use nix::{
        fcntl::{FcntlArg, fcntl},
        sys::socket::{AddressFamily, SockFlag, SockType, socketpair},
    };

    use super::*;

    fn blocking_pipe() -> (std::fs::File, OwnedFd) {
        let (read, write) = pipe2(OFlag::O_CLOEXEC).unwrap();
        (read.into(), write)
    }

    /// Fills a pipe or socket to the last byte, without changing how its owner writes to it.
    fn filled(fd: &OwnedFd) {
        let before = OFlag::from_bits_truncate(fcntl(fd, FcntlArg::F_GETFL).unwrap());
        fcntl(fd, FcntlArg::F_SETFL(before | OFlag::O_NONBLOCK)).unwrap();
        for size in [4096, 1] {
            while write(fd, &vec![b'x'; size]).is_ok() {}
        }
        fcntl(fd, FcntlArg::F_SETFL(before)).unwrap();
    }

    #[test]
    fn lines_arrive_whole_and_in_order() {
        let (mut reports, pipe) = pipe().unwrap();
        let mut pipe = std::fs::File::from(pipe);
        assert_eq!(reports.take(), [""; 0]);
        pipe.write_all(b"one\ntwo\nthr").unwrap();
        assert_eq!(reports.last(), Some("two"));
        assert_eq!(reports.take(), ["one", "two"]);
        assert_eq!(reports.last(), Some("two"));
        pipe.write_all(b"ee\n\n\xff\n").unwrap();
        assert_eq!(reports.take(), ["three", "\u{fffd}"]);
    }

    #[test]
    fn a_line_without_end_is_cut() {
        let (mut reports, pipe) = pipe().unwrap();
        filled(&pipe);
        assert_eq!(reports.take().concat().len(), MOST);
        assert_eq!(reports.take(), [""; 0]);
    }

    #[test]
    fn a_full_pipe_or_socket_of_somebody_else_is_not_waited_for() {
        let (_read, write) = blocking_pipe();
        filled(&write);
        print(write.as_raw_fd(), "lost");
        let (_one, two) = socketpair(AddressFamily::Unix, SockType::Stream, None, SockFlag::SOCK_CLOEXEC).unwrap();
        filled(&two);
        print(two.as_raw_fd(), "lost");
    }

    #[test]
    fn a_line_is_printed_where_there_is_room_for_it() {
        let (mut read, write) = blocking_pipe();
        print(write.as_raw_fd(), "two\nlines\u{1b}[31m");
        print(write.as_raw_fd(), &"\u{e9}".repeat(LONGEST));
        let flags = OFlag::from_bits_truncate(fcntl(&write, FcntlArg::F_GETFL).unwrap());
        assert!(!flags.contains(OFlag::O_NONBLOCK), "the owner's writes still wait");
        drop(write);
        let mut text = String::new();
        read.read_to_string(&mut text).unwrap();
        assert_eq!(text, format!("two lines\\x1b[31m\n{}\n", "\u{e9}".repeat((LONGEST - 1) / 2)));
    }

    #[test]
    fn a_line_goes_to_the_end_of_a_file() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"before\n").unwrap();
        print(file.as_raw_fd(), "line");
        io::Seek::rewind(&mut file).unwrap();
        let mut text = String::new();
        file.read_to_string(&mut text).unwrap();
        assert_eq!(text, "before\nline\n");
    }
}
