//! Making processes, watching them, ending them, and behaving well as one.

#![expect(unsafe_code, reason = "fork, and calls that nix has no wrapper for")]

use std::{
    ffi::{CStr, CString},
    fmt, fs,
    os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
    os::unix::{ffi::OsStrExt, fs::FileTypeExt},
    panic::{AssertUnwindSafe, catch_unwind},
    process,
    sync::OnceLock,
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    spawn::{PosixSpawnAttr, PosixSpawnFileActions, PosixSpawnFlags, posix_spawn},
    sys::{
        prctl,
        signal::{SigHandler, SigSet, SigmaskHow, Signal, kill, signal},
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd::{ForkResult, Pid, fork, getppid, gettid},
};

use super::poll;
use crate::{
    descriptor::beyond_stdio,
    error::{Error, Result},
};

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It exited with this status.
    Exited(i32),
    /// A signal killed it.
    Killed(i32),
    /// It is gone, but another part of the program took its status.
    Unknown,
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Exited(status) => write!(f, "exited with status {status}"),
            Self::Killed(number) => match Signal::try_from(number) {
                Ok(name) => write!(f, "killed by signal {number} ({name})"),
                Err(_) => write!(f, "killed by signal {number}"),
            },
            Self::Unknown => f.write_str("ended (its status was taken by another part of the program)"),
        }
    }
}

/// A child process of this one.
///
/// Dropping it neither ends nor reaps it: [`Child::end`] does.
#[derive(Debug)]
pub struct Child {
    pid: Pid,
    /// Readable once the process has ended; none where the kernel or a sandbox refuses pidfds.
    pidfd: Option<OwnedFd>,
    ended: Option<Ended>,
}

impl Child {
    fn new(pid: Pid) -> Self {
        Self { pid, pidfd: pidfd_open(pid), ended: None }
    }

    /// Returns the process's id.
    pub fn pid(&self) -> i32 {
        self.pid.as_raw()
    }

    /// Returns a descriptor that can be read once the process has ended.
    pub fn pidfd(&self) -> Option<BorrowedFd<'_>> {
        self.pidfd.as_ref().map(AsFd::as_fd)
    }

    /// Sends SIGKILL. The process is not gone yet when this returns.
    pub fn kill(&self) {
        // An unreaped child keeps its id, so the signal cannot reach a stranger.
        if self.ended.is_none() {
            let _ = kill(self.pid, Signal::SIGKILL);
        }
    }

    /// Reaps the process if it has ended, and tells how.
    pub fn ended(&mut self) -> Option<Ended> {
        if self.ended.is_none() {
            self.ended = match waitpid(self.pid, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::Exited(_, status)) => Some(Ended::Exited(status)),
                Ok(WaitStatus::Signaled(_, signal, _)) => Some(Ended::Killed(signal as i32)),
                Err(Errno::ECHILD) if kill(self.pid, None) == Err(Errno::ESRCH) => Some(Ended::Unknown),
                // Reaped elsewhere, and the id may be somebody else's by now: the pidfd knows.
                Err(Errno::ECHILD) => match self.pidfd() {
                    Some(fd) if !poll::readable(fd, Duration::ZERO).unwrap_or(true) => None,
                    _ => Some(Ended::Unknown),
                },
                _ => None,
            };
        }
        self.ended
    }

    /// Waits for the process to end, at most this long.
    pub fn wait(&mut self, limit: Duration) -> Option<Ended> {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(ended) = self.ended() {
                return Some(ended);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            match &self.pidfd {
                Some(fd) => drop(poll::readable(fd.as_fd(), left)),
                None => std::thread::sleep(left.min(Duration::from_millis(5))),
            }
        }
    }

    /// Waits a while for the process to end by itself, then kills it and waits a while longer.
    pub fn end(&mut self, grace: Duration) -> Option<Ended> {
        self.wait(grace).or_else(|| {
            self.kill();
            self.wait(grace)
        })
    }
}

/// Another process, watched for its end.
#[derive(Debug)]
pub struct Parent {
    pid: Pid,
    pidfd: Option<OwnedFd>,
}

impl Parent {
    /// Watches the parent of this process.
    pub fn watch() -> Self {
        let pid = getppid();
        Self { pid, pidfd: pidfd_open(pid) }
    }

