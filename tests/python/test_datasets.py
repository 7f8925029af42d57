"""Datasets of Python in the native pool."""

from __future__ import annotations

import json
import os
import pickle
import random
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import made_datasets
import stokehold as sh
from made_datasets import Draws, Made
from support import PROGRAM_SECONDS, Strikes, eventually, is_running, pool_pids, trainer, values


def loader(dataset: Any, **options: Any) -> sh.Loader:
    given: dict[str, Any] = {"batch_size": 4, "shuffle": True, "seed": 5, "num_workers": 2}
    return sh.Loader(dataset, **given | options)


def flat(dataset: Any, **options: Any) -> list[Any]:
    """All rows of one epoch of a dataset with one field."""
    with loader(dataset, shuffle=False, **options) as made:
        return [row for batch in made for row in batch["0"].tolist()]


@pytest.fixture(scope="module")
def undisturbed() -> list[Any]:
    with loader(Draws(), num_workers=0) as made:
        return values(made, epochs=2)


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_bytes_do_not_depend_on_the_number_of_workers(undisturbed: list[Any], workers: int) -> None:
    with loader(Draws(), num_workers=workers) as made:
        assert values(made, epochs=2) == undisturbed


def test_epochs_and_seeds_draw_differently(undisturbed: list[Any]) -> None:
    drawn = [dict(fields)["random"] for _, _, fields in undisturbed]
    assert len(set(drawn)) == len(drawn)
    with loader(Draws(), num_workers=0, seed=6) as made:
        assert {dict(fields)["random"] for _, _, fields in values(made)}.isdisjoint(drawn)


def test_bytes_do_not_depend_on_workers_that_are_killed(undisturbed: list[Any]) -> None:
    with loader(Draws(), num_workers=3) as made:
        strikes, found = Strikes(made), []
        for _ in range(2):
            for batch in made:
                strikes.delivered()
                found.append((batch.epoch, tuple(map(int, batch.indices)), batch["random"].tobytes()))
                strikes.kill(1)
        assert strikes.killed
    assert found == [(epoch, indices, dict(fields)["random"]) for epoch, indices, fields in undisturbed]


def test_an_epoch_is_resumed_with_other_workers(undisturbed: list[Any]) -> None:
    with loader(Draws(), num_workers=2) as made:
        first = iter(made)
        for _ in range(3):
            next(first)
        state = json.loads(json.dumps(made.state_dict()))
    with loader(Draws(), num_workers=1) as made:
        made.load_state_dict(state)
        assert values(made) == undisturbed[3:11]


def test_ranks_share_an_epoch(undisturbed: list[Any]) -> None:
    rows = {
        index: rows
        for _, indices, fields in undisturbed[:11]
        for index, rows in zip(indices, split(fields), strict=True)
    }
    for rank in range(2):
        with loader(Draws(), rank=rank, world_size=2) as made:
            for batch in made:
                for index, drawn in zip(batch.indices, batch["random"], strict=True):
                    assert rows[index] == drawn


def split(fields: Any) -> Any:
    return np.frombuffer(dict(fields)["random"])


def test_the_trainers_own_random_numbers_stay_as_they_are() -> None:
    random.seed(1)
    np.random.seed(1)  # noqa: NPY002
    expected = random.random(), np.random.random()  # noqa: NPY002
    random.seed(1)
    np.random.seed(1)  # noqa: NPY002
    with loader(Draws(), num_workers=0) as made:
        next(iter(made))
        assert (random.random(), np.random.random()) == expected  # noqa: NPY002


