"""A loader of the pool as a `DataLoader` of PyTorch: what frameworks do to one, without the frameworks."""

from __future__ import annotations

import itertools
import logging
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch.utils.data import BatchSampler, DistributedSampler, SequentialSampler
from torch.utils.data import DataLoader as TorchDataLoader

import stokehold as sh
from stokehold.torch import PoolLoader, adopt

SAMPLES, ROWS, BATCHES = 26, 4, 7
EPOCHS = 3

pytestmark = [
    pytest.mark.usefixtures("torch_started"),
    pytest.mark.filterwarnings("ignore:'set_vital' is deprecated"),  # torchdata still calls it.
]


def made(**options: Any) -> sh.Loader:
    given: dict[str, Any] = {"batch_size": ROWS, "shuffle": True, "num_workers": 0, "output": "torch"}
    return sh.Loader(sh.Arrays({"x": np.arange(SAMPLES)}), **given | options)


def rows(batches: Any) -> list[list[int]]:
    return [batch["x"].tolist() for batch in batches]


def epochs(count: int = EPOCHS, **options: Any) -> list[list[list[int]]]:
    """What the loader gives by itself."""
    with made(**options) as loader:
        return [rows(loader) for _ in range(count)]


class Part(BatchSampler):  # type: ignore[misc,unused-ignore]
    """Some batches of another sampler, as those that shard and skip have it."""

    def __init__(self, batches: Any, start: int = 0, step: int = 1) -> None:
        self.batches, self.part = batches, (start, None, step)

    def __iter__(self) -> Any:
        return itertools.islice(self.batches, *self.part)


def built(loader: Any, batch_sampler: Any, kind: Any = TorchDataLoader) -> Any:
    """A plain loader, as frameworks build it of the parts of another one."""
    return kind(loader.dataset, batch_sampler=batch_sampler, collate_fn=loader.collate_fn)


@pytest.mark.parametrize("workers", [0, 2])
def test_it_iterates_as_the_loader_does(workers: int) -> None:
    expected = epochs()
    with made(num_workers=workers) as native:
        loader = adopt(native)
        assert type(loader) is PoolLoader
        assert adopt(loader) is loader
        assert (len(loader), loader.batch_size, loader.drop_last, loader.num_workers) == (BATCHES, ROWS, False, 0)
        assert len(loader.dataset) == SAMPLES
        assert len(iter(loader)) == BATCHES
        assert [rows(loader) for _ in range(EPOCHS)] == expected
        loader.set_epoch(1)
        assert rows(loader) == expected[1]
        assert [batch.rows for batch in loader] == [ROWS] * (BATCHES - 1) + [2]


@pytest.mark.parametrize("ranks", [1, 2, 3])
@pytest.mark.parametrize("shares", [{}, {"drop_last": True}, {"even": "drop"}, {"even": "uneven"}], ids=str)
def test_a_batch_sampler_that_is_cut_gives_each_rank_its_own(ranks: int, shares: dict[str, Any]) -> None:
    for rank in range(ranks):
        part: dict[str, Any] = {"rank": rank, "world_size": ranks, **shares}
        loader = adopt(made(**part))
        assert len(loader.batch_sampler) == len(loader) * ranks
        assert {len(tickets) for tickets in loader.batch_sampler} == {ROWS}
        other = built(loader, Part(loader.batch_sampler, rank, ranks))
        loader.batch_sampler.set_epoch(0)
        assert [rows(other) for _ in range(EPOCHS)] == epochs(**part)


class Noted:
    """A dataset that notes what is read of it."""

    def __init__(self) -> None:
        self.read: list[int] = []

    def __len__(self) -> int:
        return SAMPLES

    def __getitem__(self, index: int) -> Any:
        self.read.append(index)
        return {"x": np.array(index)}


def test_what_is_skipped_is_not_read() -> None:
    dataset = Noted()
    loader = adopt(sh.Loader(dataset, batch_size=ROWS, shuffle=True, num_workers=0, output="torch", start="fork"))
    dataset.read.clear()
    expected = epochs(2)[1][5:]
    loader.dataset.set_epoch(1)
    assert rows(built(loader, Part(loader.batch_sampler, 5))) == expected
    assert dataset.read == [index for batch in expected for index in batch]
    # The next epoch is the one after it.
    assert rows(loader) == epochs()[2]


def test_batches_of_other_ranks_and_parts_of_batches_are_refused() -> None:
    loader = adopt(made(rank=0, world_size=2))
    with pytest.raises(
        RuntimeError, match=r"is another rank's, and this loader makes those of rank 0 of 2 \(arguments\)"
    ):
        rows(built(loader, loader.batch_sampler))
    for half in (slice(2), slice(2, 4)):
        halves = [tickets[half] for tickets in loader.batch_sampler]
        for part in (halves, halves[1:]):
            with pytest.raises(RuntimeError, match=r"2 of 4 rows of a batch are asked for.*leave split_batches out"):
                rows(built(loader, part))
    with pytest.raises(TypeError, match="draws its samples itself"):
        iter(loader.sampler)
    with pytest.raises(TypeError, match=r"must be the batches of a stokehold\.Loader, not"):
        PoolLoader(range(3))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="must be made with output=\"torch\", not 'numpy'"):
        adopt(made(output="numpy"))