    /// Watches a process that is not this one's parent.
    pub fn of(pid: i32) -> Self {
        let pid = Pid::from_raw(pid);
        Self { pid, pidfd: pidfd_open(pid) }
    }

    /// Returns a descriptor that can be read once the parent has ended.
    pub fn pidfd(&self) -> Option<BorrowedFd<'_>> {
        self.pidfd.as_ref().map(AsFd::as_fd)
    }

    /// Returns the process's id.
    pub fn pid(&self) -> i32 {
        self.pid.as_raw()
    }

    /// Waits for the parent to end; returns false at once where the kernel cannot tell.
    pub fn wait(&self) -> bool {
        let Some(fd) = self.pidfd() else { return false };
        while !poll::readable(fd, Duration::MAX).unwrap_or(true) {}
        true
    }

    /// Tells whether this process has been handed to another parent, which means that its own has ended.
    pub fn gone(&self) -> bool {
        getppid() != self.pid
    }
}

fn pidfd_open(pid: Pid) -> Option<OwnedFd> {
    let open = || {
        // SAFETY: the call takes two integers; the descriptor it returns belongs to nobody else.
        unsafe {
            let fd = libc::syscall(libc::SYS_pidfd_open, pid.as_raw(), 0);
            if fd >= 0 { Ok(OwnedFd::from_raw_fd(fd as RawFd)) } else { Err(()) }
        }
    };
    beyond_stdio(AsRawFd::as_raw_fd, open).ok()
}

/// Returns the number of threads of this process.
pub fn thread_count() -> usize {
    fs::read_dir("/proc/self/task").map_or(1, Iterator::count)
}

/// What an interpreter wants to be told of forks of a process that it lives in.
#[derive(Clone, Copy, Debug)]
pub struct ForkHooks {
    /// Called before a fork.
    pub before: fn(),
    /// Called after it, in the process that forked.
    pub parent: fn(),
    /// Runs what the child is to do, and returns its exit status.
    pub child: fn(&mut dyn FnMut() -> i32) -> i32,
}

static FORK_HOOKS: OnceLock<ForkHooks> = OnceLock::new();

/// From now on tells an interpreter of every fork by [`fork_child`]. The first one that asks is the only one.
pub fn tell_of_forks(hooks: ForkHooks) {
    let _ = FORK_HOOKS.set(hooks);
}

/// Forks. The child runs `body` and exits with its result, or with 101 if it panics: it never returns from here.
///
/// # Safety
/// No other thread of this process may be running: a lock that it holds would stay held in the child for good.
///
/// # Errors
/// [`Error::Sys`] where the system has no room for another process.
pub unsafe fn fork_child(body: impl FnOnce() -> i32) -> Result<Child> {
    let hooks = FORK_HOOKS.get();
    if let Some(hooks) = hooks {
        (hooks.before)();
    }
    // SAFETY: the caller promises that this is the only thread.
    let forked = unsafe { fork() };
    if let Some(hooks) = hooks
        && !matches!(forked, Ok(ForkResult::Child))
    {
        (hooks.parent)();
    }
    match forked.map_err(|errno| Error::sys("fork", errno))? {
        ForkResult::Parent { child } => Ok(Child::new(child)),
        ForkResult::Child => {
            // A panic must not unwind into frames that belong to the parent's half of the stack.
            let mut body = Some(body);
            let mut once = || body.take().map_or(0, |body| body());
            let run = AssertUnwindSafe(|| match hooks {
                Some(hooks) => (hooks.child)(&mut once),
                None => once(),
            });
            let status = catch_unwind(run).unwrap_or(101);
            exit_now(status)
        }
    }
}

/// Forks as [`fork_child`] does, where this process has one thread.
///
/// # Errors
/// [`Error::Worker`] where it has more, [`Error::Sys`] where the system has no room for another process.
pub fn fork_alone(body: impl FnOnce() -> i32) -> Result<Child> {
    let threads = thread_count();
    if threads != 1 {
        return Err(Error::Worker(format!("a process of {threads} threads cannot be forked")));
    }
    // SAFETY: this process has one thread, as was just seen.
    unsafe { fork_child(body) }
}

