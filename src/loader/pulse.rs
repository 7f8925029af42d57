//! Whether a coordinator still answers.

use std::time::{Duration, Instant};

use super::tick::TICK;

/// How long an answer may take beyond the limit: the coordinator may have to wait for a processor.
const GRACE: Duration = Duration::from_secs(2);

/// How long nothing has come from a coordinator while it was waited for.
#[derive(Debug)]
pub(super) struct Pulse {
    limit: Duration,
    silent: Duration,
    checked: Instant,
    asked: bool,
}

/// What a silence means.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Silence {
    /// Nothing: samples may take that long.
    Short,
    /// The coordinator is to be asked now for a sign of life.
    Long,
    /// It has been asked, and has not answered.
    Dead,
}

impl Pulse {
    /// Returns the pulse of a coordinator that must answer in so much time.
    pub(super) fn new(limit: Duration) -> Self {
        Self { limit, silent: Duration::ZERO, checked: Instant::now(), asked: false }
    }

    pub(super) fn limit(&self) -> Duration {
        self.limit
    }

    /// Tells whether the last check was a tick ago.
    pub(super) fn is_due(&self) -> bool {
        self.checked.elapsed() >= TICK
    }

    /// Notes a sign of life.
    pub(super) fn felt(&mut self) {
        (self.silent, self.asked) = (Duration::ZERO, false);
    }

    /// Tells what the silence until now means. To be called at each tick of a wait.
    pub(super) fn check(&mut self) -> Silence {
        self.check_at(Instant::now())
    }

    fn check_at(&mut self, now: Instant) -> Silence {
        // A longer time was not a tick: the trainer did not wait, or was stopped itself.
        self.silent += (now - self.checked).min(2 * TICK);
        self.checked = now;
        if self.asked && self.silent > self.limit.saturating_add(GRACE) {
            return Silence::Dead;
        }
        if self.asked || self.silent < self.limit / 2 {
            return Silence::Short;
        }
        self.asked = true;
        Silence::Long
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(10);

    fn silences(pulse: &mut Pulse, seconds: u32) -> Vec<Silence> {
        let begun = pulse.checked;
        let mut told: Vec<_> = (1..=seconds * 10).map(|tick| pulse.check_at(begun + TICK * tick)).collect();
        told.retain(|silence| *silence != Silence::Short);
        told.dedup();
        told
    }

    #[test]
    fn a_coordinator_is_asked_once_and_then_dead() {
        let mut pulse = Pulse::new(LIMIT);
        assert_eq!(silences(&mut pulse, 4), []);
        assert_eq!(silences(&mut pulse, 7), [Silence::Long]);
        assert_eq!(silences(&mut pulse, 2), [Silence::Dead]);
    }

    #[test]
    fn an_answer_begins_it_anew() {
        let mut pulse = Pulse::new(LIMIT);
        assert_eq!(silences(&mut pulse, 11), [Silence::Long]);
        pulse.felt();
        assert_eq!(silences(&mut pulse, 4), []);
        assert_eq!(silences(&mut pulse, 7), [Silence::Long]);
    }

    #[test]
    fn time_in_which_nobody_waited_does_not_count() {
        let mut pulse = Pulse::new(LIMIT);
        pulse.check_at(pulse.checked + LIMIT * 10);
        assert_eq!(silences(&mut pulse, 4), []);
    }

    #[test]
    fn no_limit_is_too_long() {
        assert_eq!(silences(&mut Pulse::new(Duration::MAX), 100), []);
    }
}
