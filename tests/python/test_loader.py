"""The loader: same bytes whatever makes them, epochs, ranks, arguments, threads, forks."""

from __future__ import annotations

import os
import pickle
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import stokehold as sh
from support import (
    PATIENCE_SECONDS,
    arena_mappings,
    eventually,
    image_loader,
    is_running,
    order,
    pool_pids,
    run_trainer,
    value,
    values,
)

POOLS = [{"num_workers": workers, "threads_per_worker": threads} for workers in (0, 1, 2, 4) for threads in (1, 2)]


def pool_id(pool: dict[str, int]) -> str:
    return "x".join(map(str, pool.values()))


@pytest.fixture(scope="module")
def images_expected(folder: Path) -> Any:
    return values(image_loader(folder, num_workers=0), epochs=2)


@pytest.mark.parametrize("pool", POOLS, ids=pool_id)
def test_images_are_the_same_bytes_whatever_makes_them(
    folder: Path, images_expected: Any, pool: dict[str, int]
) -> None:
    with image_loader(folder, **pool) as loader:
        assert values(loader, epochs=2) == images_expected


@pytest.mark.parametrize("pool", POOLS, ids=pool_id)
def test_arrays_are_the_same_bytes_whatever_makes_them(
    columns: dict[str, Any], arrays: sh.Arrays, pool: dict[str, Any]
) -> None:
    with sh.Loader(arrays, batch_size=8, shuffle=True, seed=3, **pool) as loader:
        for epoch in range(2):
            seen = []
            for batch in loader:
                assert batch.epoch == epoch
                for name, column in columns.items():
                    assert np.array_equal(batch[name], column[batch.indices])
                seen += list(batch.indices)
            assert sorted(seen) == list(range(50))
            assert seen != sorted(seen)
        loader.set_epoch(0)
        assert order(loader) == order(sh.Loader(arrays, batch_size=8, shuffle=True, seed=3, num_workers=0))


def test_epochs_and_seeds_have_orders_of_their_own(arrays: sh.Arrays) -> None:
    def orders(**options: Any) -> list[list[int]]:
        loader = sh.Loader(arrays, batch_size=8, num_workers=0, **options)
        return [order(loader), order(loader)]

    shuffled = orders(shuffle=True, seed=1)
    assert shuffled[0] != shuffled[1]
    assert orders(shuffle=True, seed=2)[0] != shuffled[0]
    assert orders() == [list(range(50))] * 2
    assert orders(shuffle=True, seed=2**64 - 1)[0] != shuffled[0]


@pytest.mark.parametrize("workers", [0, 2])
def test_what_is_known_before_the_first_sample(folder: Path, workers: int) -> None:
    with image_loader(folder, num_workers=workers) as loader:
        assert loader.spec == {"image": sh.FieldSpec("uint8", (32, 32, 3)), "label": sh.FieldSpec("int64", ())}
        assert loader.classes == ["ash", "birch", "cedar"] == sh.ImageFolder(folder).classes
        assert loader.samples == 24
        assert len(loader) == 5
        assert loader.epoch == 0
        assert "ImageFolder(" in repr(loader)
        assert "image: uint8[32, 32, 3]" in repr(loader)
        assert loader.stats()["samples"] == 0


def test_labels_are_the_class_folders(folder: Path) -> None:
    files = sorted(folder.glob("*/*"), key=lambda path: (path.parent.name, path.name))
    with image_loader(folder, num_workers=1, shuffle=False) as loader:
        labels = [loader.classes[label] for batch in loader for label in batch["label"]]
    assert labels == [path.parent.name for path in files]


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize(("drop_last", "sizes"), [(False, [16, 16, 16, 2]), (True, [16, 16, 16])])
def test_the_last_batch(arrays: sh.Arrays, workers: int, drop_last: bool, sizes: list[int]) -> None:
    with sh.Loader(arrays, batch_size=16, drop_last=drop_last, num_workers=workers) as loader:
        assert len(loader) == len(sizes)
        assert [batch.rows for batch in loader] == sizes
        assert [len(batch["y"]) for batch in loader] == sizes


def test_set_epoch_chooses_the_next_order(arrays: sh.Arrays) -> None:
    with sh.Loader(arrays, batch_size=8, shuffle=True, num_workers=2) as loader:
        first = [order(loader) for _ in range(3)]
        loader.set_epoch(1)
        assert loader.epoch == 1
        assert order(loader) == first[1]
        assert loader.epoch == 2
        assert order(loader) == first[2]


