"""Indices that a function or a sampler has for each epoch, one after the other or in batches."""

from __future__ import annotations

import os
import signal
from typing import Any

import numpy as np
import pytest
import torch

import stokehold as sh
from support import order
from test_orders import LEN, SOURCE, Drawn, bytes_of, listed, loader


def test_a_function_is_asked_for_each_epoch() -> None:
    asked = []

    def chosen(epoch: int) -> list[int]:
        asked.append(epoch)
        return listed(epoch)

    with sh.Loader(SOURCE, batch_size=4, order=sh.Explicit(chosen), num_workers=2) as given:
        assert [order(given) for _ in range(3)] == [listed(epoch) for epoch in range(3)]
        given.set_epoch(7)
        assert order(given) == listed(7)
        # It has begun, and begins anew: frameworks tell the epoch when there is an iterator.
        batches = iter(given)
        given.set_epoch(9)
        assert order(batches) == listed(9)
    assert asked[1:] == [0, 1, 2, 7, 8, 9]


@pytest.mark.parametrize("workers", [0, 2])
def test_workers_that_replace_others_have_the_indices_of_the_epoch(workers: int) -> None:
    with loader("listed", Drawn(), num_workers=workers, start="spawn" if workers else "forkserver") as given:
        expected = bytes_of(loader("listed", Drawn()), epochs=3)
        found = []
        for _ in range(3):
            batches = iter(given)
            if workers:
                os.kill(given.stats()["workers"][0]["pid"], signal.SIGKILL)
            found += [(b.indices.tolist(), b.valid.tolist(), {n: r.tobytes() for n, r in b.items()}) for b in batches]
        assert found == expected


def batches_of(given: Any) -> list[list[int]]:
    return [batch.indices.tolist() for batch in given]


@pytest.mark.parametrize("form", ["lists", "array", "function", "tensors"])
def test_batches_of_a_batch_sampler_come_as_they_are(form: str) -> None:
    whole = [[1, 5, 9, 2], [3, 3, 0, 7], [22, 8, 4, 6]]
    given: Any = {
        "lists": whole,
        "array": np.array(whole),
        "function": lambda epoch: [[(index + epoch) % LEN for index in batch] for batch in whole],
        "tensors": [torch.tensor(batch) for batch in whole],
    }[form]
    with sh.Loader(SOURCE, batch_size=4, order=sh.Explicit(given), num_workers=2) as made:
        assert batches_of(made) == whole
        assert (batches_of(made) == whole) == (form != "function")
    # Of each batch, each rank has its share.
    ranks = [
        sh.Loader(SOURCE, batch_size=2, order=sh.Explicit(given), num_workers=0, rank=rank, world_size=2)
        for rank in (0, 1)
    ]
    for rank, made in enumerate(ranks):
        assert batches_of(made) == [batch[rank::2] for batch in whole]
    # The last one may have fewer.
    made = sh.Loader(SOURCE, batch_size=4, order=sh.Explicit([*whole, [9, 1]]), num_workers=0)
    assert batches_of(made) == [*whole, [9, 1]]


def test_pytorchs_samplers_are_gone_over_once_an_epoch() -> None:
    data = range(LEN)
    plain = torch.utils.data.BatchSampler(torch.utils.data.SequentialSampler(data), 5, drop_last=False)
    made = sh.Loader(SOURCE, batch_size=5, order=sh.Explicit(plain), num_workers=0)
    assert batches_of(made) == [list(batch) for batch in plain]
    seeded = sh.Explicit(
        lambda epoch: torch.utils.data.RandomSampler(data, generator=torch.Generator().manual_seed(epoch))
    )
    with sh.Loader(SOURCE, batch_size=5, order=seeded, num_workers=2) as made:
        epochs = [order(made) for _ in range(3)]
        assert all(sorted(each) == list(data) for each in epochs)
        assert epochs[0] != epochs[1]
        assert order([made.replay(1, 2)]) == epochs[1][10:15]
    drawn = torch.utils.data.RandomSampler(data, generator=torch.Generator().manual_seed(3))
    expected = torch.utils.data.RandomSampler(data, generator=torch.Generator().manual_seed(3))
    made = sh.Loader(SOURCE, batch_size=5, order=sh.Explicit(drawn), num_workers=0)
    # An iterator of which nothing was taken asks for nothing again.
    iter(made)
    assert [order(made) for _ in range(2)] == [list(expected) for _ in range(2)]
    # Epoch 1 is there still, and nobody knows epoch 0 any more.
    assert made.audit(1)["positions"] == LEN
    with pytest.raises(ValueError, match="indices of epoch 0 are others than RandomSampler gave before"):
        made.replay(0, 0)


def test_a_samplers_epoch_is_set_also_within_a_batch_sampler() -> None:
    spread: Any = torch.utils.data.DistributedSampler(SOURCE, num_replicas=1, rank=0, seed=2)
    cut = torch.utils.data.BatchSampler(spread, 6, drop_last=True)
    made = sh.Loader(SOURCE, batch_size=6, order=sh.Explicit(cut), num_workers=0)
    made.set_epoch(4)
    found = batches_of(made)
    state = made.state_dict()
    again = order(made)
    spread.set_epoch(4)
    assert found == list(cut)
    spread.set_epoch(5)
    assert again == [index for batch in cut for index in batch]
    other = sh.Loader(SOURCE, batch_size=6, order=sh.Explicit(cut), num_workers=0)
    other.load_state_dict(state)
    assert order(other) == again


def test_an_epoch_whose_indices_are_others_is_not_gone_on_with() -> None:
    shift = 0
    given = sh.Loader(
        SOURCE, batch_size=4, order=sh.Explicit(lambda epoch: [(i + shift) % LEN for i in listed(epoch)]), num_workers=0
    )
    next(iter(given))
    state = given.state_dict()
    given.load_state_dict(state)
    shift = 1
    with pytest.raises(ValueError, match="it was taken with another Explicit"):
        given.load_state_dict(state)
    shift = 0
    assert order(given) == listed(0)[4:]
    # At the end of an epoch nothing is left of it: the next one may have any indices.
    state = given.state_dict()
    shift = 1
    given.load_state_dict(state)
    assert order(given) == [(i + 1) % LEN for i in listed(1)]


def test_an_audit_of_another_epoch_leaves_that_which_goes_on() -> None:
    with loader("listed", num_workers=1, prefetch=1) as given:
        batches = iter(given)
        first = order([next(batches)])
        for epoch in range(5, 10):
            given.audit(epoch)
        assert given.state_dict()["cursor"] == 4
        assert first + order(batches) == listed(0)


def test_what_a_function_returns_is_checked() -> None:
    def later(what: Any) -> sh.Loader:
        return sh.Loader(SOURCE, order=sh.Explicit(lambda epoch: what if epoch else [1, 2]), num_workers=0)

    for what, error, message in [
        ([1], ValueError, "indices of epoch 1 must be 2, as many as those of epoch 0, not 1"),
        ([1, LEN], ValueError, f"indices of epoch 1 have {LEN}, and the source has {LEN} samples"),
        ([1, -1], ValueError, "indices must be 0 or more, not -1"),
        ("ab", TypeError, "indices must be whole numbers"),
        (None, TypeError, "indices must be whole numbers"),
    ]:
        given = later(what)
        assert order(given) == [1, 2]
        with pytest.raises(error, match=message):
            iter(given)
    with pytest.raises(ValueError, match="Explicit: indices must be whole numbers, and there is none"):
        sh.Loader(SOURCE, order=sh.Explicit(lambda _: []), num_workers=0)