def test_each_kind_of_value_has_its_field() -> None:
    with loader(Draws(), shuffle=False) as made:
        spec = made.spec
        batch = next(iter(made))
    kinds = {name: (field.dtype, field.shape) for name, field in spec.items()}
    assert kinds == {
        "row": ("int64", (16,)),
        "random": ("float64", ()),
        "gauss": ("float64", ()),
        "numpy": ("float32", (3,)),
        "label": ("int64", ()),
        "is_even": ("bool", ()),
        "text": ("uint8", (None,)),
        "bytes": ("uint8", (None,)),
        "object": ("uint8", (None,)),
        "list": ("int16", (None,)),
        "image": ("uint8", (None, 2, 3)),
    }
    assert batch["label"].tolist() == [0, 1, 2, 3]
    assert batch["is_even"].tolist() == [True, False, True, False]
    assert batch.text("text") == ["", "é", "éé", "ééé"]
    assert [bytes(row) for row in batch["bytes"]] == [b"", b"\0", b"\0\1", b"\0\1\2"]
    assert batch.objects("object") == [{index} for index in range(4)]
    assert [row.tolist() for row in batch["list"]] == [[], [0], [0, 1], [0, 1, 2]]
    assert batch["image"].shapes == [(1, 2, 3), (2, 2, 3), (3, 2, 3), (1, 2, 3)]
    assert np.array_equal(batch["row"], np.arange(64).reshape(4, 16))


def test_arrays_vary_in_any_axis() -> None:
    with loader(Made(lambda index: np.full((2, index % 3, 1 + index % 2, 4), index, np.int8)), shuffle=False) as made:
        assert made.spec["0"].shape == (None, None, None, 4)
        rows = [row for batch in made for row in batch["0"]]
    assert [row.shape for row in rows] == [(2, index % 3, 1 + index % 2, 4) for index in range(20)]
    assert all((row == index).all() for index, row in enumerate(rows))


def test_named_tuples_and_dataclasses_name_their_fields() -> None:
    with loader(Made(made_datasets.pair)) as made:
        assert list(made.spec) == ["image", "label"]
    with loader(Made(made_datasets.item), shuffle=False) as made:
        assert list(made.spec) == ["values", "nested.a", "nested.b.0", "nested.b.1"]
        batch = next(iter(made))
        assert batch["nested.a"].tolist() == [[0, 1], [1, 2], [2, 3], [3, 4]]
        assert batch["nested.b.1"].tolist() == [0, 1.5, 3, 4.5]


def test_fields_can_be_named() -> None:
    with loader([(np.zeros(3), at) for at in range(5)], fields=("image", "label")) as made:
        assert list(made.spec) == ["image", "label"]
    with loader(list(range(5)), fields=["number"]) as made:
        assert list(made.spec) == ["number"]
    with pytest.raises(ValueError, match="fields names 3 items"):
        loader([(1, 2)] * 4, fields=("a", "b", "c"))


def test_a_list_and_a_lambda_go_to_workers() -> None:
    assert flat(list(range(9))) == list(range(9))
    offset = 3
    assert flat(Made(lambda index: index + offset)) == list(range(3, 23))


def test_what_a_program_defines_itself_goes_to_workers() -> None:
    code = """
import numpy as np, stokehold as sh
class Own:
    def __len__(self): return 6
    def __getitem__(self, index): return helper(index)
def helper(index): return {"x": np.int32(index * 2)}
with sh.Loader(Own(), batch_size=6, num_workers=2) as loader:
    print(next(iter(loader))["x"].tolist())
"""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        timeout=PROGRAM_SECONDS,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("[0, 2, 4, 6, 8, 10]\n", "")


class Getitems:
    def __len__(self) -> int:
        return 8

    def __getitems__(self, indices: list[int]) -> list[int]:
        return [10 * index for index in indices]


def test_a_dataset_may_give_several_samples_at_once() -> None:
    assert flat(Getitems()) == [10 * index for index in range(8)]


def test_large_arrays_are_shared_and_stay_writable() -> None:
    big = np.arange(1 << 20, dtype=np.int64)

    def make(index: int) -> Any:
        big[index] += 1
        return big[index : index + 2].copy()

    rows = flat(Made(make))
    assert rows == [[index + 1, index + 1] for index in range(20)]
    assert big[0] == 0


def test_what_cannot_be_pickled_is_named(tmp_path: Path) -> None:
    dataset = Made(made_datasets.boom)
    dataset.parts = {"lock": [threading.Lock()]}  # type: ignore[attr-defined]
    with pytest.raises(TypeError, match=r"dataset\.parts\['lock'\]\[0\]: cannot pickle '_thread.lock' object"):
        loader(dataset)
    with (tmp_path / "x").open("w") as file:
        dataset = Made(lambda _: file.name)
        with pytest.raises(TypeError, match=r"dataset\.make\.file: Cannot pickle files"):
            loader(dataset)


