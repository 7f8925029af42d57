//! What a loader promises when nothing goes wrong.

use std::{
    mem::ManuallyDrop,
    sync::{
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

use ndarray::{ArrayView1, ArrayView2};
use stokehold::{DType, Error, FieldSpec, Input, Loader, OnError, SharedSource, SourceSpec, Stage, error::Failure};

use crate::{
    Test,
    sources::{Diary, Numbers, epoch, fail_at_multiples, loader_of, undisturbed},
    world::possessions,
};

pub(crate) const TESTS: &[Test] = &[
    ("bytes_do_not_depend_on_workers_or_threads", bytes_do_not_depend_on_workers_or_threads),
    ("arrays_come_through_a_spawned_coordinator", arrays_come_through_a_spawned_coordinator),
    ("counts_come_through_a_spawned_coordinator", counts_come_through_a_spawned_coordinator),
    ("views_check_dtype_and_axes", views_check_dtype_and_axes),
    ("a_state_resumes_with_other_workers_and_batches", a_state_resumes_with_other_workers_and_batches),
    ("held_batches_grow_the_arena_and_then_are_an_error", held_batches_grow_the_arena_and_then_are_an_error),
    ("an_abandoned_iteration_is_cancelled", an_abandoned_iteration_is_cancelled),
    ("bad_samples_follow_the_policy_alike_everywhere", bad_samples_follow_the_policy_alike_everywhere),
    ("a_long_reason_is_cut_and_the_iteration_goes_on", a_long_reason_is_cut_and_the_iteration_goes_on),
    ("a_source_may_keep_a_file_open", a_source_may_keep_a_file_open),
    ("statistics_may_be_asked_for_from_other_threads", statistics_may_be_asked_for_from_other_threads),
    ("a_host_with_threads_is_not_forked", a_host_with_threads_is_not_forked),
    ("a_loader_that_cannot_start_says_why_and_leaves_nothing", a_loader_that_cannot_start_says_why_and_leaves_nothing),
    ("nothing_is_left_after_close", nothing_is_left_after_close),
    ("reads_that_take_long_overlap", reads_that_take_long_overlap),
];

fn bytes_do_not_depend_on_workers_or_threads() {
    let expected = undisturbed(50);
    for (workers, threads) in [(1, 1), (2, 1), (4, 1), (2, 2), (0, 2)] {
        let loader = loader_of(Numbers::new(50, |_| Ok(())), workers).threads_per_worker(threads).build().unwrap();
        assert_eq!(epoch(&loader), expected, "{workers} workers of {threads} threads");
        assert_ne!(epoch(&loader), expected, "another epoch, another order");
    }
}

fn reads_that_take_long_overlap() {
    static READING: AtomicUsize = AtomicUsize::new(0);
    static MOST: AtomicUsize = AtomicUsize::new(0);
    let diary = Diary::new();
    let of_worker = ManuallyDrop::new(diary.clone());
    let slow = Numbers::new(600, move |index| {
        let reading = READING.fetch_add(1, Ordering::Relaxed) + 1;
        // The last one says how many there were at a time.
        if MOST.fetch_max(reading, Ordering::Relaxed) < reading {
            of_worker.write(reading);
        }
        thread::sleep(Duration::from_millis(20 + index % 3));
        READING.fetch_sub(1, Ordering::Relaxed);
        Ok(())
    });
    // Runs have a row each: rows that are handed out as with two runs alone would not do.
    let loader = loader_of(slow, 1).batch_size(2).prefetch(40).build().unwrap();
    let expected = loader_of(Numbers::new(600, |_| Ok(())), 0).batch_size(2).build().unwrap();
    assert_eq!(epoch(&loader), epoch(&expected));
    assert_eq!(epoch(&loader), epoch(&expected));
    let most: usize = diary.lines().last().unwrap().parse().unwrap();
    assert!((8..=64).contains(&most), "{most} reads at a time");
}

fn shared() -> SharedSource {
    let x: Vec<f32> = (0..300).map(|n| n as f32).collect();
    let y: Vec<i64> = (0..100).collect();
    let spec = |name: &str, dtype, shape: &[usize]| FieldSpec::new(name, dtype, shape);
    SharedSource::copy(
        100,
        &[
            (spec("x", DType::Float32, &[3]), bytemuck::cast_slice(&x)),
            (spec("y", DType::Int64, &[]), bytemuck::cast_slice(&y)),
        ],
    )
    .unwrap()
}

fn arrays_come_through_a_spawned_coordinator() {
    let loader = Loader::builder(shared()).batch_size(8).shuffle(true).num_workers(2).build().unwrap();
    let mut seen = Vec::new();
    for batch in &loader {
        let batch = batch.unwrap();
        let x: ArrayView2<'_, f32> = batch.view("x").unwrap();
        let y: ArrayView1<'_, i64> = batch.view("y").unwrap();
        for (row, (&label, index)) in y.iter().zip(batch.indices()).enumerate() {
            assert_eq!(label as u64, index);
            assert_eq!(x[[row, 1]].to_bits(), ((index * 3 + 1) as f32).to_bits());
        }
        seen.extend(batch.indices());
    }
    seen.sort_unstable();
    assert_eq!(seen, (0..100).collect::<Vec<_>>());
}

fn counts_come_through_a_spawned_coordinator() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("class")).unwrap();
    let data = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    // Of a baseline file nothing is read below a crop; a progressive one has tables in its middle.
    for (name, file, damage, eighths) in
        [("a", "progressive", 16, 7), ("b", "444", 0, 0), ("c", "420", 16, 4), ("d", "420", 0, 0)]
    {
        let mut bytes = std::fs::read(data.join(file).with_extension("jpg")).unwrap();
        // Ones alone are no code.
        let at = bytes.len() * eighths / 8;
        bytes[at..at + damage].as_chunks_mut::<2>().0.fill([0xff, 0]);
        std::fs::write(folder.path().join("class").join(name).with_extension("jpg"), bytes).unwrap();
    }
    for workers in [0, 1] {
        let loader = Loader::builder(Input::image_folder(folder.path()))
            .transforms("image", [stokehold::Transform::center_crop(8)])
            .num_workers(workers)
            .build()
            .unwrap();
        assert_eq!(loader.iter().map(Result::unwrap).count(), 4);
        let counted = loader.stats(&mut || Ok(())).unwrap().counters["damaged_images"];
        // Workers have begun the next epoch.
        assert!(if workers == 0 { counted == 2 } else { (2..=4).contains(&counted) }, "{counted}");
        let others = Loader::builder(shared()).num_workers(workers).build().unwrap();
        assert_eq!(others.stats(&mut || Ok(())).unwrap().counters["damaged_images"], 0);
    }
}