@pytest.mark.parametrize("drop_last", [False, True])
@pytest.mark.parametrize("world", [1, 2, 3, 7])
def test_ranks_share_the_epoch_evenly(arrays: sh.Arrays, world: int, drop_last: bool) -> None:
    parts = []
    for rank in range(world):
        options: dict[str, Any] = {"rank": rank, "world_size": world, "drop_last": drop_last, "shuffle": True}
        loader = sh.Loader(arrays, batch_size=4, num_workers=0, **options)
        parts.append(order(loader))
        assert len(loader) == -(-len(parts[-1]) // 4)
    assert len({len(part) for part in parts}) == 1
    together = sorted(index for part in parts for index in part)
    if drop_last:
        assert len(set(together)) == len(together) > 50 - 4 * world
    else:
        assert set(together) == set(range(50))
        assert len(together) < 50 + world


def test_ranks_come_from_the_environment(arrays: sh.Arrays, monkeypatch: pytest.MonkeyPatch) -> None:
    given = sh.Loader(arrays, batch_size=4, num_workers=0, rank=1, world_size=3)
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "3")
    assert order(sh.Loader(arrays, batch_size=4, num_workers=0)) == order(given)
    assert len(order(sh.Loader(arrays, batch_size=4, num_workers=0, rank=0, world_size=1))) == 50
    monkeypatch.setenv("RANK", "one")
    with pytest.raises(ValueError, match="RANK is 'one'"):
        sh.Loader(arrays, num_workers=0)


def test_auto_workers_share_the_processors(arrays: sh.Arrays, monkeypatch: pytest.MonkeyPatch) -> None:
    with sh.Loader(arrays, batch_size=8) as loader:
        alone = len(loader.stats()["workers"])
        assert 1 <= alone <= len(os.sched_getaffinity(0))
        assert len(order(loader)) == 50
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "1000")
    with sh.Loader(arrays, batch_size=8) as loader:
        assert len(loader.stats()["workers"]) == 1


@pytest.mark.parametrize("workers", [0, 2])
def test_a_closed_loader_that_is_kept_gives_its_memory_back(arrays: sh.Arrays, workers: int) -> None:
    def owned() -> tuple[int, int]:
        return len(arena_mappings()), len(list(Path("/proc/self/fd").iterdir()))

    sh.Loader(arrays, batch_size=4, num_workers=workers).close()
    before = owned()
    loader = sh.Loader(arrays, batch_size=4, num_workers=workers)
    batch = next(iter(loader))
    expected = batch["x"].copy()
    loader.close()
    assert (batch["x"] == expected).all()
    assert owned()[0] == before[0] + 1
    del batch
    assert eventually(lambda: owned() == before)
    with pytest.raises(RuntimeError, match="closed"):
        next(iter(loader))


@pytest.mark.parametrize("workers", [0, 2])
def test_closed_is_closed(arrays: sh.Arrays, workers: int) -> None:
    with sh.Loader(arrays, batch_size=8, num_workers=workers) as loader:
        batches = iter(loader)
        next(batches)
        pids = pool_pids(loader) if workers else []
        time.sleep(0.2)  # What is prefetched has come by now, and is not to be had any more either.
    assert not any(map(is_running, pids))
    loader.close()
    with pytest.raises(RuntimeError, match="closed"):
        next(batches)
    with pytest.raises(RuntimeError, match="closed"):
        iter(loader)
    with pytest.raises(RuntimeError, match="closed"):
        loader.stats()
    assert len(loader) == 7
    assert "Loader(" in repr(loader)


def test_a_loader_cannot_be_pickled(arrays: sh.Arrays) -> None:
    loader = sh.Loader(arrays, num_workers=0)
    with pytest.raises(TypeError, match="pickle its arguments"):
        pickle.dumps(loader)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_new_iterator_ends_the_older(arrays: sh.Arrays, workers: int) -> None:
    with sh.Loader(arrays, batch_size=8, num_workers=workers) as loader:
        older = iter(loader)
        next(older)
        newer = iter(loader)
        with pytest.raises(RuntimeError, match="one iteration at a time"):
            next(older)
        assert order(newer) == list(range(50))
        with pytest.raises(StopIteration):
            next(newer)


