"""`stokehold.torch`'s loaders with another number of workers or ranks: while they run, and after a resumption."""

from __future__ import annotations

import itertools
import os
import random
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("torchdata.stateful_dataloader")

from torch.utils.data import DataLoader as TorchLoader
from torch.utils.data import Dataset, IterableDataset, get_worker_info
from torch.utils.data import DistributedSampler as TorchDistributedSampler

import stokehold as sh
import stokehold.torch
from stokehold.torch import DataLoader, StatefulDataLoader
from stokehold.torch.elastic import Idlest
from support import eventually, is_running

pytestmark = [
    pytest.mark.usefixtures("torch_started"),
    pytest.mark.filterwarnings("ignore:'set_vital' is deprecated"),
    pytest.mark.filterwarnings("ignore:This DataLoader will create"),
]

KINDS = ["DataLoader", "StatefulDataLoader"]
COUNTS = [0, 1, 2, 4]


class Drawn(Dataset[Any]):
    """An index, and numbers of three generators; a worker is killed at some samples, each time once."""

    def __init__(self, once: Path | None = None, size: int = 60) -> None:
        self.once = once
        self.size = size

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> Any:
        if self.once is not None and index in {13, 41} and (mark := self.once / str(index)).exists():
            mark.unlink()
            os.kill(os.getpid(), signal.SIGKILL)
        drawn = [random.random(), random.gauss(0, 1), np.random.rand(), np.random.randn()]
        return torch.tensor([index, *drawn, torch.rand(()).item(), torch.randn(()).item()], dtype=torch.float64)


class Seated(Drawn):
    """Also who has made it, and how many workers that knows of."""

    def __getitem__(self, index: int) -> Any:
        worker = get_worker_info()
        return super().__getitem__(index), worker.id, worker.num_workers, os.getpid()


def loader(kind: str, dataset: Any = None, batch_size: int = 5, **options: Any) -> Any:
    return getattr(stokehold.torch, kind)(dataset or Drawn(), batch_size, **{"rng": "sample", "seed": 7} | options)


def pool(epochs: int = 1, **options: Any) -> list[Any]:
    """The same samples by `stokehold.Loader`."""
    with sh.Loader(Drawn(), batch_size=5, seed=7, num_workers=0, **options) as made:
        return [[batch["0"].tolist() for batch in made] for _ in range(epochs)]


@pytest.fixture(scope="module")
def right() -> list[Any]:
    return pool(epochs=3)