/// Returns the program that this process runs and its arguments, its name included.
///
/// # Errors
/// [`Error::Sys`] where the kernel does not tell.
pub fn own_program() -> Result<(CString, Vec<CString>)> {
    let line = fs::read("/proc/self/cmdline").map_err(|error| Error::sys("read this program's arguments", error))?;
    let parts = line.strip_suffix(b"\0").unwrap_or(&line).split(|&byte| byte == 0);
    let args: Vec<CString> = parts.filter_map(|part| CString::new(part).ok()).collect();
    let program = args.first().cloned().ok_or_else(|| Error::config("this program has no name"))?;
    Ok((program, args))
}

/// Ends this process at once: no destructors, no exit handlers, no flushing of buffers it inherited.
pub fn exit_now(status: i32) -> ! {
    // SAFETY: _exit takes an integer and does not return.
    unsafe { libc::_exit(status) }
}

/// Starts a program with `stdin` as its standard input, `output` as its standard output and error, and this process's
/// environment, with a variable added.
///
/// Copies nothing of this process, so it is as quick in a trainer of 100 GB as in a small one. Signals to the whole process
/// group wait until the program calls [`reset_signals`].
///
/// # Errors
/// [`Error::Sys`] where the program cannot be started.
pub fn spawn(
    program: &CStr,
    args: &[CString],
    (name, value): (&CStr, &CStr),
    stdin: BorrowedFd<'_>,
    output: BorrowedFd<'_>,
) -> Result<Child> {
    let call = format!("posix_spawn of {}", program.to_string_lossy());
    let start = || {
        let mut files = PosixSpawnFileActions::init()?;
        for (fd, standard) in [(stdin, 0), (output, 1), (output, 2)] {
            files.add_dup2(fd.as_raw_fd(), standard)?;
        }
        let variable = |name: &[u8], value: &[u8]| CString::new([name, b"=", value].concat()).ok();
        let env: Vec<CString> = std::env::vars_os()
            .filter(|(other, _)| other.as_bytes() != name.to_bytes())
            .filter_map(|(name, value)| variable(name.as_bytes(), value.as_bytes()))
            .chain(variable(name.to_bytes(), value.to_bytes()))
            .collect();
        let mut attributes = PosixSpawnAttr::init()?;
        attributes.set_flags(PosixSpawnFlags::POSIX_SPAWN_SETSIGMASK)?;
        attributes.set_sigmask(&SigSet::from_iter(DEAF_TO))?;
        posix_spawn(program, &files, &attributes, args, &env)
    };
    start().map(Child::new).map_err(|errno| Error::sys(call, errno))
}

/// Tells whether standard input is a socket, as in a process that [`spawn`] has started.
pub fn stdin_is_socket() -> bool {
    fs::metadata("/proc/self/fd/0").is_ok_and(|metadata| metadata.file_type().is_socket())
}

/// Returns the descriptors that this process has open.
pub fn descriptors() -> Vec<RawFd> {
    let listed = |entry: std::io::Result<fs::DirEntry>| entry.ok()?.file_name().to_str()?.parse().ok();
    let mut open: Vec<RawFd> =
        fs::read_dir("/proc/self/fd").map(|all| all.filter_map(listed).collect()).unwrap_or_default();
    // The directory's own is closed by now.
    open.retain(|fd| fs::symlink_metadata(format!("/proc/self/fd/{fd}")).is_ok());
    open
}

/// Closes every descriptor but standard input, output, error and those in `keep`.
pub fn close_others(keep: &[RawFd]) {
    let mut keep: Vec<u32> = keep.iter().filter_map(|&fd| u32::try_from(fd).ok()).filter(|&fd| fd > 2).collect();
    keep.sort_unstable();
    let mut first = 3;
    for &fd in &keep {
        if first < fd {
            close_range(first, fd - 1);
        }
        first = fd + 1;
    }
    close_range(first, u32::MAX);
}

fn close_range(first: u32, last: u32) {
    // SAFETY: this runs in a new process before it opens anything. Values that own one of these descriptors belong to
    // the parent's half of the program, which never runs here and never drops them.
    let done = unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
    if done == 0 {
        return;
    }
    let Ok(entries) = fs::read_dir("/proc/self/fd") else { return };
    let open: Vec<u32> = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect();
    for fd in open.into_iter().filter(|fd| (first..=last).contains(fd)) {
        // SAFETY: as above; the directory's own descriptor is closed already, which the kernel answers with EBADF.
        unsafe { libc::close(fd as RawFd) };
    }
}