fn views_check_dtype_and_axes() {
    let loader = Loader::builder(shared()).batch_size(8).num_workers(0).build().unwrap();
    let batch = loader.iter().next().unwrap().unwrap();
    let message = |error: Error| error.to_string();
    assert!(message(batch.view::<f64, ndarray::Ix2>("x").unwrap_err()).contains("`x` is float32, not float64"));
    assert!(message(batch.view::<f32, ndarray::Ix3>("x").unwrap_err()).contains("2 axes"));
    assert!(message(batch.view::<f32, ndarray::Ix2>("z").unwrap_err()).contains("the batch has x, y"));
}

fn a_state_resumes_with_other_workers_and_batches() {
    let rows = |loader: &Loader| loader.iter().flat_map(|batch| batch.unwrap().indices()).collect::<Vec<_>>();
    let expected: Vec<u64> = undisturbed(50).into_iter().flat_map(|(indices, _)| indices).collect();
    for stop in 0..13 {
        let first = loader_of(Numbers::new(50, |_| Ok(())), 2).build().unwrap();
        let mut seen: Vec<u64> = first.iter().take(stop).flat_map(|batch| batch.unwrap().indices()).collect();
        let state = serde_json::to_string(&first.state()).unwrap();
        let second = loader_of(Numbers::new(50, |_| Ok(())), 1).batch_size(7).build().unwrap();
        second.load_state(&serde_json::from_str(&state).unwrap()).unwrap();
        seen.extend(rows(&second));
        assert_eq!(seen, expected, "stopped after {stop} batches");
    }
}

fn held_batches_grow_the_arena_and_then_are_an_error() {
    for workers in [0, 2] {
        let slot = 4096;
        let loader =
            loader_of(Numbers::new(400, |_| Ok(())), workers).prefetch(2).memory_limit(10 * slot).build().unwrap();
        let mut epoch = loader.iter();
        let held: Vec<_> = (0..10).map(|_| epoch.next().unwrap().unwrap()).collect();
        let error = epoch.next().unwrap().unwrap_err();
        assert!(matches!(error, Error::SlotsExhausted(_)), "{error}");
        assert!(error.to_string().contains("10 batches are held"), "{error}");
        let expected = undisturbed(400);
        for (batch, expected) in held.iter().zip(&expected) {
            assert_eq!(batch.indices(), expected.0);
        }
        drop(held);
        assert_eq!(epoch.next().unwrap().unwrap().indices(), expected[10].0, "nothing was lost");
    }
}