@pytest.mark.parametrize("workers", [0, 2])
def test_an_iterator_of_which_nothing_was_taken_does_not_count(arrays: sh.Arrays, workers: int) -> None:
    with sh.Loader(arrays, batch_size=8, shuffle=True, num_workers=workers) as loader:
        expected = [order(loader) for _ in range(3)]
        loader.set_epoch(1)
        begun: Any = iter(loader)
        assert len(begun) == 7
        assert order(loader) == expected[1]
        state = loader.state_dict()
        iter(loader)
        assert loader.state_dict() == state
        # Nor does one that was to go on in the middle.
        loader.load_state_dict(state | {"epoch": 1, "cursor": 24})
        begun = iter(loader)
        assert len(begun) == 4
        assert order(loader) == expected[1][24:]


@pytest.mark.parametrize("workers", [0, 2])
def test_an_epoch_that_is_set_behind_the_iterator(arrays: sh.Arrays, workers: int) -> None:
    """As Lightning does it."""
    with sh.Loader(arrays, batch_size=8, shuffle=True, num_workers=workers) as loader:
        expected = [order(loader) for _ in range(4)]
        loader.set_epoch(0)
        batches: Any = iter(loader)
        loader.set_epoch(2)
        assert (loader.epoch, len(batches)) == (2, 7)
        assert order(batches) == expected[2]
        assert order(loader) == expected[3]
        # What was loaded stays if it is of that epoch, and an iterator that has given something goes on.
        loader.load_state_dict(loader.state_dict() | {"epoch": 1, "cursor": 24})
        batches = iter(loader)
        loader.set_epoch(1)
        first = order([next(batches)])
        loader.set_epoch(0)
        assert first + order(batches) == expected[1][24:]
        assert order(loader) == expected[0]


def test_what_frameworks_look_for(arrays: sh.Arrays) -> None:
    for shuffle in (False, True):
        loader = sh.Loader(arrays, batch_size=8, shuffle=shuffle, num_workers=0)
        assert (loader.dataset, loader.batch_size, loader.drop_last) == (arrays, 8, False)
        assert loader.ranks == (0, 1, "nothing")
        loader.batch_sampler.sampler.set_epoch(3)
        assert loader.epoch == 3
        assert hasattr(loader, "sampler") is shuffle
    loader.sampler.set_epoch(4)
    assert loader.epoch == 4


def test_breaking_off_leads_to_the_next_epoch(arrays: sh.Arrays) -> None:
    inline = sh.Loader(arrays, batch_size=4, shuffle=True, num_workers=0)
    with sh.Loader(arrays, batch_size=4, shuffle=True, num_workers=2) as loader:
        for epoch in range(60):
            inline.set_epoch(epoch)
            pairs = zip(loader, inline, strict=False)
            for batch, (ours, theirs) in enumerate(pairs):
                assert value(ours) == value(theirs)
                if batch == epoch % 5:
                    break
        loader.set_epoch(60)
        inline.set_epoch(60)
        assert values(loader) == values(inline)


