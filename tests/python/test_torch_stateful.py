"""`stokehold.torch.StatefulDataLoader` beside torchdata's: the same states, which either of them can load."""

from __future__ import annotations

import copy
import itertools
import json
import os
import random
import signal
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("torchdata.stateful_dataloader")

from torch.utils.data import BatchSampler, Dataset, IterableDataset, Sampler, get_worker_info
from torchdata.stateful_dataloader import StatefulDataLoader as TorchdataLoader

from stokehold.torch import DistributedSampler, StatefulDataLoader

pytestmark = [
    pytest.mark.usefixtures("torch_started"),
    pytest.mark.filterwarnings("ignore:'set_vital' is deprecated"),  # torchdata still calls it.
]

ROWS = 30
LOADERS = (TorchdataLoader, StatefulDataLoader)


class Map(Dataset[Any]):
    def __len__(self) -> int:
        return ROWS

    def __getitem__(self, index: int) -> Any:
        return {"index": index, "tensor": torch.full((3,), index)}


class Counted(Map):
    """A map-style dataset with a state of its own in each worker."""

    def __init__(self) -> None:
        self.calls = 0

    def __getitem__(self, index: int) -> Any:
        self.calls += 1
        return {"index": index, "calls": self.calls}

    def state_dict(self) -> dict[str, Any]:
        return {"calls": self.calls}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.calls = state["calls"]


class Stream(IterableDataset[Any]):
    """A stream that knows how far each worker is."""

    def __init__(self) -> None:
        self.at = 0

    def __iter__(self) -> Any:
        worker = get_worker_info()
        first, step = (worker.id, worker.num_workers) if worker else (0, 1)
        first += self.at * step
        for index in range(first, ROWS, step):
            self.at += 1
            yield {"index": index}
        self.at = 0

    def state_dict(self) -> dict[str, Any]:
        return {"at": self.at}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.at = state["at"]


class Plain(IterableDataset[Any]):
    def __iter__(self) -> Any:
        worker = get_worker_info()
        yield from ({"index": index} for index in range(worker.id if worker else 0, ROWS, 2))