/// Makes this process die with its parent, which must be `parent`: more exactly, with the thread that has started it.
///
/// Returns false if the parent is gone already.
pub fn die_with(parent: i32) -> bool {
    let _ = prctl::set_pdeathsig(Signal::SIGKILL);
    getppid().as_raw() == parent
}

/// Ends this process when its parent does, by a thread that waits for that. A process that is stopped does not see it.
///
/// For one that was started by a thread which may end before its process, where [`die_with`] is not to be had.
pub fn end_with(parent: Parent) {
    let watch = move || {
        while !parent.wait() && !parent.gone() {
            std::thread::sleep(Duration::from_secs(1));
        }
        exit_now(0);
    };
    let _ = std::thread::Builder::new().name("stand-by".into()).stack_size(64 << 10).spawn(watch);
}

/// Kills the parent of this process, if that is still `parent`.
pub fn kill_parent(parent: i32) {
    // The parent of a process cannot be a stranger with the same id: while it was there, the id was taken.
    if getppid().as_raw() == parent {
        let _ = kill(Pid::from_raw(parent), Signal::SIGKILL);
    }
}

/// Takes [`die_with`] back: the thread that has started this process may end before its process does.
pub fn outlive_parent() {
    let _ = prctl::set_pdeathsig(None);
}

/// Tells whether this is the first thread of its process, which ends when the process does.
pub fn is_main_thread() -> bool {
    gettid() == Pid::this()
}

/// What a terminal or a batch system sends to the whole process group, and what means a trainer alone.
const DEAF_TO: [Signal; 10] = [
    Signal::SIGINT,
    Signal::SIGTERM,
    Signal::SIGHUP,
    Signal::SIGQUIT,
    Signal::SIGPIPE,
    Signal::SIGXFSZ,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
    Signal::SIGALRM,
    Signal::SIGTSTP,
];

/// The signals of this thread that wait until this is dropped.
#[derive(Debug)]
pub struct HeldSignals(SigSet);

impl HeldSignals {
    /// Holds back those that a coordinator is deaf to. A process that is forked meanwhile holds them until it calls
    /// [`reset_signals`].
    pub fn hold() -> Self {
        Self(SigSet::from_iter(DEAF_TO).thread_swap_mask(SigmaskHow::SIG_BLOCK).unwrap_or_else(|_| SigSet::empty()))
    }
}

impl Drop for HeldSignals {
    fn drop(&mut self) {
        let _ = self.0.thread_set_mask();
    }
}

/// Makes this process deaf to what a terminal or a batch system sends to the whole process group, and gives all other
/// signals their plain meaning.
///
/// The trainer decides when its loader ends; until then, `next()` must work, also in its SIGTERM handler.
pub fn reset_signals() {
    for name in DEAF_TO {
        // SAFETY: ignoring a signal installs no code.
        let _ = unsafe { signal(name, SigHandler::SigIgn) };
    }
    // A trainer that ignores SIGCHLD would pass that on, and a child's status would be lost; one that handles crashes,
    // as Rust's runtime does to see stack overflows, would hide how a worker ended.
    let plain = [Signal::SIGCHLD, Signal::SIGSEGV, Signal::SIGBUS, Signal::SIGFPE, Signal::SIGILL, Signal::SIGABRT];
    for name in plain {
        // SAFETY: the default action installs no code.
        let _ = unsafe { signal(name, SigHandler::SigDfl) };
    }
    let _ = SigSet::empty().thread_set_mask();
}

/// Names this process, so that users find it in `ps` and `top`.
pub fn set_name(name: &str) {
    if let Ok(name) = CString::new(name) {
        let _ = prctl::set_name(&name);
    }
}

/// Lets the out-of-memory killer take this process before the trainer.
///
/// The trainer may have a score of its own, which this process has inherited.
pub fn go_first() {
    let own = fs::read_to_string("/proc/self/oom_score_adj").ok().and_then(|text| text.trim().parse().ok());
    if own.is_none_or(|own: i32| own < 500) {
        let _ = fs::write("/proc/self/oom_score_adj", "500");
    }
}