ARRAY_ARGUMENTS: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"batch_size": 0}, ValueError, "batch_size"),
    ({"batch_size": -1}, ValueError, "batch_size"),
    ({"batch_size": 2**32}, ValueError, "batch_size"),
    ({"batch_size": 2.5}, TypeError, "batch_size"),
    ({"seed": -1}, ValueError, "seed"),
    ({"seed": 2**64}, ValueError, "seed"),
    ({"seed": "x"}, TypeError, "seed"),
    ({"prefetch": 0}, ValueError, "prefetch"),
    ({"prefetch": -1}, ValueError, "prefetch"),
    ({"num_workers": -1}, ValueError, "num_workers"),
    ({"num_workers": 5000}, ValueError, "num_workers"),
    ({"num_workers": "many"}, TypeError, "num_workers"),
    ({"threads_per_worker": 0}, ValueError, "threads_per_worker"),
    ({"threads_per_worker": 5000, "num_workers": 0}, ValueError, "threads_per_worker must be 1 to 256, not 5000"),
    ({"threads_per_worker": 5000, "num_workers": 1}, ValueError, "threads_per_worker must be 1 to 256, not 5000"),
    ({"threads_per_worker": 200, "num_workers": 200}, ValueError, r"num_workers \* threads_per_worker"),
    ({"rank": 2, "world_size": 2}, ValueError, "rank"),
    ({"world_size": 0}, ValueError, "world_size"),
    ({"output": "tensorflow"}, ValueError, "output"),
    ({"on_error": "ignore"}, ValueError, "on_error"),
    ({"stall_timeout": 0.0}, ValueError, "stall_timeout"),
    ({"stall_timeout": -1.0}, ValueError, "stall_timeout"),
    ({"stall_timeout": float("nan")}, ValueError, "stall_timeout"),
    ({"stall_timeout": "soon"}, TypeError, "stall_timeout"),
    ({"memory_limit": "x"}, ValueError, "memory_limit"),
    ({"memory_limit": "1 parsec"}, ValueError, "memory_limit"),
    ({"memory_limit": 0}, ValueError, "memory_limit"),
    ({"memory_limit": -5}, ValueError, "memory_limit"),
    ({"memory_limit": "4KiB"}, MemoryError, "memory_limit"),
    ({"memory_limit": None}, TypeError, "memory_limit"),
    ({"batch_size": 2**31}, MemoryError, "memory_limit"),
    ({"batch_size": 2**31, "memory_limit": "8000GiB"}, MemoryError, "needs"),
    ({"transforms": {"z": [sh.ToDtype("float32")]}}, ValueError, "`z`"),
    ({"transforms": {"y": [sh.CenterCrop(2)]}}, ValueError, "`y`"),
    ({"transforms": {"y": [sh.ToLayout("CHW")]}}, ValueError, "`y`"),
    ({"transforms": {"x": ["flip"]}}, TypeError, "transform"),
    ({"transforms": {"x": sh.ToDtype("float32")}}, TypeError, "transform"),
    ({"transforms": [sh.ToDtype("float32")]}, TypeError, "transform"),
]


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize(("options", "error", "part"), ARRAY_ARGUMENTS, ids=lambda given: str(given)[:60])
def test_a_bad_argument_raises_at_construction(
    arrays: sh.Arrays, options: dict[str, Any], error: type[Exception], part: str, workers: int
) -> None:
    with pytest.raises(error, match=part):
        sh.Loader(arrays, **{"num_workers": workers} | options)


IMAGE_TRANSFORMS: list[tuple[dict[str, Any], str]] = [
    ({}, "image"),
    ({"image": []}, "image"),
    ({"image": [sh.Resize(32)]}, "image"),
    ({"image": [sh.RandomHorizontalFlip()]}, "image"),
    ({"image": [sh.RandomResizedCrop(32), sh.Normalize([0.5] * 4, [0.5] * 4)]}, "image"),
    ({"image": [sh.RandomResizedCrop(32), sh.ToDtype("float32"), sh.CenterCrop(8)]}, "image"),
    ({"label": [sh.CenterCrop(8)], "image": [sh.CenterCrop(8)]}, "label"),
]


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize(("transforms", "field"), IMAGE_TRANSFORMS, ids=lambda given: str(given)[:60])
def test_a_transform_that_cannot_be_raises_at_construction(
    folder: Path, transforms: dict[str, Any], field: str, workers: int
) -> None:
    with pytest.raises(ValueError, match=f"`{field}`"):
        sh.Loader(sh.ImageFolder(folder), transforms=transforms, num_workers=workers)


ARRAYS: list[tuple[Callable[[], Any], type[Exception], str]] = [
    (dict, ValueError, "array"),
    (lambda: {"x": np.zeros((0, 3))}, ValueError, "row"),
    (lambda: {"x": np.float32(1)}, ValueError, "`x` is a scalar"),
    (lambda: {"x": np.zeros(3), "y": np.zeros(4)}, ValueError, "`y` has 4 rows, and `x` has 3"),
    (lambda: {"x": np.array(["a", "b"])}, ValueError, "`x`"),
    (lambda: {"x": np.array([{}, []], dtype=object)}, ValueError, "`x`"),
    (lambda: {"x": np.zeros(3, complex)}, ValueError, "`x`"),
    (lambda: {"x": np.zeros(3, "datetime64[s]")}, ValueError, "`x`"),
    (lambda: {"x": np.zeros(3, [("a", "i4")])}, ValueError, "`x`"),
    (lambda: {"x": np.zeros(3, ">f4")}, ValueError, "`x` is not in the machine's byte order"),
    (lambda: {3: np.zeros(3)}, TypeError, "str"),
]