fn an_abandoned_iteration_is_cancelled() {
    let loader = loader_of(Numbers::new(60, |_| Ok(())), 2).build().unwrap();
    let mut old = loader.iter();
    drop(old.next());
    for round in 1..20 {
        let first = loader.iter().next().unwrap().unwrap();
        assert_eq!(first.epoch(), round);
    }
    assert!(matches!(old.next(), Some(Err(Error::Usage(_)))));
    loader.set_epoch(0);
    assert_eq!(epoch(&loader), undisturbed(60));
}

fn bad_samples_follow_the_policy_alike_everywhere() {
    let build =
        |policy, workers| loader_of(Numbers::new(30, fail_at_multiples(7)), workers).on_error(policy).build().unwrap();
    for policy in [OnError::Skip, OnError::Replace] {
        let expected = epoch(&build(policy, 0));
        assert_eq!(expected.iter().map(|(indices, _)| indices.len()).sum::<usize>(), 30, "batches are full");
        assert!(expected.iter().all(|(indices, _)| indices.iter().all(|index| index % 7 != 0)));
        for workers in [1, 3] {
            let loader = build(policy, workers);
            assert_eq!(epoch(&loader), expected);
            let stats = loader.stats(&mut || Ok(())).unwrap();
            assert!(stats.failed_samples >= 5, "{stats:?}");
            assert!(stats.quarantine.iter().any(|error| error.index == 14 && error.key == "number 14"), "{stats:?}");
        }
    }
    for workers in [0, 2] {
        let loader = build(OnError::Raise, workers);
        let (good, bad): (Vec<_>, Vec<_>) = loader.iter().partition(Result::is_ok);
        assert_eq!(good.len() + bad.len(), 8, "iteration goes on after an error");
        for error in bad {
            let error = error.unwrap_err().to_string();
            assert!(error.contains("cannot read sample") && error.contains("the test wants it so"), "{error}");
        }
    }
}

fn a_long_reason_is_cut_and_the_iteration_goes_on() {
    for workers in [0, 2] {
        let event = |index| if index == 3 { Err(Failure::new(Stage::Read, "é".repeat(100_000))) } else { Ok(()) };
        let loader = loader_of(Numbers::new(20, event), workers).build().unwrap();
        let (good, bad): (Vec<_>, Vec<_>) = loader.iter().partition(Result::is_ok);
        assert_eq!((good.len(), bad.len()), (4, 1));
        let reason = bad[0].as_ref().unwrap_err().to_string();
        assert!(reason.contains("sample 3") && reason.len() < 2000, "{reason}");
    }
}

fn a_source_may_keep_a_file_open() {
    let folder = tempfile::tempdir().unwrap();
    let source = Numbers::in_file(50, &folder.path().join("numbers"));
    assert_eq!(epoch(&loader_of(source, 2).build().unwrap()), undisturbed(50));
}

fn statistics_may_be_asked_for_from_other_threads() {
    let loader = loader_of(Numbers::new(2000, |_| Ok(())), 2).build().unwrap();
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| (0..300).for_each(|_| drop(loader.stats(&mut || Ok(())).unwrap())));
        }
        assert_eq!(loader.iter().map(|batch| batch.unwrap().rows()).sum::<usize>(), 2000);
    });
    assert_eq!(loader.stats(&mut || Ok(())).unwrap().samples, 2000);
}

fn a_host_with_threads_is_not_forked() {
    let (end, ends) = mpsc::channel::<()>();
    let thread = thread::spawn(move || ends.recv());
    let error = loader_of(Numbers::new(10, |_| Ok(())), 1).build().unwrap_err();
    assert!(error.to_string().contains("a process of 2 threads"), "{error}");
    drop(end);
    assert!(thread.join().unwrap().is_err());
}

fn a_loader_that_cannot_start_says_why_and_leaves_nothing() {
    let before = possessions();
    let missing = SourceSpec::ImageFolder { root: "/no/such/folder".into(), cache: None };
    let crop = stokehold::Transform::center_crop(8);
    let error = Loader::builder(missing).transforms("image", [crop]).num_workers(2).build().unwrap_err();
    assert!(error.to_string().contains("/no/such/folder"), "{error}");
    let folder = Input::image_folder("/");
    assert!(
        matches!(Loader::builder(folder).num_workers(1).build(), Err(Error::Config(_))),
        "an image of no fixed size"
    );
    assert_eq!(possessions(), before);
}

fn nothing_is_left_after_close() {
    let before = possessions();
    for _ in 0..20 {
        let loader = loader_of(Numbers::new(50, |_| Ok(())), 2).build().unwrap();
        let kept = loader.iter().next().unwrap().unwrap();
        loader.close();
        assert!(matches!(loader.begin(), Err(Error::Usage(_))));
        drop(loader);
        assert_eq!(kept.indices().len(), 4);
    }
    assert_eq!(possessions(), before);
    assert!(crate::world::children(std::process::id() as i32).is_empty());
}