@pytest.mark.parametrize("source", [3, None, "text", b"bytes", {"a": [1]}, iter([1]), Made])
def test_what_is_no_dataset_is_refused(source: Any) -> None:
    with pytest.raises(TypeError, match=r"Loader: source must be (an ImageFolder|a dataset that can be gone over)"):
        loader(source)


def test_options_of_datasets_are_for_datasets_alone(arrays: sh.Arrays) -> None:
    for option in ({"rng": "worker"}, {"fields": ["x"]}, {"worker_init": print}, {"start": "fork"}):
        with pytest.raises(ValueError, match=r"(is|are) for datasets (and functions )?of Python, not for Arrays"):
            sh.Loader(arrays, **option)
    with pytest.raises(ValueError, match="rng must be one of 'sample', 'worker', not 'x'"):
        loader([1], rng="x")


def test_samples_that_differ_in_what_they_are_are_refused() -> None:
    def message(samples: list[Any], workers: int = 0) -> str:
        with pytest.raises((TypeError, ValueError)) as caught:
            loader(samples, num_workers=workers)
        return str(caught.value)

    assert "sample 0 has `a`, and sample 1 has `b`" in message([{"a": 1}, {"b": 1}])
    assert "field `0` is float32 in sample 0, float64 in sample 1" in message([np.float32(1), np.float64(1)])
    assert "field `0` has 1 axes in sample 0, 2 axes in sample 1" in message([np.zeros(2), np.zeros((1, 2))])
    assert "field `0` is int in sample 0, text in sample 1" in message([1, "a"], 2)
    assert "has no samples" in message([], 2)


def test_a_sample_unlike_the_others_is_a_bad_one() -> None:
    def failure(make: Any) -> str:
        with (
            loader(Made(make), shuffle=False, num_workers=1, batch_size=20) as made,
            pytest.raises(OSError, match="sample 5") as caught,
        ):
            next(iter(made))
        return str(caught.value)

    odd = 5  # None of those that are tried.
    assert "field `0` is float64, and is int64" in failure(lambda at: np.zeros(2, float if at == odd else int))
    assert "has shape [3], and is of shape [2]" in failure(lambda at: np.zeros(3 if at == odd else 2))
    assert "field `0` is of type str, and is an int of 64 bits" in failure(lambda at: "x" if at == odd else 1)
    assert "sample has 3 items, and the samples that were tried have 2" in failure(lambda at: (1,) * (2 + (at == odd)))
    assert 'sample has no ["a"]' in failure(lambda at: {"b" if at == odd else "a": 1})


@pytest.mark.parametrize("workers", [0, 1])
def test_what_a_dtype_says_counts_and_not_which_object_it_is(workers: int) -> None:
    # An array that was pickled has a dtype of its own.
    dtypes = [np.dtype(np.int64), np.dtype(np.int64, copy=True), np.dtype(">i8"), np.dtype(np.uint64, copy=True)]
    assert dtypes[0] is not dtypes[1]

    def array(index: int) -> Any:
        return np.full(2, index, dtypes[3 if index == 5 else index % 3])

    with loader(Made(array), shuffle=False, num_workers=workers) as made:
        batches = iter(made)
        assert next(batches)["0"].tolist() == [[0, 0], [1, 1], [2, 2], [3, 3]]
        with pytest.raises(OSError, match="field `0` is uint64, and is int64"):
            next(batches)
        assert next(batches)["0"].tolist() == [[8, 8], [9, 9], [10, 10], [11, 11]]


@pytest.mark.parametrize("workers", [0, 2])
def test_an_exception_arrives_as_it_was_raised(workers: int) -> None:
    with loader(Made(made_datasets.boom), num_workers=workers, shuffle=False) as made:
        epoch = iter(made)
        next(epoch)
        with pytest.raises(LookupError, match="sample five is cursed") as caught:
            next(epoch)
        assert next(epoch)["0"].tolist() == [8, 9, 10, 11]
    notes = "\n".join(caught.value.__notes__)
    assert "sample 5 (`dataset[5]`), stage read" in notes
    assert 'raise LookupError("sample five is cursed")' in notes
    told = caught.value.stokehold_sample  # type: ignore[attr-defined]
    assert (told["index"], told["stage"], told["key"]) == (5, "read", "dataset[5]")
    assert (told["worker"] is None) == (workers == 0)


