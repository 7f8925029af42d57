//! Looking at processes from outside.

use std::{
    fs,
    io::Read,
    os::unix::process::CommandExt,
    process::{Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill, killpg},
    unistd::Pid,
};

/// How long a test may take before it counts as hung.
const WATCHDOG: Duration = Duration::from_mins(5);

/// How long to wait for what must come: less than a stall, so that none is what the wait ended with.
pub(crate) const PATIENCE: Duration = Duration::from_secs(40);

/// Runs a program in a process group of its own; kills the group if it does not end in time.
pub(crate) fn watched(mut command: Command) -> (ExitStatus, String) {
    let mut child = command.process_group(0).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let group = Pid::from_raw(child.id() as i32);
    let (mut out, mut err) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    let read = move |pipe: &mut dyn Read| {
        let mut text = Vec::new();
        let _ = pipe.read_to_end(&mut text);
        String::from_utf8_lossy(&text).into_owned()
    };
    let out = thread::spawn(move || read(&mut out));
    let err = thread::spawn(move || read(&mut err));
    let deadline = Instant::now() + WATCHDOG;
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if Instant::now() > deadline {
            let _ = killpg(group, Signal::SIGKILL);
            break child.wait().unwrap();
        }
        thread::sleep(Duration::from_millis(5));
    };
    // Whatever the test left behind would keep the pipes open.
    let _ = killpg(group, Signal::SIGKILL);
    (status, out.join().unwrap() + &err.join().unwrap())
}

/// Waits until something holds; panics with `what` if it never does.
pub(crate) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "never: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// Tells whether a process exists and is no zombie.
pub(crate) fn alive(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().next()).is_some_and(|state| state != "Z")
}

/// Returns the children of a process.
pub(crate) fn children(pid: i32) -> Vec<i32> {
    let text = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    text.split_whitespace().filter_map(|pid| pid.parse().ok()).collect()
}

pub(crate) fn send(pid: i32, signal: Signal) {
    kill(Pid::from_raw(pid), signal).unwrap();
}

/// What a process has open: descriptors and mappings of shared memory.
pub(crate) fn possessions() -> (usize, usize) {
    let fds = fs::read_dir("/proc/self/fd").unwrap().count();
    let maps = fs::read_to_string("/proc/self/maps").unwrap().matches("stokehold-").count();
    (fds, maps)
}
