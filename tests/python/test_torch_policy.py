"""What `stokehold.torch.DataLoader` offers beyond PyTorch: random numbers of each sample, and bad samples left out."""

from __future__ import annotations

import os
import random
import signal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch.utils.data import Dataset, IterableDataset

import stokehold.torch
from stokehold.torch import DataLoader
from stokehold.torch.elastic import Idlest

pytestmark = [
    pytest.mark.usefixtures("torch_started"),
    pytest.mark.filterwarnings("ignore:'set_vital' is deprecated"),
    pytest.mark.filterwarnings("ignore:This DataLoader will create"),
]

KINDS = ["DataLoader", "StatefulDataLoader"]


class Drawn(Dataset[Any]):
    """Numbers of three generators, and an index; a worker may be killed once."""

    def __init__(self, once: Path | None = None) -> None:
        self.once = once

    def __len__(self) -> int:
        return 24

    def __getitem__(self, index: int) -> Any:
        if index == 13 and self.once is not None and self.once.exists():
            self.once.unlink()
            os.kill(os.getpid(), signal.SIGKILL)
        drawn = [random.random(), random.gauss(0, 1), np.random.rand(), np.random.randn()]
        return torch.tensor([index, *drawn, torch.rand(()).item(), torch.randn(()).item()], dtype=torch.float64)


def epochs(kind: str, workers: int, dataset: Any = None, count: int = 2, **options: Any) -> list[Any]:
    torch.manual_seed(5)
    loader = getattr(stokehold.torch, kind)(dataset or Drawn(), 5, num_workers=workers, rng="sample", **options)
    return [[batch.tolist() for batch in loader] for _ in range(count)]


@pytest.mark.parametrize("kind", KINDS)
def test_random_numbers_of_a_sample_depend_on_no_worker(kind: str, tmp_path: Path) -> None:
    right = epochs(kind, 0)
    rows = [row for batch in right[0] for row in batch]
    assert [row[0] for row in rows] == list(range(24))
    assert len({tuple(row[1:]) for row in rows}) == 24
    assert right[0] != right[1]
    for workers in (1, 3):
        assert epochs(kind, workers) == right
    once = tmp_path / "once"
    once.touch()
    assert epochs(kind, 2, Drawn(once)) == right
    assert not once.exists()


def test_each_epoch_of_persistent_workers_has_numbers_of_its_own() -> None:
    found = epochs("DataLoader", 1, count=3, persistent_workers=True)
    assert epochs("DataLoader", 3, count=3, persistent_workers=True) == found
    assert found[0] != found[1] != found[2]


def test_a_resumed_epoch_goes_on_with_the_same_numbers() -> None:
    right = epochs("StatefulDataLoader", 2, count=1)[0]
    torch.manual_seed(5)
    loader: Any = stokehold.torch.StatefulDataLoader(Drawn(), 5, num_workers=2, rng="sample")
    iterator = iter(loader)
    found = [next(iterator).tolist() for _ in range(2)]
    state = loader.state_dict()
    torch.manual_seed(6)
    for workers in (2, 3):
        other: Any = stokehold.torch.StatefulDataLoader(Drawn(), 5, num_workers=workers, rng="sample")
        other.load_state_dict(state)
        assert found + [batch.tolist() for batch in other] == right


def states() -> Any:
    return random.getstate(), str(np.random.get_state()), torch.get_rng_state().tolist()


def test_the_trainers_own_numbers_stay_as_they_are() -> None:
    loader: Any = DataLoader(Drawn(), 5, rng="sample")
    iterator = iter(loader)
    before = states()
    list(iterator)
    assert states() == before


def test_a_task_goes_to_the_worker_that_has_the_fewest() -> None:
    counts = [3, 1, 1, 0]
    queues = [SimpleNamespace(sent=[None] * count) for count in counts]
    turns = Idlest([True, True, True, False], queues, set())
    found = []
    for _ in range(7):
        seat = next(turns)
        queues[seat].sent.append(None)
        found.append(seat)
    assert found == [1, 2, 1, 2, 0, 1, 2]


class Broken(Dataset[Any]):
    """Some of its samples cannot be read."""

    def __init__(self, bad: set[int], shape: tuple[int, ...] = (3,)) -> None:
        self.bad = bad
        self.shape = shape

    def __len__(self) -> int:
        return 20

    def __getitem__(self, index: int) -> Any:
        if index in self.bad:
            raise OSError(f"no record {index}")
        return np.full(self.shape, index, np.float32)


@pytest.mark.parametrize("shape", [(3,), (100, 100)])
@pytest.mark.parametrize("workers", [0, 1, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_bad_samples_are_left_out(
    kind: str, workers: int, shape: tuple[int, ...], caplog: pytest.LogCaptureFixture
) -> None:
    loader = getattr(stokehold.torch, kind)(Broken({0, 6, 7}, shape), 5, num_workers=workers, on_error="skip")
    for _ in range(2):
        found = [batch.flatten(1)[:, -1].tolist() for batch in loader]
        assert found == [[1, 2, 3, 4], [5, 8, 9], [10, 11, 12, 13, 14], [15, 16, 17, 18, 19]]
    assert loader.bad_samples == {index: f"OSError: no record {index}" for index in (0, 6, 7)}
    assert len([record for record in caplog.records if record.name == "stokehold"]) == 3


@pytest.mark.parametrize("shape", [(3,), (100, 100)])
@pytest.mark.parametrize("kind", KINDS)
def test_bad_samples_are_replaced_by_others_of_their_batch(kind: str, shape: tuple[int, ...]) -> None:
    found = []
    for workers in (0, 2, 3):
        torch.manual_seed(1)
        loader = getattr(stokehold.torch, kind)(Broken({0, 6, 7}, shape), 5, num_workers=workers, on_error="replace")
        found.append([batch.flatten(1)[:, -1].tolist() for batch in loader])
        assert set(loader.bad_samples) == {0, 6, 7}
    assert found[0] == found[1] == found[2]
    for at, batch in enumerate(found[0]):
        own = set(range(5 * at, 5 * at + 5)) - {0, 6, 7}
        assert len(batch) == 5
        assert own == set(batch)


@pytest.mark.parametrize("on_error", ["skip", "replace"])
@pytest.mark.parametrize("workers", [0, 2])
def test_a_batch_of_which_nothing_is_left_raises(on_error: Any, workers: int) -> None:
    iterator = iter(DataLoader(Broken({5, 6, 7, 8, 9}), 5, num_workers=workers, on_error=on_error))
    assert next(iterator)[:, 0].tolist() == [0, 1, 2, 3, 4]
    with pytest.raises(OSError, match="no record"):
        next(iterator)
    assert next(iterator)[:, 0].tolist() == [10, 11, 12, 13, 14]


class Stream(IterableDataset[int]):
    def __iter__(self) -> Any:
        yield 1


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"rng": "batch"}, "rng must be one of 'worker', 'sample', not 'batch'"),
        ({"on_error": None}, "on_error must be one of 'raise', 'skip', 'replace', not None"),
        ({"on_error": "skip", "batch_size": None}, "on_error='skip' needs batches"),
        ({"rng": "sample", "dataset": Stream()}, "need a map-style dataset"),
        ({"on_error": "replace", "dataset": Stream()}, "need a map-style dataset"),
    ],
)
def test_what_cannot_be_is_refused(kind: str, arguments: dict[str, Any], said: str) -> None:
    with pytest.raises((TypeError, ValueError), match=said):
        getattr(stokehold.torch, kind)(**{"dataset": range(3), **arguments})