@pytest.mark.parametrize(
    ("make", "kind", "words"),
    [
        (made_datasets.own_error, made_datasets.OwnError, r"\(7, 'of my own'\)"),
        (made_datasets.stop_iteration, RuntimeError, "StopIteration"),
        (made_datasets.system_exit, RuntimeError, "SystemExit: 3"),
        (made_datasets.interrupted, RuntimeError, "KeyboardInterrupt"),
        (made_datasets.missing_file, FileNotFoundError, "/no/such/file"),
    ],
)
def test_no_exception_ends_anything_but_its_batch(make: Any, kind: type[Exception], words: str) -> None:
    with loader(Made(make), shuffle=False) as made:
        epoch = iter(made)
        next(epoch)
        with pytest.raises(kind, match=words):
            next(epoch)
        assert [batch["0"].tolist() for batch in epoch] == [[8, 9, 10, 11], [12, 13, 14, 15], [16, 17, 18, 19]]


def test_an_exception_of_a_local_class_keeps_its_name_and_base() -> None:
    class LocalError(ZeroDivisionError):
        def __init__(self, one: int, two: int) -> None:
            super().__init__(f"{one} of {two}")

    def make(index: int) -> int:
        if index == 5:
            raise LocalError(1, 2)
        return index

    with loader(Made(make)) as made, pytest.raises(ZeroDivisionError, match="1 of 2") as caught:
        list(made)
    assert type(caught.value).__name__ == "LocalError"


@pytest.mark.parametrize("policy", ["skip", "replace"])
def test_a_bad_sample_is_passed_over(policy: Any) -> None:
    with loader(Made(made_datasets.boom), num_workers=0, on_error=policy) as made:
        expected = values(made)
    with loader(Made(made_datasets.boom), on_error=policy) as made:
        assert values(made) == expected
        stats = made.stats()
    assert stats["failed_samples"] >= 1
    assert stats["quarantine"][0]["index"] == 5


@pytest.mark.parametrize("workers", [0, 1])
def test_nothing_of_a_bad_sample_is_kept(workers: int) -> None:
    assert all(flat(made_datasets.Failing(), on_error="replace", batch_size=8, num_workers=workers))


@pytest.mark.parametrize("make", [made_datasets.ends, made_datasets.killed])
def test_a_sample_that_ends_its_worker_twice_is_poison(make: Any) -> None:
    with loader(Made(make), shuffle=False) as made:
        epoch = iter(made)
        next(epoch)
        with pytest.raises(sh.WorkerError, match="it ended 2 workers") as caught:
            next(epoch)
        assert caught.value.index == 5  # type: ignore[attr-defined]
        assert len(list(epoch)) == 3


@pytest.mark.parametrize(
    "make", [made_datasets.forks, made_datasets.threads, made_datasets.moves, made_datasets.closes]
)
def test_code_may_fork_start_threads_move_and_close(make: Any) -> None:
    assert flat(Made(make)) == list(range(20))


def test_what_code_prints_is_logged_and_never_waits(caplog: pytest.LogCaptureFixture) -> None:
    with loader(Made(made_datasets.prints), shuffle=False) as made:
        assert [row for batch in made for row in batch["0"].tolist()] == list(range(20))
    assert "at 0" in caplog.text


def test_a_worker_is_told_what_it_is(tmp_path: Path) -> None:
    def init(worker: int) -> None:
        (tmp_path / f"{worker}-{os.getpid()}").touch()

    with loader(Made(made_datasets.pair), worker_init=init) as made:
        next(iter(made))
        pids = {f"{worker['worker']}-{worker['pid']}" for worker in made.stats()["workers"]}
        assert eventually(lambda: pids <= {path.name for path in tmp_path.iterdir()})
        # And the process that tried samples, as the first one.
        assert sorted(path.name[0] for path in tmp_path.iterdir()) == ["0", "0", "1"]


