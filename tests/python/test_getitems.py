"""Datasets of Python that give the samples of a run at once."""

from __future__ import annotations

import os
from typing import Any

import pytest

import stokehold as sh


class Runs:
    """Samples that tell with how many others they were made; -1 for one that was asked for by itself."""

    def __init__(self, samples: int = 32) -> None:
        self.samples = samples

    def __len__(self) -> int:
        return self.samples

    def __getitem__(self, index: int) -> tuple[int, int]:
        return index, -1

    def __getitems__(self, indices: list[int]) -> list[tuple[int, int]]:
        return [(index, len(indices)) for index in indices]


class Faulty(Runs):
    """One sample, number 5, that cannot be made."""

    def __init__(self, fault: Any) -> None:
        super().__init__()
        self.fault = fault

    def __getitem__(self, index: int) -> tuple[int, int]:
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: list[int]) -> list[tuple[int, int]]:
        if 5 in indices:
            self.fault()
        return super().__getitems__(indices)


class Short(Runs):
    def __getitems__(self, indices: list[int]) -> list[tuple[int, int]]:
        return super().__getitems__(indices)[: len(indices) - (len(indices) > 1)]


def refuse() -> None:
    raise KeyError("five")


def loader(dataset: Any, **options: Any) -> sh.Loader:
    given: dict[str, Any] = {"batch_size": 8, "num_workers": 2, "rng": "worker", "fields": ("index", "beside")}
    return sh.Loader(dataset, **given | options)


def read(dataset: Any, **options: Any) -> list[tuple[list[int], list[int]]]:
    with loader(dataset, **options) as made:
        return [(batch["index"].tolist(), batch["beside"].tolist()) for batch in made]


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_samples_of_a_run_are_made_by_one_call(workers: int) -> None:
    found = read(Runs(), num_workers=workers)
    assert [index for indices, _ in found for index in indices] == list(range(32))
    assert all(beside > 0 for _, counts in found for beside in counts)
    if not workers:
        assert {beside for _, counts in found for beside in counts} == {8}, "a run is a whole batch"


@pytest.mark.parametrize("workers", [0, 2])
def test_samples_with_random_numbers_of_their_own_are_made_one_by_one(workers: int) -> None:
    found = read(Runs(), num_workers=workers, rng="sample")
    assert {beside for _, counts in found for beside in counts} == {-1}


@pytest.mark.parametrize("workers", [0, 2])
def test_of_a_run_that_raises_the_sample_to_blame_is_named(workers: int) -> None:
    with loader(Faulty(refuse), num_workers=workers) as made:
        batches = iter(made)
        with pytest.raises(KeyError) as raised:
            next(batches)
        assert raised.value.stokehold_sample["index"] == 5  # type: ignore[attr-defined]
        assert [batch["index"].tolist() for batch in batches] == [list(range(8 * at, 8 * at + 8)) for at in (1, 2, 3)]
    skipped = read(Faulty(refuse), num_workers=workers, on_error="skip")
    assert skipped[0][0] == [0, 1, 2, 3, 4, 6, 6, 7]


@pytest.mark.parametrize("workers", [0, 2])
def test_a_run_of_too_few_samples_is_an_error(workers: int) -> None:
    message = r"__getitems__ gave . samples for . indices"
    with loader(Short(), num_workers=workers) as made, pytest.raises(OSError, match=message):
        next(iter(made))


def test_of_a_run_that_ends_its_worker_the_sample_to_blame_is_named() -> None:
    with loader(Faulty(lambda: os._exit(3)), num_workers=1) as made:
        with pytest.raises(sh.WorkerError, match=r"sample 5 .*ended 2 workers"):
            next(iter(made))
        assert made.stats()["restarts"] == 2, "one for the run, one for the sample"