class Walk:
    """An iterator with a state, of uneven length."""

    def __init__(self) -> None:
        worker = get_worker_info()
        first, step = (worker.id, worker.num_workers) if worker else (0, 1)
        self.left = [index for index in range(ROWS) if index // 7 % step == first]
        self.draws = random.Random(first)

    def __iter__(self) -> Any:
        return self

    def __next__(self) -> Any:
        if not self.left:
            raise StopIteration
        return {"index": self.left.pop(0), "drawn": self.draws.random()}

    def state_dict(self) -> dict[str, Any]:
        return {"left": list(self.left), "draws": self.draws.getstate()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.left = list(state["left"])
        self.draws.setstate(state["draws"])


class Walked(IterableDataset[Any]):
    def __iter__(self) -> Any:
        return Walk()


class Itself(IterableDataset[Any]):
    """Is its own iterator, and has a state."""

    def __init__(self) -> None:
        self.at = 0

    def __iter__(self) -> Any:
        return self

    def __next__(self) -> Any:
        worker = get_worker_info()
        first, step = (worker.id, worker.num_workers) if worker else (0, 1)
        index = self.at * step + first
        if index >= ROWS:
            self.at = 0
            raise StopIteration
        self.at += 1
        return {"index": index}

    def state_dict(self) -> dict[str, Any]:
        return {"at": self.at}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.at = state["at"]


class Sevens(Sampler[int]):
    """A sampler with a state."""

    def __init__(self) -> None:
        self.at = 0

    def __len__(self) -> int:
        return ROWS

    def __iter__(self) -> Any:
        while self.at < ROWS:
            self.at += 1
            yield self.at * 7 % ROWS
        self.at = 0

    def state_dict(self) -> dict[str, Any]:
        return {"at": self.at}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.at = state["at"]


def indices(batches: Any) -> list[list[int]]:
    return [batch["index"].tolist() for batch in batches]


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("dataset", [Map, Counted, Stream, Plain, Walked, Itself])
@pytest.mark.parametrize("every", [1, 3])
@pytest.mark.parametrize("shuffle", [False, True])
def test_states_are_torchdatas(dataset: Any, workers: int, every: int, shuffle: bool) -> None:
    if shuffle and issubclass(dataset, IterableDataset):
        pytest.skip("a stream is not shuffled")
    options: dict[str, Any] = {"batch_size": 2, "num_workers": workers, "snapshot_every_n_steps": every}
    if shuffle:
        options["shuffle"] = True
    states, rests, further = [], [], []
    for loader in LOADERS:
        torch.manual_seed(3)
        made = loader(dataset(), **options)
        iterator = iter(made)
        list(itertools.islice(iterator, 5))
        states.append(copy.deepcopy(made.state_dict()))
        rests.append(indices(iterator))
        further.append(indices(made))
    assert repr(states[0]) == repr(states[1])
    assert rests[0] == rests[1]
    assert further[0] == further[1]
    for loader, state in itertools.product(LOADERS, states):
        torch.manual_seed(4)
        resumed = loader(dataset(), **options)
        resumed.load_state_dict(copy.deepcopy(state))
        assert indices(resumed) == rests[0]


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("persistent", [False, True])
@pytest.mark.parametrize("batched", [False, True])
def test_states_of_samplers_are_torchdatas(workers: int, persistent: bool, batched: bool) -> None:
    def made(loader: Any) -> Any:
        given: dict[str, Any] = {"sampler": Sevens(), "batch_size": 4}
        if batched:
            given = {"batch_sampler": BatchSampler(Sevens(), 4, drop_last=False)}
        return loader(Map(), num_workers=workers, persistent_workers=persistent and workers > 0, **given)

    results = []
    for loader in LOADERS:
        torch.manual_seed(3)
        one = made(loader)
        iterator = iter(one)
        seen = indices(itertools.islice(iterator, 3))
        state = copy.deepcopy(one.state_dict())
        seen += indices(iterator)
        other = made(loader)
        other.load_state_dict(copy.deepcopy(state))
        one.load_state_dict(copy.deepcopy(state))
        results.append((seen, repr(state), *([indices(each) for _ in range(2)] for each in (one, other))))
    assert results[0] == results[1]


@pytest.mark.parametrize("before", [1, 2, 3])
@pytest.mark.parametrize("after", [1, 2, 4])
@pytest.mark.filterwarnings("ignore:This DataLoader will create")
def test_a_map_style_epoch_goes_on_with_other_workers(before: int, after: int) -> None:
    def made(workers: int) -> Any:
        return StatefulDataLoader(
            Map(), batch_size=2, num_workers=workers, shuffle=True, generator=torch.Generator().manual_seed(1)
        )

    expected = indices(made(before))
    for steps in (0, 1, 5, 14):
        loader = made(before)
        iterator = iter(loader)
        seen = indices(itertools.islice(iterator, steps))
        state = loader.state_dict()
        del iterator
        resumed = made(after)
        resumed.load_state_dict(state)
        assert seen + indices(resumed) == expected
        again = resumed.state_dict()
        assert again["_iterator_finished"]


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("drop_last", [False, True])
@pytest.mark.parametrize("ranks", [1, 2, 7, 40])
def test_the_order_of_ranks_is_torchs(ranks: int, drop_last: bool, shuffle: bool) -> None:
    for rank in range(ranks):
        samplers = [
            sampler(Map(), ranks, rank, shuffle=shuffle, seed=3, drop_last=drop_last)
            for sampler in (torch.utils.data.DistributedSampler, DistributedSampler)
        ]
        for epoch in range(2):
            for sampler in samplers:
                sampler.set_epoch(epoch)
            assert list(samplers[0]) == list(samplers[1])
            assert len(samplers[0]) == len(samplers[1])


@pytest.mark.parametrize(("before", "after"), [(1, 3), (3, 1), (2, 5), (2, 2)])
def test_an_epoch_goes_on_with_other_ranks(before: int, after: int) -> None:
    def made(ranks: int, rank: int, workers: int) -> Any:
        sampler = DistributedSampler(Map(), ranks, rank, seed=3)
        sampler.set_epoch(4)
        return StatefulDataLoader(Map(), batch_size=2, sampler=sampler, num_workers=workers)

    seen, states = [], []
    for rank in range(before):
        loader = made(before, rank, 1)
        seen += list(itertools.chain.from_iterable(indices(itertools.islice(loader, 3))))
        states.append(loader.state_dict())
    assert len(seen) == 6 * before
    for rank in range(after):
        loader = made(after, rank, 2)
        loader.load_state_dict(copy.deepcopy(states[0]))
        seen += list(itertools.chain.from_iterable(indices(loader)))
    # All once, but for what evens the ranks out.
    assert sorted(set(seen)) == list(range(ROWS))
    assert len(seen) - ROWS < after


def test_what_has_a_state_in_each_worker_keeps_their_number() -> None:
    loader = StatefulDataLoader(Counted(), batch_size=2, num_workers=2)
    next(iter(loader))
    other = StatefulDataLoader(Counted(), batch_size=2, num_workers=1)
    other.load_state_dict(loader.state_dict())
    with pytest.raises(AssertionError):
        next(iter(other))


def test_a_killed_worker_does_not_change_the_state() -> None:
    loader = StatefulDataLoader(Map(), batch_size=2, num_workers=2)
    iterator = iter(loader)
    seen = indices(itertools.islice(iterator, 3))
    os.kill(iterator._workers[0].pid, signal.SIGKILL)
    seen += indices(itertools.islice(iterator, 4))
    state = loader.state_dict()
    assert json.loads(json.dumps(state)) == state
    resumed = StatefulDataLoader(Map(), batch_size=2, num_workers=2)
    resumed.load_state_dict(state)
    assert seen + indices(resumed) == [[at, at + 1] for at in range(0, ROWS, 2)]
