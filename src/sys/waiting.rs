//! How long a thread has waited.

use std::{
    ffi::c_long,
    time::{Duration, Instant},
};

use nix::sys::resource::{UsageWho, getrusage};

/// Measures how long a thread waits for what it asks of the system.
#[derive(Clone, Copy, Debug)]
pub struct Waiting {
    begun: Instant,
    /// How many times it had waited before.
    times: c_long,
}

impl Waiting {
    /// Begins to measure, on the thread that is going to wait.
    pub fn begin() -> Self {
        Self { begun: Instant::now(), times: times() }
    }

    /// Goes on to the next part, and returns how long this one took. One that took `long` only because other threads had the
    /// processor meanwhile took no time: this thread did not wait for anything.
    pub fn next(&mut self, long: Duration) -> Duration {
        let now = Instant::now();
        let took = now - std::mem::replace(&mut self.begun, now);
        if took < long {
            return took;
        }
        let before = std::mem::replace(&mut self.times, times());
        if before > 0 && self.times == before { Duration::ZERO } else { took }
    }
}

/// Returns how many times this thread has given the processor up to wait; getrusage(2), `ru_nvcsw`. Where the system does not
/// count that, as in some sandboxes, it is 0.
fn times() -> c_long {
    getrusage(UsageWho::RUSAGE_THREAD).map_or(0, |usage| usage.voluntary_context_switches())
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    const LONG: Duration = Duration::from_millis(3);

    #[test]
    fn sleep_is_a_wait_and_work_is_none() {
        let mut waiting = Waiting::begin();
        thread::sleep(LONG);
        assert!(waiting.next(LONG) >= LONG);
        let begun = Instant::now();
        while begun.elapsed() < LONG {}
        assert_eq!(waiting.next(LONG), Duration::ZERO);
        assert!(waiting.next(Duration::MAX) < Duration::MAX);
        thread::sleep(LONG);
        assert!(waiting.next(LONG) >= LONG);
    }
}