/// Lets a process that wakes this one keep its processor: the kernel would give it to this one, even beside an idle one.
///
/// A policy that somebody has chosen stays.
pub fn wake_politely() {
    // SAFETY: the calls take integers and a struct of one integer, which they only read.
    unsafe {
        if libc::sched_getscheduler(0) == libc::SCHED_OTHER {
            let none = libc::sched_param { sched_priority: 0 };
            libc::sched_setscheduler(0, libc::SCHED_BATCH, &raw const none);
        }
    }
}

/// Goes before the trainer where memory runs out, and leaves no core file of user data.
pub fn be_expendable() {
    go_first();
    let _ = nix::sys::resource::setrlimit(nix::sys::resource::Resource::RLIMIT_CORE, 0, 0);
    let _ = prctl::set_no_new_privs();
}

/// Returns a signal that nobody is likely to use, for asking a process what its code is doing.
pub fn stack_signal() -> i32 {
    libc::SIGRTMAX() - 3
}

/// Sends a signal to a child that has not been reaped.
pub fn ask(child: &Child, signal: i32) {
    // SAFETY: the call takes two integers; an unreaped child keeps its id.
    let _ = unsafe { libc::kill(child.pid(), signal) };
}

/// Tells whether another process is stopped: by a signal, or by a debugger.
pub fn is_stopped(pid: i32) -> bool {
    matches!(state(pid).as_str(), "T" | "t")
}

fn state(pid: i32) -> String {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The command's name, in parentheses, may hold anything; the state follows the last one.
    stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().next()).unwrap_or("?").to_owned()
}

/// Returns what the kernel says of another process: its state letter and, where readable, where it waits.
pub fn describe(pid: i32) -> String {
    let read = |file: &str| fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default();
    let (state, waits) = (state(pid), read("wchan"));
    let stack = read("stack").lines().take(4).map(str::trim).collect::<Vec<_>>().join(" < ");
    match (waits.trim(), stack.as_str()) {
        ("" | "0", "") => format!("state {state}"),
        (wchan, "") => format!("state {state}, in {wchan}"),
        (_, stack) => format!("state {state}, kernel stack {stack}"),
    }
}

/// Returns this process's id.
pub fn own_pid() -> i32 {
    process::id() as i32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spawned_program_is_watched_and_reaped() {
        let null = fs::File::open("/dev/null").unwrap();
        let args = ["sh", "-c", "exit $MARK"].map(|arg| CString::new(arg).unwrap());
        let mut child = spawn(c"/bin/sh", &args, (c"MARK", c"7"), null.as_fd(), null.as_fd()).unwrap();
        assert_eq!(child.wait(Duration::from_secs(10)), Some(Ended::Exited(7)));
        assert_eq!(child.ended(), Some(Ended::Exited(7)));
    }

    #[test]
    fn a_program_that_goes_on_is_killed_after_its_grace() {
        let null = fs::File::open("/dev/null").unwrap();
        let args = ["sleep", "1000"].map(|arg| CString::new(arg).unwrap());
        let mut child = spawn(c"/bin/sleep", &args, (c"MARK", c"7"), null.as_fd(), null.as_fd()).unwrap();
        assert_eq!(child.ended(), None);
        assert_eq!(child.end(Duration::from_millis(20)), Some(Ended::Killed(9)));
    }

    #[test]
    fn a_missing_program_is_named() {
        let null = fs::File::open("/dev/null").unwrap();
        let error = spawn(c"/no/such/program", &[], (c"MARK", c"7"), null.as_fd(), null.as_fd()).unwrap_err();
        assert!(error.to_string().contains("/no/such/program"), "{error}");
    }

    #[test]
    fn endings_are_put_into_words() {
        assert_eq!(Ended::Killed(9).to_string(), "killed by signal 9 (SIGKILL)");
        assert_eq!(Ended::Exited(3).to_string(), "exited with status 3");
    }

    #[test]
    fn a_process_can_be_described() {
        assert!(describe(own_pid()).starts_with("state "), "{}", describe(own_pid()));
    }
}