def test_a_loader_of_a_dataset_that_refuses_every_sample_says_why() -> None:
    def make(index: int) -> int:
        raise ArithmeticError(f"no {index}")

    for workers in (0, 2):
        with pytest.raises(ArithmeticError, match="no 0"):
            loader(Made(make), num_workers=workers)


def test_samples_are_not_tried_in_the_process_that_forks_workers() -> None:
    dataset = Made(None)

    def make(_index: int) -> int:
        # A file that is opened with the first sample, as datasets do that may not be pickled with it.
        if not hasattr(dataset, "opened"):
            dataset.opened = os.getpid()  # type: ignore[attr-defined]
        return int(dataset.opened == os.getpid())  # type: ignore[attr-defined]

    dataset.make = make
    assert set(flat(dataset)) == {1}


def test_a_dataset_that_is_read_with_workers_random_numbers_is_told_apart() -> None:
    with loader(Draws(), rng="worker", num_workers=1) as made:
        first = values(made)
    with loader(Draws(), rng="worker", num_workers=1) as made:
        assert values(made) == first


def test_a_batch_of_objects_is_pickled() -> None:
    samples = [{"x": {"deep": [at, None]}, "y": None} for at in range(4)]
    with loader(samples, shuffle=False) as made:
        batch = next(iter(made))
        assert batch.objects("x.deep.1") == [None] * 4
        with pytest.raises(TypeError, match="is no object"):
            batch.objects("x.deep.0")


def test_stuck_workers_are_reported_and_replaced(caplog: pytest.LogCaptureFixture) -> None:
    with loader(Made(made_datasets.hangs), shuffle=False, stall_timeout=0.5, on_error="skip") as made:
        rows = [row for batch in made for row in batch["0"].tolist()]
    assert rows[5] == 6
    assert "stalled" in caplog.text
    # What it was doing, as Python sees it.
    assert "in hangs" in caplog.text


def test_nothing_is_pickled_where_there_are_no_workers() -> None:
    dataset = Made(made_datasets.boom, samples=4)
    dataset.lock = threading.Lock()  # type: ignore[attr-defined]
    assert flat(dataset, num_workers=0) == [0, 1, 2, 3]


def test_signals_do_not_reach_workers() -> None:
    with loader(Draws()) as made:
        for worker in made.stats()["workers"]:
            os.kill(worker["pid"], signal.SIGINT)
        assert len(values(made)) == 11
        assert made.stats()["restarts"] == 0


def test_a_loader_of_a_dataset_is_not_pickled() -> None:
    with loader([1, 2]) as made, pytest.raises(TypeError):
        pickle.dumps(made)


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_a_longer_sample_gets_a_longer_row(workers: int) -> None:
    held = []
    with loader(Made(made_datasets.growing), shuffle=False, batch_size=2, num_workers=workers, seed=0) as made:
        for epoch in range(2):
            seen = []
            for batch in made:
                held.append(batch)
                seen += batch["at"].tolist()
            assert seen == list(range(20)), epoch
        assert made.stats()["failed_samples"] == 0
    rows = [(at, row) for batch in held for at, row in zip(batch["at"], batch["x"], strict=True)]
    for at, row in rows:
        assert np.array_equal(row, made_datasets.growing(int(at))["x"]), at


def test_a_stated_capacity_is_a_limit() -> None:
    options: dict[str, Any] = {"shuffle": False, "batch_size": 2, "capacity": {"x": 50}}
    with (
        loader(Made(made_datasets.growing), **options) as made,
        pytest.raises(sh.DecodeError, match="its capacity is 50"),
    ):
        list(made)
    with loader(Made(made_datasets.growing), on_error="skip", **options) as made:
        assert made.stats()["failed_samples"] >= 0
        assert len(list(made)) == 10


def test_rows_do_not_grow_beyond_the_limit_on_memory() -> None:
    def make(index: int) -> Any:
        return np.zeros(100_000_000 if index == 5 else index % 2, np.uint8)

    with (
        loader(Made(make), shuffle=False, memory_limit="1MiB") as made,
        pytest.raises(MemoryError, match="memory_limit"),
    ):
        list(made)