@pytest.mark.parametrize("persistent", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_samples_draw_what_the_pools_draw(kind: str, persistent: bool, right: list[Any]) -> None:
    for workers in COUNTS:
        made = loader(kind, num_workers=workers, persistent_workers=persistent and workers > 0)
        found = [[batch.tolist() for batch in made] for _ in range(2)]
        assert found == right[:2]
        made.set_epoch(1)
        assert [batch.tolist() for batch in made] == right[1]
        assert [batch.tolist() for batch in made] == right[2]


def test_without_a_seed_samples_follow_from_what_pytorch_draws() -> None:
    found = []
    for workers in COUNTS:
        iterator = iter(loader("DataLoader", num_workers=workers, seed=None, generator=torch.manual_seed(3)))
        base = iterator._base_seed
        found.append([batch.tolist() for batch in iterator])
    with sh.Loader(Drawn(), batch_size=5, seed=base, num_workers=0) as made:
        assert found == [[batch["0"].tolist() for batch in made]] * len(COUNTS)


@pytest.mark.parametrize("seed", [None, 7])
@pytest.mark.parametrize("before", COUNTS)
def test_an_epoch_goes_on_with_any_number_of_workers(before: int, seed: int | None) -> None:
    torch.manual_seed(3)
    options: dict[str, Any] = {"seed": seed, "shuffle": True, "snapshot_every_n_steps": 3}
    first = loader("StatefulDataLoader", num_workers=before, persistent_workers=before == 2, **options)
    assert len(list(first)) == 12
    iterator = iter(first)
    for _ in range(5):
        next(iterator)
    state = first.state_dict()
    rest = [batch.tolist() for batch in iterator]
    for after in COUNTS:
        torch.manual_seed(9)
        other = loader("StatefulDataLoader", num_workers=after, **options)
        other.load_state_dict(state)
        assert [batch.tolist() for batch in other] == rest
        # The epoch after it is a whole one.
        assert len({row[0] for batch in other for row in batch.tolist()}) == 60


@pytest.mark.parametrize("before", COUNTS)
def test_states_of_pytorchs_random_numbers_go_on_too(before: int) -> None:
    first: Any = StatefulDataLoader(range(60), 5, num_workers=before, shuffle=True)
    iterator = iter(first)
    for _ in range(5):
        next(iterator)
    state = first.state_dict()
    assert "_stokehold_key" not in state
    rest = [batch.tolist() for batch in iterator]
    for after in COUNTS:
        other: Any = StatefulDataLoader(range(60), 5, num_workers=after, shuffle=True)
        other.load_state_dict(state)
        assert [batch.tolist() for batch in other] == rest


def test_a_state_of_another_seed_is_refused() -> None:
    state = loader("StatefulDataLoader").state_dict()
    with pytest.raises(ValueError, match="a state was taken with seed=7, and the loader has seed=8"):
        loader("StatefulDataLoader", seed=8).load_state_dict(state)
    with pytest.raises(ValueError, match="a state was taken with seed=7, and the loader has seed=None"):
        loader("StatefulDataLoader", seed=None).load_state_dict(state)


CHANGES = [
    [(0, 3)],
    [(1, 1)],
    [(2, 4), (5, 1), (8, 2)],
    [(0, 1), (1, 4), (2, 1), (3, 4)],
    [(11, 3)],
    [(12, 1)],
]
"""After so many batches, so many workers."""


@pytest.mark.parametrize("persistent", [False, True])
@pytest.mark.parametrize("changes", CHANGES, ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_the_number_of_workers_changes_nothing_that_comes(
    kind: str, changes: list[Any], persistent: bool, right: list[Any], tmp_path: Path
) -> None:
    for index in (13, 41):
        (tmp_path / str(index)).touch()
    made = loader(kind, Drawn(tmp_path), num_workers=2, persistent_workers=persistent)
    for epoch in range(2):
        iterator, found = iter(made), []
        for step in range(13):
            for at, workers in changes:
                if at == step:
                    made.set_num_workers(workers)
                    assert made.num_workers == workers
            found += [batch.tolist() for batch in itertools.islice(iterator, 1)]
        assert found == right[epoch]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("method", ["forkserver", "spawn"])
def test_workers_that_are_not_forked_can_be_added(method: str, right: list[Any]) -> None:
    made = loader("DataLoader", num_workers=1, multiprocessing_context=method)
    iterator = iter(made)
    found = [next(iterator).tolist()]
    made.set_num_workers(2)
    found += [batch.tolist() for batch in iterator]
    assert found == right[0]


def test_workers_come_and_go() -> None:
    made = loader("DataLoader", Seated(size=400), num_workers=1, persistent_workers=True)
    iterator = iter(made)
    made.set_num_workers(3)
    # The tasks that the first one had are done by it.
    batches = list(itertools.islice(iterator, 60))
    assert {int(seat) for _, seats, _, _ in batches for seat in seats} == {0, 1, 2}
    assert {int(count) for _, _, counts, _ in batches[10:] for count in counts} == {3}
    pids = {int(pid) for *_, own in batches for pid in own}
    assert len(pids) == 3
    made.set_num_workers(1)
    last = list(iterator)[-1]
    assert last[1].unique().tolist() == [0]
    assert last[2].unique().tolist() == [1]
    assert eventually(lambda: sum(map(is_running, pids)) == 1)
    assert {int(seat) for _, seats, _, _ in made for seat in seats} == {0}


def test_an_end_that_is_heard_of_late_is_nobody_elses(right: list[Any]) -> None:
    made = loader("DataLoader", num_workers=3, persistent_workers=True)
    iterator = iter(made)
    made.set_num_workers(1)
    assert [batch.tolist() for batch in iterator] == right[0]
    for channel in iterator._pool.results.channels[1:]:
        iterator._pool.results._gone(channel)
    assert [batch.tolist() for batch in made] == right[1]


def test_a_worker_begins_with_what_the_first_ones_began_with() -> None:
    dataset = Drawn(size=200)
    made = loader("DataLoader", Marked(dataset), num_workers=1)
    iterator = iter(made)
    made.dataset.mark = 1
    made.set_num_workers(3)
    assert {mark for marks in iterator for mark in marks.tolist()} == {0}


class Marked(Dataset[int]):
    def __init__(self, dataset: Drawn) -> None:
        self.dataset = dataset
        self.mark = 0

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> int:
        return self.mark


class Stream(IterableDataset[int]):
    def __iter__(self) -> Any:
        yield from range(20)


class Stateful(Drawn):
    """Has a state in each worker."""

    def state_dict(self) -> dict[str, Any]:
        return {"at": 1}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """There is nothing to load."""


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"rng": "worker", "seed": None}, "with rng='worker', what a sample draws depends on its worker's seed"),
        ({"in_order": False}, "with in_order=False"),
        ({"on_worker_death": "raise"}, "with on_worker_death='raise' nothing is kept"),
        ({"dataset": Stream(), "rng": "worker", "seed": None}, "each worker of an iterable dataset has a part of it"),
        ({"num_workers": 0}, "num_workers can become 3 from 0 in a new loader only"),
    ],
)
def test_a_change_that_could_change_what_comes_is_refused(options: dict[str, Any], said: str) -> None:
    made = loader("DataLoader", **{"num_workers": 1} | options)
    iterator = iter(made)
    with pytest.raises(ValueError, match=said):
        made.set_num_workers(3)
    assert made.num_workers == options.get("num_workers", 1)
    next(iterator)


