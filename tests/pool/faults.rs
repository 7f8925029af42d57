//! Workers that are killed, stopped, stuck or poisoned: the stream of batches is that of an undisturbed run.

use std::{
    collections::BTreeSet,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use nix::sys::signal::Signal;
use stokehold::{Error, OnError, Stage, error::Failure};

use crate::{
    Test,
    sources::{Diary, Numbers, epoch, loader_of, signal_at, slowly, undisturbed, values, wait_at},
    world::{eventually, send},
};

pub(crate) const TESTS: &[Test] = &[
    ("a_worker_killed_from_outside_at_any_row_is_not_seen", a_worker_killed_from_outside_at_any_row_is_not_seen),
    ("a_worker_that_crashes_at_any_row_is_not_seen", a_worker_that_crashes_at_any_row_is_not_seen),
    ("workers_killed_all_the_time_are_not_seen", workers_killed_all_the_time_are_not_seen),
    ("a_poison_sample_is_named_and_the_rest_goes_on", a_poison_sample_is_named_and_the_rest_goes_on),
    ("a_poison_sample_is_skipped_by_policy", a_poison_sample_is_skipped_by_policy),
    (
        "a_substitute_that_kills_is_named_and_not_what_it_stands_for",
        a_substitute_that_kills_is_named_and_not_what_it_stands_for,
    ),
    ("a_stopped_worker_is_replaced", a_stopped_worker_is_replaced),
    ("a_worker_stopped_for_a_moment_is_not_replaced", a_worker_stopped_for_a_moment_is_not_replaced),
    ("a_sample_that_hangs_is_poison", a_sample_that_hangs_is_poison),
    (
        "a_panic_is_a_failed_sample_or_a_dead_worker_but_no_hang",
        a_panic_is_a_failed_sample_or_a_dead_worker_but_no_hang,
    ),
];

const LEN: u64 = 18;

fn a_worker_killed_from_outside_at_any_row_is_not_seen() {
    let expected = undisturbed(LEN);
    for at in 0..LEN {
        let diary = Diary::new();
        let event = wait_at(at, &diary);
        let loader = loader_of(Numbers::new(LEN, move |index| event(index)), 2).build().unwrap();
        // One thread is all that a forking host may have, so the killer comes after the fork.
        let killer = {
            let diary = diary.clone();
            thread::spawn(move || {
                let diary = std::mem::ManuallyDrop::new(diary);
                eventually("a worker at the row", || !diary.lines().is_empty());
                thread::sleep(Duration::from_millis(1));
                send(diary.lines()[0].parse().unwrap(), Signal::SIGKILL);
            })
        };
        assert_eq!(epoch(&loader), expected, "killed at sample {at}");
        killer.join().unwrap();
        assert_eq!(loader.stats(&mut || Ok(())).unwrap().restarts, 1);
    }
}

fn a_worker_that_crashes_at_any_row_is_not_seen() {
    let expected = undisturbed(LEN);
    let signals = [libc::SIGKILL, libc::SIGSEGV, libc::SIGBUS, libc::SIGABRT, libc::SIGFPE, libc::SIGILL];
    for (at, signal) in (0..LEN).zip(signals.into_iter().cycle()) {
        for threads in [1, 2] {
            let diary = Diary::new();
            let event = signal_at(at, 1, signal, &diary);
            let loader =
                loader_of(Numbers::new(LEN, move |index| event(index)), 2).threads_per_worker(threads).build().unwrap();
            assert_eq!(epoch(&loader), expected, "signal {signal} at sample {at}, {threads} threads");
            let stats = loader.stats(&mut || Ok(())).unwrap();
            assert!(stats.endings[0].contains(&format!("killed by signal {signal}")), "{:?}", stats.endings);
        }
    }
}

fn workers_killed_all_the_time_are_not_seen() {
    let expected = undisturbed(400);
    let loader = loader_of(Numbers::new(400, slowly(Duration::from_millis(2))), 3).prefetch(1).build().unwrap();
    let mut killed = BTreeSet::new();
    let mut spared = 0;
    let mut seen = Vec::new();
    for batch in &loader {
        seen.push(values(&batch.unwrap()));
        if seen.len() < spared {
            continue;
        }
        let stats = loader.stats(&mut || Ok(())).unwrap();
        if let Some(&(_, pid)) = stats.workers.get(seen.len() % 3) {
            send(pid, Signal::SIGKILL);
            killed.insert(pid);
        }
        // What the worker had in hand lies in a slot, and would be poison if it met a second death.
        spared = seen.len() + stats.slots;
    }
    assert_eq!(seen, expected);
    eventually("every death is noticed", || loader.stats(&mut || Ok(())).unwrap().restarts == killed.len() as u64);
    assert!(killed.len() > 15);
}

fn a_poison_sample_is_named_and_the_rest_goes_on() {
    let diary = Diary::new();
    let event = signal_at(5, usize::MAX, libc::SIGABRT, &diary);
    let loader = loader_of(Numbers::new(LEN, move |index| event(index)), 2).build().unwrap();
    let mut errors = Vec::new();
    let mut seen = 0;
    for batch in &loader {
        match batch {
            Ok(batch) => seen += batch.rows(),
            Err(Error::Sample(error)) => errors.push(error),
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert_eq!((errors[0].index, errors[0].stage, errors[0].key.as_str()), (5, Stage::Worker, "number 5"));
    assert!(errors[0].reason.contains("signal 6"), "{:?}", errors[0]);
    assert!(seen >= LEN as usize - 4, "only its batch is lost");
    // Two workers in this epoch, and up to two in the next, which is begun in advance.
    assert!((2..=4).contains(&diary.count("hit")), "{}", diary.count("hit"));
}

fn a_poison_sample_is_skipped_by_policy() {
    let diary = Diary::new();
    let event = signal_at(5, usize::MAX, libc::SIGKILL, &diary);
    let loader = loader_of(Numbers::new(LEN, move |index| event(index)), 2).on_error(OnError::Skip).build().unwrap();
    let indices: Vec<u64> = epoch(&loader).into_iter().flat_map(|(indices, _)| indices).collect();
    assert_eq!(indices.len(), LEN as usize);
    assert!(!indices.contains(&5));
    let stats = loader.stats(&mut || Ok(())).unwrap();
    assert!(stats.failed_samples >= 1 && stats.quarantine[0].index == 5, "{stats:?}");
}

fn a_substitute_that_kills_is_named_and_not_what_it_stands_for() {
    let order = &undisturbed(LEN)[0].0;
    let (bad, deadly) = (order[0], order[1]);
    let diary = Diary::new();
    let kill = signal_at(deadly, usize::MAX, libc::SIGKILL, &diary);
    let event = move |index| {
        kill(index)?;
        if index == bad { Err(Failure::new(Stage::Read, "bad")) } else { Ok(()) }
    };
    let loader = loader_of(Numbers::new(LEN, event), 2).on_error(OnError::Skip).build().unwrap();
    let first = loader.iter().next().unwrap().unwrap();
    assert_eq!(first.indices()[..2], [order[2], order[2]], "both rows step over both samples");
    let quarantine = loader.stats(&mut || Ok(())).unwrap().quarantine;
    let killers: Vec<_> =
        quarantine.iter().filter(|error| error.stage == Stage::Worker).map(|error| error.index).collect();
    assert!(!killers.is_empty() && killers.iter().all(|&index| index == deadly), "{quarantine:?}");
}

fn a_stopped_worker_is_replaced() {
    let diary = Diary::new();
    let event = signal_at(9, 1, libc::SIGSTOP, &diary);
    let loader = loader_of(Numbers::new(LEN, move |index| event(index)), 2)
        .stall_timeout(Duration::from_secs(1))
        .build()
        .unwrap();
    assert_eq!(epoch(&loader), undisturbed(LEN));
    let stats = loader.stats(&mut || Ok(())).unwrap();
    assert_eq!(stats.restarts, 1);
    assert!(stats.endings[0].contains("stalled") && stats.endings[0].contains("state T"), "{:?}", stats.endings);
}

fn a_worker_stopped_for_a_moment_is_not_replaced() {
    let diary = Diary::new();
    let event = signal_at(9, 1, libc::SIGSTOP, &diary);
    let loader = loader_of(Numbers::new(LEN, move |index| event(index)), 1).build().unwrap();
    let worker = loader.stats(&mut || Ok(())).unwrap().workers[0].1;
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                thread::sleep(Duration::from_millis(10));
                send(worker, Signal::SIGCONT);
            }
        });
        let seen = epoch(&loader);
        over.store(true, Ordering::Relaxed);
        assert_eq!(seen, undisturbed(LEN));
    });
    assert_eq!(loader.stats(&mut || Ok(())).unwrap().restarts, 0);
}

fn a_sample_that_hangs_is_poison() {
    let hang = |index| {
        if index == 3 {
            thread::sleep(Duration::from_mins(10));
        }
        Ok(())
    };
    let loader = loader_of(Numbers::new(LEN, hang), 2).stall_timeout(Duration::from_millis(500)).build().unwrap();
    let errors: Vec<_> = loader.iter().filter_map(Result::err).map(|error| error.to_string()).collect();
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert!(errors[0].contains("cannot finish sample 3 (`number 3`)") && errors[0].contains("stalled"), "{errors:?}");
}

fn a_panic_is_a_failed_sample_or_a_dead_worker_but_no_hang() {
    let loader = loader_of(
        Numbers::new(LEN, |index| {
            assert!(index != 4, "a bug in a source");
            Ok(())
        }),
        2,
    )
    .build()
    .unwrap();
    let errors: Vec<_> = loader.iter().filter_map(Result::err).map(|error| error.to_string()).collect();
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert!(errors[0].contains("sample 4"), "{errors:?}");
}