def test_rows_that_grow_between_epochs_lose_nothing() -> None:
    # The second epoch is begun in advance, and meets the long sample first.
    def make(index: int) -> Any:
        return np.arange(1000 if index == 2 else index % 2)

    with loader(Made(make, samples=6), batch_size=2) as made:
        for _ in range(6):
            seen = [(int(at), len(row)) for batch in made for at, row in zip(batch.indices, batch["0"], strict=True)]
            assert sorted(seen) == [(0, 0), (1, 1), (2, 1000), (3, 1), (4, 0), (5, 1)]


@pytest.mark.parametrize("workers", [1, 3])
def test_bytes_of_forks_of_the_trainer_are_the_same(undisturbed: list[Any], workers: int) -> None:
    with loader(Draws(), num_workers=workers, start="fork") as made:
        assert values(made, epochs=2) == undisturbed


def test_a_fork_of_the_trainer_pickles_nothing(tmp_path: Path) -> None:
    lock = threading.Lock()
    with (tmp_path / "x").open("w+") as file:
        file.write("text")
        file.flush()

        def make(_index: int) -> int:
            with lock:
                return len(os.pread(file.fileno(), 9, 0))

        assert flat(Made(make), start="fork") == [4] * 20


def test_workers_serve_their_term_and_nothing_is_lost(undisturbed: list[Any]) -> None:
    for term in ({"worker_batches": 1}, {"worker_memory_limit": 1}):
        with loader(Draws(), **term) as made:
            assert values(made, epochs=2) == undisturbed
            stats = made.stats()
        assert stats["restarts"] >= 2
        assert any("has served its term" in ending for ending in stats["endings"])
        assert stats["failed_samples"] == 0


def test_a_term_is_at_least_one() -> None:
    with pytest.raises(ValueError, match="worker_batches must be 1 or more, or None for no end, not 0"):
        loader([1, 2], worker_batches=0)


@pytest.mark.parametrize("workers", [0, 2])
def test_single_samples_have_no_axis_of_rows(workers: int) -> None:
    with loader(Made(made_datasets.pair), batch_size=None, num_workers=workers, shuffle=False) as made:
        assert len(made) == 20
        samples = list(made)
    assert [sample["label"] for sample in samples] == list(range(20))
    assert samples[3]["image"].tolist() == [[3, 3], [3, 3]]


def test_a_long_traceback_is_cut_and_the_exception_kept() -> None:
    def deep(depth: int) -> int:
        if depth:
            return deep(depth - 1) + len(
                "a line that makes the traceback long, as one of many different lines would do"
            )
        raise made_datasets.OwnError(7, "é" * 300)

    # The rows are so small that a slot has no room for it.
    made = loader(Made(lambda at: deep(90 + at) if at == 5 else at), shuffle=False)
    with made, pytest.raises(made_datasets.OwnError) as caught:
        list(made)
    assert caught.value.code == 7
    assert caught.value.stokehold_sample["index"] == 5  # type: ignore[attr-defined]


def test_pictures_of_pillow_are_transformed_as_images() -> None:
    image = pytest.importorskip("PIL.Image")

    def picture(index: int, size: tuple[int, int], mode: str = "RGB") -> Any:
        pixels = np.random.default_rng(index).integers(0, 256, (*size, 3), np.uint8)
        return image.fromarray(pixels).convert(mode)

    def same(index: int) -> Any:
        return {"image": picture(index, (8, 9))}

    with loader(Made(same), shuffle=False) as made:
        assert made.spec["image"] == sh.FieldSpec("uint8", (8, 9, 3))
        assert np.array_equal(next(iter(made))["image"][2], np.asarray(picture(2, (8, 9))))

    def sizes(index: int) -> Any:
        return {"image": picture(index, (20 + index, 30 - index)), "mask": index}

    crop = {"image": [sh.CenterCrop(10)]}
    with loader(Made(sizes), shuffle=False, transforms=crop) as made:
        assert made.spec["image"].shape == (10, 10, 3)
        top, left = (22 - 10) // 2, (28 - 10) // 2
        expected = np.asarray(picture(2, (22, 28)))[top : top + 10, left : left + 10]
        assert np.array_equal(next(iter(made))["image"][2], expected)
    with loader(Made(sizes), shuffle=False) as made:
        assert made.spec["image"].shape == (None, None, 3)
        rows = [row for batch in made for row in batch["image"]]
    assert all(np.array_equal(row, np.asarray(picture(at, (20 + at, 30 - at)))) for at, row in enumerate(rows))