@pytest.mark.parametrize(("make", "error", "part"), ARRAYS)
def test_arrays_that_cannot_be_raise(make: Callable[[], Any], error: type[Exception], part: str) -> None:
    with pytest.raises(error, match=part):
        sh.Arrays(make())


def test_a_source_must_be_a_source() -> None:
    with pytest.raises(
        TypeError,
        match="or a dataset with __getitem__ and __len__, or with __iter__, not str",
    ):
        sh.Loader("train")


def test_arrays_may_be_strided_empty_and_of_any_rank() -> None:
    columns: dict[str, Any] = {
        "transposed": np.arange(24).reshape(4, 6).T,
        "every_other": np.arange(12)[::2],
        "empty": np.zeros((6, 0, 3), np.float32),
        "fortran": np.asfortranarray(np.arange(36.0).reshape(6, 3, 2)),
        "backwards": np.arange(6)[::-1],
        "list": list(range(6)),
    }
    for workers in (0, 1):
        with sh.Loader(sh.Arrays(columns), batch_size=4, num_workers=workers) as loader:
            for batch in loader:
                for name, column in columns.items():
                    expected = np.asarray(column)[batch.indices]
                    assert np.array_equal(batch[name], expected), name
                    assert batch[name].dtype == expected.dtype
                    assert batch[name].shape == expected.shape


def test_loaders_share_arrays_and_outlive_them(columns: dict[str, Any]) -> None:
    arrays = sh.Arrays(columns)
    assert len(arrays) == 50
    assert "50 rows of x: float32[3, 4], y: int64[]" in repr(arrays)
    with sh.Loader(arrays, batch_size=7, num_workers=1) as one, sh.Loader(arrays, batch_size=3, num_workers=1) as two:
        del arrays
        assert order(one) == order(two) == list(range(50))


def test_a_fork_of_the_trainer_cannot_use_the_loader_and_does_no_harm() -> None:
    code = """
import warnings
warnings.simplefilter("ignore")
with loader() as pool:
    expected = orders(pool)
    pool.set_epoch(0)
    batches = iter(pool)
    seen, held = [next(batches)["x"].tobytes()], next(batches)
    child = os.fork()
    if child == 0:
        try:
            wrong = []
            for use in (lambda: next(batches), lambda: iter(pool), pool.stats):
                try:
                    use()
                    wrong.append(use)
                except RuntimeError as error:
                    wrong += [] if "fork" in str(error) else [error]
            del held
            pool.close()
            del pool, batches
            import gc
            gc.collect()
            os._exit(len(wrong))
        finally:
            os._exit(99)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    seen.append(held["x"].tobytes())
    seen += [batch["x"].tobytes() for batch in batches]
    assert seen == expected
    del held
    assert pool.stats()["held_slots"] == 0
say("fine")
"""
    status, out, err = run_trainer(code)
    assert (status, out) == (0, "fine\n"), err


@pytest.mark.parametrize("workers", [0, 2])
def test_two_threads_that_share_an_iterator_get_each_batch_once(arrays: sh.Arrays, workers: int) -> None:
    with sh.Loader(arrays, batch_size=1, num_workers=workers) as loader:
        for _ in range(5):
            batches = iter(loader)
            with ThreadPoolExecutor(3) as threads:
                parts = list(threads.map(order, [batches] * 3))
            assert sorted(index for part in parts for index in part) == list(range(50))


def test_closing_from_another_thread_ends_a_wait(arrays: sh.Arrays) -> None:
    loader = sh.Loader(arrays, batch_size=1, prefetch=1, num_workers=1)
    batches = iter(loader)
    worker = loader.stats()["workers"][0]["pid"]
    os.kill(worker, signal.SIGSTOP)
    raised: list[str] = []

    def wait() -> None:
        try:
            for _ in batches:
                pass
        except RuntimeError as error:
            raised.append(str(error))

    thread = threading.Thread(target=wait)
    thread.start()
    time.sleep(0.5)
    loader.close()
    thread.join(PATIENCE_SECONDS)
    assert not thread.is_alive()
    assert raised == ["this loader is closed"]
