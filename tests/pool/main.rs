//! Whole pools: processes are forked, killed and stopped for real.
//!
//! The file is its own harness, for two reasons: `stokehold::init` must run first in `main`, and a source that is
//! code, such as those that kill their worker, needs a coordinator that is forked from a process of one thread. So each
//! test runs in a process of its own, this program started again with the test's name, under a watchdog that kills the
//! whole process group of a test that hangs.

#![expect(clippy::exit, clippy::unwrap_used, reason = "tests")]

mod ends;
mod faults;
mod mix;
mod sources;
mod surface;
mod world;

use std::{
    env,
    process::{Command, ExitCode},
};

use libtest_mimic::{Arguments, Failed, Trial};

type Test = (&'static str, fn());

/// Names the test that a process is to run.
const ONE: &str = "STOKEHOLD_TEST";

fn tests() -> Vec<Test> {
    [surface::TESTS, mix::TESTS, faults::TESTS, ends::TESTS].concat()
}

fn main() -> ExitCode {
    if env::var(ONE).as_deref() != Ok(ends::WITHOUT_INIT) {
        stokehold::init();
    }
    if let Ok(name) = env::var(ONE) {
        let (_, test) = [tests(), ends::TRAINERS.to_vec()]
            .concat()
            .into_iter()
            .find(|(known, _)| *known == name)
            .expect("a test of that name");
        test();
        return ExitCode::SUCCESS;
    }
    let mut arguments = Arguments::from_args();
    // Each test has several processes; more at once only makes them slow.
    arguments.test_threads = arguments.test_threads.or(Some(2));
    let trials = tests().into_iter().map(|(name, _)| Trial::test(name, move || run(name))).collect();
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn run(name: &str) -> Result<(), Failed> {
    let mut command = Command::new(env::current_exe()?);
    command.env(ONE, name);
    let (status, output) = world::watched(command);
    if status.success() { Ok(()) } else { Err(format!("{status}\n{output}").into()) }
}