def test_numbers_that_are_none_are_refused() -> None:
    made = loader("DataLoader", num_workers=1)
    with pytest.raises(ValueError, match="num_workers can become 0 from 1 in a new loader only"):
        made.set_num_workers(0)
    with pytest.raises(TypeError, match="num_workers must be an integer, not '2'"):
        made.set_num_workers("2")
    with pytest.raises(ValueError, match="epoch must be 0 to"):
        made.set_epoch(-1)


def test_a_dataset_with_a_state_in_each_worker_keeps_its_workers() -> None:
    made = loader("StatefulDataLoader", Stateful(), num_workers=2)
    iterator = iter(made)
    with pytest.raises(ValueError, match="the dataset has a state in each worker"):
        made.set_num_workers(3)
    assert len(list(iterator)) == 12


def test_a_state_after_a_change_can_be_loaded() -> None:
    made = loader("StatefulDataLoader", num_workers=2)
    iterator = iter(made)
    next(iterator)
    made.set_num_workers(3)
    next(iterator)
    state = made.state_dict()
    rest = [batch.tolist() for batch in iterator]
    assert len(rest) == 10
    for workers in (*COUNTS, 3):
        other = loader("StatefulDataLoader", num_workers=workers)
        other.load_state_dict(state)
        assert [batch.tolist() for batch in other] == rest


def test_batches_in_any_order_are_all_there() -> None:
    made = loader("DataLoader", num_workers=3, in_order=False)
    for _ in range(3):
        assert sorted(row[0] for batch in made for row in batch.tolist()) == list(range(60))
    # A worker that has the fewest tasks and is not to get one would make PyTorch pass a batch over.
    assert not isinstance(iter(made)._turns, Idlest)


def shared(kind: str, rank: int, world_size: int, **options: Any) -> Any:
    given: dict[str, Any] = {"rng": "worker", "seed": None, "rank": rank, "world_size": world_size, "shuffle": True}
    return loader(kind, **given | options)


