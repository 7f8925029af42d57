//! Every way in which trainer, coordinator and workers end, but for those that need an interpreter.

#![expect(unsafe_code, reason = "forks, as a user's program may")]

use std::{
    os::unix::process::CommandExt,
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use nix::sys::signal::Signal;
use stokehold::{DType, Error, FieldSpec, Loader, SharedSource};

use crate::{
    ONE, Test,
    sources::{Numbers, loader_of, slowly, values},
    world::{alive, children, eventually, send, watched},
};

pub(crate) const TESTS: &[Test] = &[
    ("a_killed_trainer_takes_everything_with_it", a_killed_trainer_takes_everything_with_it),
    ("a_killed_trainer_whose_socket_a_stranger_holds", a_killed_trainer_whose_socket_a_stranger_holds),
    ("a_trainer_that_runs_another_program_ends_its_pool", a_trainer_that_runs_another_program_ends_its_pool),
    ("a_killed_coordinator_is_an_error_and_batches_stay", a_killed_coordinator_is_an_error_and_batches_stay),
    ("group_signals_do_not_reach_the_pool", group_signals_do_not_reach_the_pool),
    ("a_program_without_init_is_told_what_to_add", a_program_without_init_is_told_what_to_add),
    ("a_fork_of_the_trainer_cannot_use_or_harm_the_loader", a_fork_of_the_trainer_cannot_use_or_harm_the_loader),
];

/// Trainers for these tests, each run in a process of its own.
pub(crate) const TRAINERS: &[Test] = &[
    ("trainer", trainer),
    ("trainer_with_a_stranger", trainer_with_a_stranger),
    ("trainer_that_becomes_another_program", trainer_that_becomes_another_program),
    (WITHOUT_INIT, trainer_without_init),
];

/// A trainer whose `main` does not begin with `stokehold::init()`.
pub(crate) const WITHOUT_INIT: &str = "trainer_without_init";

/// A loader in the middle of an epoch.
fn busy_loader() -> Loader {
    let loader = loader_of(Numbers::new(100_000, slowly(Duration::from_millis(1))), 2).build().unwrap();
    assert_eq!(loader.iter().take(3).count(), 3);
    loader
}

fn trainer() {
    let _loader = busy_loader();
    thread::sleep(Duration::from_mins(10));
}

fn trainer_with_a_stranger() {
    let _loader = busy_loader();
    // A process that the user forked after the loader was made: it has a copy of the socket.
    // SAFETY: this process has one thread.
    if unsafe { nix::unistd::fork() }.unwrap().is_child() {
        thread::sleep(Duration::from_mins(10));
        std::process::exit(0);
    }
    thread::sleep(Duration::from_mins(10));
}

fn trainer_that_becomes_another_program() {
    // Nothing may be dropped on the way: the other program knows nothing of the loader.
    std::mem::forget(busy_loader());
    panic!("{}", Command::new("sleep").arg("600").exec());
}

#[expect(clippy::print_stdout, reason = "a test reads what this process says")]
fn trainer_without_init() {
    println!("start");
    let numbers = [1_u8, 2, 3];
    let arrays = SharedSource::copy(3, &[(FieldSpec::new("x", DType::UInt8, []), &numbers)]).unwrap();
    let error = Loader::builder(arrays).num_workers(1).build().unwrap_err();
    println!("{error}");
}

/// Starts a trainer and returns it with the pids of its coordinator and workers, once they are at work.
fn start(role: &str) -> (std::process::Child, Vec<i32>) {
    let child = Command::new(std::env::current_exe().unwrap())
        .env(ONE, role)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut pool = Vec::new();
    eventually("a pool at work", || {
        let coordinator = children(child.id() as i32).into_iter().find(|&pid| children(pid).len() == 2);
        pool = coordinator.map(|pid| [vec![pid], children(pid)].concat()).unwrap_or_default();
        !pool.is_empty()
    });
    thread::sleep(Duration::from_millis(50));
    (child, pool)
}

fn kill_and_expect_the_end(role: &str) {
    let (mut child, pool) = start(role);
    child.kill().unwrap();
    child.wait().unwrap();
    for pid in pool {
        eventually("the pool ends with its trainer", || !alive(pid));
    }
}

fn a_killed_trainer_takes_everything_with_it() {
    (0..5).for_each(|_| kill_and_expect_the_end("trainer"));
}

fn a_killed_trainer_whose_socket_a_stranger_holds() {
    kill_and_expect_the_end("trainer_with_a_stranger");
}

fn a_trainer_that_runs_another_program_ends_its_pool() {
    let child = Command::new(std::env::current_exe().unwrap())
        .env(ONE, "trainer_that_becomes_another_program")
        .spawn()
        .unwrap();
    let pid = child.id() as i32;
    let mut child = child;
    let is_sleep = || std::fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.trim() == "sleep");
    eventually("another program", is_sleep);
    // A zombie that the program does not reap is an end as well.
    eventually("no pool", || children(pid).into_iter().all(|pid| !alive(pid)));
    child.kill().unwrap();
    child.wait().unwrap();
}