@pytest.fixture
def tensors(torch: Any) -> Any:
    return torch


def test_tensors_are_fields_and_are_shared(tensors: Any) -> None:
    torch = tensors
    big = torch.arange(1 << 18, dtype=torch.float32)
    views = [big[:4], big[4:8]]

    def make(index: int) -> Any:
        # Both views are of one storage there, too.
        assert views[0].untyped_storage().data_ptr() == views[1].untyped_storage().data_ptr()
        return {
            "row": big[index : index + 3],
            "strided": big[: 2 * index + 8 : 2][:4],
            "half": torch.full((2,), index, dtype=torch.bfloat16),
            "grad": torch.ones(2, requires_grad=True) * index,
            "scalar": torch.tensor(index),
            "drawn": torch.rand(2),
        }

    with loader(Made(make), num_workers=0, output="torch") as made:
        expected = [{name: batch[name].clone() for name in batch} for batch in made]
    assert expected[0]["half"].dtype == torch.bfloat16
    for workers in (1, 3):
        with loader(Made(make), num_workers=workers, output="torch") as made:
            for batch, wanted in zip(made, expected, strict=True):
                assert all(torch.equal(batch[name], wanted[name]) for name in wanted)


def test_workers_are_told_to_pytorch(tensors: Any) -> None:
    torch = tensors

    def make(_index: int) -> Any:
        info = torch.utils.data.get_worker_info()
        return info.id, info.num_workers, len(info.dataset), info.seed, torch.get_num_threads()

    with loader(Made(make), num_workers=3, batch_size=1, seed=10) as made:
        rows = {tuple(int(batch[name][0]) for name in batch) for batch in made}
    assert rows <= {(worker, 3, 20, 10 + worker, 1) for worker in range(3)}
    assert rows


def test_a_pytorch_dataset_and_its_parts_are_sources(tensors: Any) -> None:
    data = tensors.utils.data
    whole = data.TensorDataset(tensors.arange(12).reshape(6, 2), tensors.arange(6))
    with loader(data.Subset(whole, [4, 1]), shuffle=False, output="torch") as made:
        batch = next(iter(made))
    assert batch["0"].tolist() == [[8, 9], [2, 3]]
    assert batch["1"].tolist() == [4, 1]


@pytest.mark.thorough
def test_a_large_array_is_in_memory_once() -> None:
    psutil = pytest.importorskip("psutil")
    array = np.ones((1000, 100_000), np.uint8)  # 100 MB.

    def make(index: int) -> Any:
        return array[:, index].sum()

    with loader(Made(make, samples=100), num_workers=4, batch_size=5) as made:
        list(made)
        stats = made.stats()
        pids = [stats["coordinator_pid"], *(worker["pid"] for worker in stats["workers"])]
        pss = sum(psutil.Process(pid).memory_full_info().pss for pid in pids)
    # Once, beside the interpreter and NumPy in each of five processes.
    assert pss < array.nbytes + 5 * (30 << 20)


@pytest.mark.parametrize("workers", [1, 2])
def test_bytes_of_workers_that_are_not_forked_are_the_same(undisturbed: list[Any], workers: int) -> None:
    with loader(Draws(), num_workers=workers, start="spawn") as made:
        assert values(made, epochs=2) == undisturbed


def test_workers_that_are_not_forked_are_replaced() -> None:
    with loader(Made(made_datasets.killed), start="spawn", shuffle=False, on_error="skip") as made:
        rows = [row for batch in made for row in batch["0"].tolist()]
    assert rows == [0, 1, 2, 3, 4, 6, *range(6, 20)]