@pytest.mark.parametrize("drop_last", [False, True])
@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("parts", [(60, 1, 0), (59, 4, 0), (31, 2, 2), (3, 4, 0), (1, 2, 0)], ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_ranks_read_what_pytorchs_sampler_gives_them(
    kind: str, parts: tuple[int, int, int], shuffle: bool, drop_last: bool
) -> None:
    size, world_size, workers = parts
    data = list(range(size))
    for rank in range(world_size):
        sampler: Any = TorchDistributedSampler(data, world_size, rank, shuffle, 3, drop_last)
        theirs: Any = TorchLoader(data, 5, sampler=sampler, drop_last=drop_last)
        options: dict[str, Any] = {"shuffle": shuffle, "drop_last": drop_last, "rng": "sample", "seed": 3}
        ours = shared(kind, rank, world_size, dataset=data, num_workers=workers, **options)
        assert len(ours) == len(theirs)
        for epoch in (0, 1, 5):
            sampler.set_epoch(epoch)
            if epoch == 5:
                ours.set_epoch(5)
            assert [batch.tolist() for batch in ours] == [batch.tolist() for batch in theirs]


@pytest.mark.parametrize("drop_last", [False, True])
def test_ranks_share_an_epoch_as_those_of_the_pool_do(drop_last: bool) -> None:
    for rank in range(3):
        options: dict[str, Any] = {"batch_size": 4, "drop_last": drop_last, "rank": rank, "world_size": 3}
        with sh.Loader(Drawn(size=31), num_workers=0, seed=7, **options) as made:
            expected = [batch["0"].tolist() for batch in made]
        ours = loader("DataLoader", Drawn(size=31), num_workers=2, **options)
        assert [batch.tolist() for batch in ours] == expected


@pytest.mark.parametrize("workers", [0, 2])
def test_the_rest_of_an_epoch_is_shared_among_other_ranks(workers: int) -> None:
    options: dict[str, Any] = {"rng": "sample", "seed": 7, "num_workers": workers}
    first = [shared("StatefulDataLoader", rank, 2, **options) for rank in range(2)]
    for made in first:
        list(made)
    iterators = [iter(made) for made in first]
    read = [row for iterator in iterators for _ in range(2) for row in next(iterator).tolist()]
    state = first[1].state_dict()
    whole = {row[0]: row for batch in pool(epochs=2)[1] for row in batch}
    others = [shared("StatefulDataLoader", rank, 4, **options | {"num_workers": 1}) for rank in range(4)]
    for made in others:
        made.load_state_dict(state)
    rest = [row for made in others for batch in made for row in batch.tolist()]
    assert sorted(read + rest) == [whole[float(index)] for index in range(60)]
    # The next epoch is the one after it.
    again = [row for made in others for batch in made for row in batch.tolist()]
    assert sorted(again) == sorted(row for batch in pool(epochs=3)[2] for row in batch)


def test_a_loader_that_is_built_anew_goes_on_counting() -> None:
    first = shared("DataLoader", 0, 2)
    orders = [[row[0] for batch in first for row in batch.tolist()] for _ in range(3)]
    built: Any = DataLoader(first.dataset, 5, sampler=first.sampler)
    built.set_epoch(1)
    assert [[row[0] for batch in built for row in batch.tolist()] for _ in range(2)] == orders[1:]
    first.sampler.set_epoch(0)
    assert [row[0] for batch in first for row in batch.tolist()] == orders[0]


def test_ranks_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "3")
    assert next(iter(DataLoader(range(9), 3))).tolist() == [0, 1, 2]
    assert next(iter(DataLoader(range(9), 3, world_size=3))).tolist() == [1, 4, 7]
    assert next(iter(DataLoader(range(9), 3, rank=2))).tolist() == [2, 5, 8]


def test_set_epoch_reaches_samplers_of_others() -> None:
    sampler: Any = TorchDistributedSampler(range(20), 2, 0)
    made: Any = DataLoader(range(20), 5, sampler=sampler)
    made.set_epoch(4)
    assert sampler.epoch == 4


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"rank": 0, "sampler": [1]}, "leave the sampler out, or leave them out and share the samples by it"),
        ({"world_size": 2, "batch_sampler": [[1]], "batch_size": 1}, "leave the sampler out"),
        ({"rank": 0, "dataset": Stream()}, "need a map-style dataset, not Stream"),
        ({"rank": 2, "world_size": 2}, "rank must be 0 to 1 with world_size=2, not 2"),
        ({"rank": 1}, "rank=1 needs world_size= as well, or the environment's WORLD_SIZE"),
        # Every trainer would be the first one, and the rest of the samples nobody's.
        ({"world_size": 2}, "world_size=2 needs rank= as well, or the environment's RANK"),
        ({"rank": 0, "world_size": 0}, "world_size must be 1 or more, not 0"),
        ({"seed": 1}, "seed=1 is for rng='sample' and for ranks"),
        ({"seed": -1, "rank": 0}, r"seed must be 0 to 2\*\*64 - 1, or None, not -1"),
    ],
)
def test_what_cannot_be_shared_is_refused(kind: str, options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        getattr(stokehold.torch, kind)(**{"dataset": range(10)} | options)