@pytest.mark.parametrize("is_built", [False, True])
@pytest.mark.parametrize("first", [0, 1])
def test_a_state_is_gone_on_with_whatever_number_the_epoch_is_told_by(is_built: bool, first: int) -> None:
    expected = epochs(4)
    loader = adopt(made())
    rows(loader)
    iterator = iter(loader)
    before = [next(iterator)["x"].tolist() for _ in range(3)]
    state = loader.state_dict()
    again = adopt(made(num_workers=2))
    again.load_state_dict(state)
    read = built(again, again.batch_sampler) if is_built else again
    found = []
    for told in range(first, first + 3):
        again.sampler.set_epoch(told)
        found.append(rows(read))
    assert [before + found[0], *found[1:]] == expected[1:]
    again.loader.close()


def test_a_state_at_the_end_of_an_epoch_leads_to_the_next_one() -> None:
    expected = epochs()
    loader = adopt(made())
    iterator = iter(loader)
    assert [next(iterator)["x"].tolist() for _ in range(BATCHES)] == expected[0]
    state = loader.state_dict()
    for read in (loader, built(loader, loader.batch_sampler)):
        loader.load_state_dict(state)
        assert [rows(read) for _ in range(3)] == [[], *expected[1:]]
        # One who counts from the beginning is at the next one.
        loader.load_state_dict(state)
        loader.sampler.set_epoch(1)
        assert rows(read) == expected[1]


@pytest.mark.parametrize("behind", [0, 3, BATCHES])
def test_a_loader_of_torchdata_saves_and_restores_it(behind: int) -> None:
    kind = pytest.importorskip("torchdata.stateful_dataloader").StatefulDataLoader
    expected = epochs(4)
    loader = adopt(made())
    first = built(loader, loader.batch_sampler, kind)
    loader.sampler.set_epoch(0)
    rows(first)
    loader.sampler.set_epoch(1)
    iterator = iter(first)
    before = [next(iterator)["x"].tolist() for _ in range(behind)]
    assert behind < BATCHES or next(iterator, None) is None
    state = first.state_dict()
    loader = adopt(made())
    again = built(loader, Part(loader.batch_sampler), kind)
    again.load_state_dict(state)
    loader.sampler.set_epoch(0)
    found = [rows(again)]
    loader.sampler.set_epoch(1)
    found.append(rows(again))
    goes_on = [before + found[0], found[1]] if behind < BATCHES else [before, found[0]]
    assert goes_on == expected[1:3]


def test_an_order_that_must_stay_is_one_epochs() -> None:
    expected = epochs()
    loader = adopt(made())
    assert isinstance(loader.sampler, DistributedSampler)
    assert not isinstance(loader.sampler, SequentialSampler)
    loader.set_epoch(1)
    once = PoolLoader(loader.dataset, sampler=SequentialSampler(loader.dataset))
    assert [rows(once) for _ in range(2)] == [expected[1]] * 2
    in_order = adopt(made(shuffle=False))
    assert isinstance(in_order.sampler, DistributedSampler)
    assert isinstance(in_order.sampler, SequentialSampler)


def test_batches_of_an_iterable_dataset_come_as_they_do() -> None:
    class Stream:
        def __iter__(self) -> Any:
            return iter({"x": np.array(index)} for index in range(SAMPLES))

    with sh.Loader(Stream(), batch_size=ROWS, num_workers=1, output="torch", start="fork") as native:
        loader = adopt(native)
        expected = rows(native)
        assert rows(loader) == rows(built(loader, loader.batch_sampler)) == expected
        with pytest.raises(RuntimeError, match="batch 2 is asked for, and batch 0 comes next"):
            rows(built(loader, Part(loader.batch_sampler, 2)))


@pytest.mark.parametrize(("ranks", "length"), [(1, 26), (2, 26), (3, 26), (4, 28), (5, 30)])
def test_rows_that_even_out_several_ranks_are_told_of(
    ranks: int, length: int, caplog: pytest.LogCaptureFixture
) -> None:
    loader = adopt(made(rank=0, world_size=ranks))
    with caplog.at_level(logging.WARNING, "stokehold"):
        assert {loader.dataset.total_dataset_length for _ in range(2)} == {length}
    assert adopt(made(rank=0, world_size=ranks, even="drop")).dataset.total_dataset_length == SAMPLES
    said = [f"{length - SAMPLES} samples come again at the end of each epoch, to even out {ranks} ranks"]
    assert [record.getMessage().split(";")[0] for record in caplog.records] == (said if length > SAMPLES else [])