fn a_killed_coordinator_is_an_error_and_batches_stay() {
    let loader = loader_of(Numbers::new(1000, |_| Ok(())), 2).build().unwrap();
    let mut epoch = loader.iter();
    let kept = epoch.next().unwrap().unwrap();
    let before = values(&kept);
    let stats = loader.stats(&mut || Ok(())).unwrap();
    send(stats.coordinator_pid.unwrap(), Signal::SIGKILL);
    let error = epoch.find_map(Result::err).unwrap();
    assert!(matches!(error, Error::Worker(_)), "{error}");
    assert!(error.to_string().contains("killed by signal 9"), "{error}");
    for (_, pid) in stats.workers {
        eventually("the workers end with the coordinator", || !alive(pid));
    }
    assert_eq!(values(&kept), before);
    loader.close();
}

fn a_program_without_init_is_told_what_to_add() {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.env(ONE, WITHOUT_INIT);
    let (status, output) = watched(command);
    assert!(status.success(), "{status}: {output}");
    // What the second start says goes to the first one, which says it once.
    assert_eq!(output.matches("start\n").count(), 1, "{output}");
    assert!(output.contains("the coordinator exited with status 113 before it answered; a loader with"), "{output}");
    assert_eq!(output.matches("call `stokehold::init()` at the top of `main`").count(), 1, "{output}");
}

fn group_signals_do_not_reach_the_pool() {
    let (mut child, pool) = start("trainer");
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGQUIT] {
        for &pid in &pool {
            send(pid, signal);
        }
    }
    thread::sleep(Duration::from_millis(100));
    assert!(pool.iter().all(|&pid| alive(pid)));
    child.kill().unwrap();
    child.wait().unwrap();
}

fn a_fork_of_the_trainer_cannot_use_or_harm_the_loader() {
    let loader = loader_of(Numbers::new(1000, |_| Ok(())), 2).build().unwrap();
    let mut epoch = loader.iter();
    let kept = epoch.next().unwrap().unwrap();
    // SAFETY: this process has one thread.
    match unsafe { nix::unistd::fork() }.unwrap() {
        nix::unistd::ForkResult::Child => {
            let refused = matches!(loader.begin(), Err(Error::Usage(_)));
            drop(kept);
            loader.close();
            drop(loader);
            std::process::exit(i32::from(!refused));
        }
        nix::unistd::ForkResult::Parent { child } => {
            let status = nix::sys::wait::waitpid(child, None).unwrap();
            assert!(matches!(status, nix::sys::wait::WaitStatus::Exited(_, 0)), "{status:?}");
        }
    }
    assert_eq!(epoch.map(Result::unwrap).count(), 249);
}