def test_rows_of_workers_that_are_not_forked_grow() -> None:
    with loader(Made(made_datasets.growing), shuffle=False, start="spawn") as made:
        rows = [row for batch in made for row in batch["x"]]
    assert all(np.array_equal(row, made_datasets.growing(at)["x"]) for at, row in enumerate(rows))


@pytest.mark.parametrize("start", ["forkserver", "fork", "spawn"])
def test_what_fails_at_the_start_says_why(start: Any) -> None:
    def make(index: int) -> int:
        raise ArithmeticError(f"no {index}")

    with pytest.raises(ArithmeticError, match="no 0") as caught:
        loader(Made(make), start=start)
    assert "trying samples of the dataset" in "\n".join(caught.value.__notes__)


class StartsThreads(Made):
    def __setstate__(self, state: Any) -> None:
        self.__dict__.update(state)
        threading.Thread(target=threading.Event().wait, daemon=True).start()


def test_a_dataset_that_starts_threads_is_opened_in_each_worker(caplog: pytest.LogCaptureFixture) -> None:
    assert flat(StartsThreads(made_datasets.stays)) == list(range(20))
    assert "opening the loader's code started 1 threads" in caplog.text


@pytest.mark.parametrize("workers", [0, 2])
def test_threads_of_one_interpreter_are_refused(workers: int) -> None:
    with pytest.raises(ValueError, match="threads_per_worker must be 1, not 3"):
        loader(Draws(), num_workers=workers, threads_per_worker=3)


def test_a_batch_that_cannot_be_made_for_memory_ends_the_pool() -> None:
    def make(index: int) -> Any:
        return np.zeros(100_000_000 if index == 5 else index % 2, np.uint8)

    with loader(Made(make), shuffle=False, memory_limit="1MiB") as made:
        epoch = iter(made)
        with pytest.raises(MemoryError):
            list(epoch)
        with pytest.raises(sh.WorkerError, match="memory_limit"):
            next(epoch)


def test_importing_the_package_imports_no_more_than_before() -> None:
    code = (
        "import sys, stokehold; print([name for name in ('cloudpickle', 'subprocess', 'torch') if name in sys.modules])"
    )
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            f"import numpy\nimport sys\nbefore = set(sys.modules)\n{code}\nprint(before & {{'subprocess'}})",
        ],
        capture_output=True,
        text=True,
        timeout=PROGRAM_SECONDS,
        check=True,
    )
    imported, before = done.stdout.splitlines()
    assert "cloudpickle" not in imported
    assert "torch" not in imported
    assert ("subprocess" in imported) <= ("subprocess" in before)


@pytest.mark.parametrize("start", ["forkserver", "fork", "spawn"])
def test_nothing_outlives_a_killed_trainer(start: str) -> None:
    code = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
import made_datasets
pool = sh.Loader(made_datasets.Made(made_datasets.stays), batch_size=2, num_workers=2, start={start!r})
next(iter(pool))
say(json.dumps(pids(pool)))
time.sleep(1000)
"""
    with trainer(code) as process:
        assert process.stdout is not None
        pids = json.loads(process.stdout.readline())
        assert len(pids) == 3
        assert all(map(is_running, pids))
        process.kill()
        process.wait()
        assert eventually(lambda: not any(map(is_running, pids)))


def test_stopped_workers_are_replaced(undisturbed: list[Any]) -> None:
    with loader(Draws(), stall_timeout=1.0) as made:
        assert len(list(made)) == 11
        # All of them: one alone may have nothing to do.
        for worker in made.stats()["workers"]:
            os.kill(worker["pid"], signal.SIGSTOP)
        assert values(made) == undisturbed[11:]
        assert made.stats()["restarts"] >= 1


def test_a_killed_coordinator_ends_the_pool_and_its_workers() -> None:
    with loader(Draws()) as made:
        pids = pool_pids(made)
        batch = next(iter(made))
        os.kill(pids[0], signal.SIGKILL)
        with pytest.raises(sh.WorkerError, match="the coordinator killed by signal 9"):
            list(made)
        assert eventually(lambda: not any(map(is_running, pids)))
        assert batch["label"].shape == (4,)
