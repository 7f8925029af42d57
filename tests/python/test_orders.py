"""Orders of an epoch: weights, repeats, arrays of indices, mixtures; each resumes exactly, however it is cut."""

from __future__ import annotations

import io
import itertools
import json
import os
import random
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import stokehold as sh
from support import order

LEN = 23
SOURCE = sh.Arrays({"x": np.arange(LEN)})
LENGTHS = [5, 2, 16]


def listed(epoch: int) -> list[int]:
    """Other indices in each epoch."""
    return [(epoch * 7 + at * at) % LEN for at in range(19)]


class Told:
    """A sampler that is told the epoch."""

    def __init__(self) -> None:
        self.epoch = 0

    def __len__(self) -> int:
        return len(listed(0))

    def __iter__(self) -> Iterator[int]:
        return iter(listed(self.epoch))

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch


ORDERS: dict[str, Callable[[], sh.Order]] = {
    "weighted": lambda: sh.Weighted(np.arange(LEN) % 4, num_samples=31),
    "balanced": lambda: sh.Weighted.balanced([0] * 20 + [1, 1, 2]),
    "once": lambda: sh.Weighted(np.arange(LEN) % 4, num_samples=13, replacement=False),
    "all once": lambda: sh.Weighted.balanced([0] * 20 + [1, 1, 2], replacement=False),
    "curriculum": lambda: sh.Curriculum(np.arange(LEN)[::-1] // 3, epochs=3.5, start=0.1),
    "linear": lambda: sh.Curriculum(np.arange(LEN), 2, "linear", num_samples=31),
    "repeated": lambda: sh.Repeated(3),
    "cut": lambda: sh.Repeated(2, num_samples=29),
    "explicit": lambda: sh.Explicit([5, 1, 1, 22, 0, 7, 5, 9, 11]),
    "listed": lambda: sh.Explicit(listed),
    "subset": lambda: sh.Explicit([21, 4, 7, 0, 13]),
    "sampler": lambda: sh.Explicit(Told()),
    "mixture": lambda: sh.Mixture([0.2, 0.5, 0.3], num_samples=40, lengths=LENGTHS),
    "stages": lambda: sh.Mixture([(0, [1, 1, 0]), (1, [0, 2, 1]), (4, [1, 1, 1])], num_samples=37, lengths=LENGTHS),
    "counts": lambda: sh.Mixture.of_counts([3, 9, 4], lengths=LENGTHS),
}
ONCE = {"once", "all once", "subset"}
"""Those that give no sample twice in an epoch."""
REPEAT = set(ORDERS) - ONCE


class Drawn:
    """A dataset whose samples are what the generators give."""

    def __len__(self) -> int:
        return LEN

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {"x": index, "drawn": np.array([random.random(), np.random.random(), float(torch.rand(()))])}  # noqa: NPY002


def loader(name: str, source: Any = SOURCE, **options: Any) -> sh.Loader:
    given: dict[str, Any] = {"batch_size": 4, "seed": 5, "num_workers": 0, "order": ORDERS[name]()}
    return sh.Loader(source, **given | options)


def bytes_of(given: sh.Loader, epochs: int = 2) -> list[Any]:
    return [
        (batch.indices.tolist(), batch.valid.tolist(), {name: rows.tobytes() for name, rows in batch.items()})
        for _ in range(epochs)
        for batch in given
    ]


@pytest.mark.parametrize("name", ORDERS)
def test_any_number_of_workers_makes_the_same_batches(name: str) -> None:
    expected = bytes_of(loader(name))
    assert expected[: len(expected) // 2] != expected[len(expected) // 2 :] or name in {"explicit", "subset"}
    for workers in (1, 2, 4):
        with loader(name, num_workers=workers) as given:
            assert bytes_of(given) == expected


@pytest.mark.parametrize("start", ["forkserver", "fork", "spawn"])
@pytest.mark.parametrize("name", ["weighted", "mixture"])
def test_datasets_of_python_draw_by_place(name: str, start: Any) -> None:
    expected = bytes_of(loader(name, Drawn()))
    with loader(name, Drawn(), num_workers=2, start=start) as given:
        assert bytes_of(given) == expected


@pytest.mark.parametrize("name", ["weighted", "listed", "once", "curriculum"])
def test_a_kill_changes_nothing(name: str) -> None:
    expected = bytes_of(loader(name), epochs=8)
    with loader(name, num_workers=2) as given:
        found = []
        for _ in range(8):
            batches = iter(given)
            # One that was killed in the epoch before may have no successor yet.
            with suppress(ProcessLookupError):
                os.kill(given.stats()["workers"][0]["pid"], signal.SIGKILL)
            found += [(b.indices.tolist(), b.valid.tolist(), {n: r.tobytes() for n, r in b.items()}) for b in batches]
        assert found == expected
        # Those that took a seat in the middle forget the epochs before it, and have nothing else to end for.
        assert {ending.split(" ", 2)[2] for ending in given.stats()["endings"]} == {"killed by signal 9 (SIGKILL)"}


def check_draws_differ(given: sh.Loader) -> None:
    found = [(x, drawn.tobytes()) for batch in given for x, drawn in rows(batch)]
    assert len({x for x, _ in found}) < len(found), "the order gives no sample twice"
    assert len({drawn for _, drawn in found}) == len(found)


@pytest.mark.parametrize("name", sorted(REPEAT))
def test_a_sample_that_comes_again_has_other_draws(name: str) -> None:
    check_draws_differ(loader(name, Drawn()))


@pytest.mark.parametrize("name", ["weighted", "repeated", "explicit"])
def test_transforms_of_the_core_draw_by_place_also_below_a_map(name: str) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (LEN, 64, 64, 3), np.uint8)
    source = sh.Table({"x": np.arange(LEN), "drawn": sh.Images([png(each) for each in pixels])})
    for transforms in ({"drawn": [sh.RandomCrop(3)]}, [{"drawn": [sh.RandomCrop(3)]}, sh.Map(keep)]):
        check_draws_differ(loader(name, source, transforms=transforms))


def png(pixels: npt.NDArray[np.uint8]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "png")
    return buffer.getvalue()


def keep(sample: dict[str, Any]) -> dict[str, Any]:
    return sample


def test_orders_without_repeats_draw_as_a_shuffle_does() -> None:
    """The bytes of a sample are those that it has in the source's order."""
    usual = {x: drawn.tobytes() for batch in sh.Loader(Drawn(), seed=5, num_workers=0) for x, drawn in rows(batch)}
    for name in ("subset", "once"):
        found = {x: drawn.tobytes() for batch in loader(name, Drawn()) for x, drawn in rows(batch)}
        assert found == {x: usual[x] for x in found}
    assert set(order(loader("subset"))) == {21, 4, 7, 0, 13}


def rows(batch: Any) -> list[tuple[int, Any]]:
    return [(int(x), drawn) for x, drawn in zip(batch["x"], batch["drawn"], strict=True)]


@settings(deadline=None)
@given(
    name=st.sampled_from(sorted(ORDERS)),
    stop=st.integers(0, 14),
    before=st.tuples(st.integers(1, 9), st.integers(1, 4)),
    after=st.tuples(st.integers(1, 9), st.integers(1, 4)),
    epoch=st.integers(0, 5),
)
def test_the_rest_is_read_once_by_any_number_of_ranks(
    name: str, stop: int, before: tuple[int, int], after: tuple[int, int], epoch: int
) -> None:
    whole = loader(name, Drawn())
    whole.set_epoch(epoch)
    expected = Counter((x, drawn.tobytes()) for batch in whole for x, drawn in rows(batch))

    def ranks(shape: tuple[int, int]) -> list[sh.Loader]:
        batch_size, world = shape
        return [
            loader(name, Drawn(), batch_size=batch_size, world_size=world, even="uneven", rank=rank)
            for rank in range(world)
        ]

    seen: Counter[Any] = Counter()
    states = []
    for rank in ranks(before):
        rank.set_epoch(epoch)
        batches = iter(rank)
        for _ in range(min(stop, len(rank))):
            seen.update((x, drawn.tobytes()) for x, drawn in rows(next(batches)))
        states.append(rank.state_dict())
    assert len(json.dumps(states[0])) < 4096
    for rank in ranks(after):
        rank.load_state_dict(states[0])
        assert rank.epoch == epoch
        seen.update((x, drawn.tobytes()) for batch in rank for x, drawn in rows(batch))
    assert seen == expected


@pytest.mark.parametrize("name", ORDERS)
@pytest.mark.parametrize("even", ["pad", "drop", "uneven"])
def test_an_audit_counts_positions(name: str, even: Any) -> None:
    ranks = [loader(name, batch_size=3, even=even, rank=rank, world_size=4) for rank in range(4)]
    told = ranks[0].audit()
    got = [list(rank) for rank in ranks]
    assert [len(batches) for batches in got] == [share["batches"] for share in told["ranks"]]
    valid = sum(int(batch.valid.sum()) for batches in got for batch in batches)
    assert (valid + told["left_out"], told["samples"]) == (told["positions"], LEN)


@pytest.mark.parametrize("name", ORDERS)
def test_a_batch_is_replayed(name: str) -> None:
    given = loader(name, Drawn())
    for epoch in range(2):
        for number, batch in enumerate(given):
            again = given.replay(epoch, number)
            assert {key: each.tobytes() for key, each in again.items()} == {k: v.tobytes() for k, v in batch.items()}


@pytest.mark.parametrize("on_error", ["skip", "replace"])
@pytest.mark.parametrize("workers", [0, 2])
def test_a_bad_sample_is_stepped_over(on_error: Any, workers: int) -> None:
    class Bad(Drawn):
        def __getitem__(self, index: int) -> dict[str, Any]:
            if index == 1:
                raise ValueError("bad")
            return super().__getitem__(index)

    # More copies of it in a row than candidates of a row are tried.
    chosen = sh.Explicit([0] + [1] * 40 + [2, 3])
    with sh.Loader(Bad(), batch_size=43, order=chosen, num_workers=workers, on_error=on_error) as given:
        batch = next(iter(given))
        assert 1 not in batch.indices
        assert batch.valid.tolist() == [True, *[False] * 40, True, True]
        assert len({row.tobytes() for row in batch["drawn"]}) == 43


def test_weights_say_how_often_a_sample_comes() -> None:
    weights = np.array([0.0, 1.0, 2.0, 5.0, 0.0])
    given = sh.Loader(
        sh.Arrays({"x": np.arange(5)}), batch_size=1000, order=sh.Weighted(weights, 40_000), num_workers=0
    )
    counts = np.bincount(order(given), minlength=5)
    # The seed makes the outcome fixed; four standard deviations.
    shares = weights / weights.sum()
    assert (abs(counts - 40_000 * shares) <= 4 * np.sqrt(40_000 * shares * (1 - shares))).all(), counts


def test_without_replacement_a_sample_comes_once_in_an_epoch_and_sooner_by_its_weight() -> None:
    weights = np.array([0.0, 1.0, 2.0, 5.0, 0.0])
    given = sh.Loader(sh.Arrays({"x": np.arange(5)}), order=sh.Weighted(weights, 2, replacement=False), num_workers=0)
    epochs = 4000
    drawn = Counter(tuple(order(given)) for _ in range(epochs))
    assert set(drawn) == {(a, b) for a in (1, 2, 3) for b in (1, 2, 3) if a != b}
    for (first, second), count in drawn.items():
        # Of the pairs of two draws, the second among the others; four standard deviations.
        share = weights[first] / 8 * weights[second] / (8 - weights[first])
        assert abs(count - epochs * share) < 4 * np.sqrt(epochs * share * (1 - share)), drawn


def test_it_is_the_law_of_torchs_sampler() -> None:
    """Whose draws without replacement go by exponential times too: which pairs come first, of both."""
    weights, epochs = torch.tensor([1.0, 2.0, 5.0]), 4000
    theirs = torch.Generator().manual_seed(1)
    pairs = Counter(
        tuple(torch.utils.data.WeightedRandomSampler(weights, 2, replacement=False, generator=theirs))
        for _ in range(epochs)
    )
    given = sh.Loader(sh.Arrays({"x": np.arange(3)}), order=sh.Weighted(weights, 2, replacement=False), num_workers=0)
    found = Counter(tuple(order(given)) for _ in range(epochs))
    for pair, count in pairs.items():
        # Both seeds make the outcome fixed; four standard deviations of a difference.
        assert abs(found[pair] - count) < 4 * np.sqrt(2 * count), (pairs, found)


def test_an_audit_and_a_replay_leave_an_epoch_that_was_drawn() -> None:
    with loader("once", num_workers=2) as given:
        whole = [order(given) for _ in range(6)]
        given.set_epoch(2)
        batches = iter(given)
        found = order([next(batches)])
        for epoch in (5, 0, 1, 4):
            told = given.audit(epoch)
            assert (told["positions"], told["left_out"]) == (13, 0)
            assert order([given.replay(epoch, 1)]) == whole[epoch][4:8]
        assert found + order(batches) == whole[2]
        given.set_epoch(0)
        assert order(given) == whole[0]


@pytest.mark.parametrize("schedule", ["linear", "root"])
def test_the_easiest_come_first_and_later_all(schedule: Any) -> None:
    difficulty = np.random.default_rng(3).permutation(200)
    source = sh.Arrays({"difficulty": difficulty})
    curriculum = sh.Curriculum(source.values("difficulty"), epochs=3, schedule=schedule, start=0.1)
    given = sh.Loader(source, batch_size=50, order=curriculum, num_workers=0)
    for epoch in range(5):
        found = np.concatenate([batch["difficulty"] for batch in given])
        progress = np.minimum(1, (epoch * 200 + np.arange(200)) / 600)
        share = 0.1 + 0.9 * progress if schedule == "linear" else np.sqrt(0.01 + 0.99 * progress)
        # A sample may come once its share of easier ones is reached.
        assert (found < np.ceil(200 * share - 1e-9) + 1e-9).all()
        if epoch >= 3:
            assert sorted(found) == list(range(200))
        else:
            # The hardest ones that may come do come.
            assert found[-40:].max() > 200 * share[-40] * 0.8


def test_classes_are_balanced_also_those_of_a_source() -> None:
    labels = np.array([0] * 900 + [1] * 90 + [2] * 10)
    source = sh.Arrays({"x": np.arange(1000), "label": labels, "other": labels % 2})
    balanced = sh.Weighted.balanced(source, num_samples=30_000)
    counts = np.bincount(labels[order(sh.Loader(source, batch_size=500, order=balanced, num_workers=0))])
    assert (abs(counts - 10_000) < 4 * np.sqrt(30_000 * 2 / 9)).all(), counts
    by_field, given = sh.Weighted.balanced(source, field="other"), sh.Weighted.balanced(labels % 2)
    states = [sh.Loader(source, order=each, num_workers=0).state_dict() for each in (by_field, given)]
    assert states[0] == states[1]


def test_ranks_get_different_copies_as_with_deits_sampler() -> None:
    loaders = [loader("repeated", rank=rank, world_size=3, batch_size=5) for rank in range(3)]
    first, second, third = (order(each) for each in loaders)
    assert first == second == third
    assert sorted(first) == list(range(LEN))


@given(weights=st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=8), lengths=st.data(), batch_size=st.integers(1, 30))
@settings(deadline=None)
def test_every_prefix_of_a_mixture_is_exact(weights: list[float], lengths: Any, batch_size: int) -> None:
    sizes = [lengths.draw(st.integers(1, 20)) for _ in weights]
    source = sh.concat([sh.Arrays({"part": np.full(size, part)}) for part, size in enumerate(sizes)])
    given = sh.Loader(source, batch_size=batch_size, order=sh.Mixture(weights, num_samples=100), num_workers=0)
    shares = np.array(weights) / sum(weights)
    for _ in range(2):
        parts = np.concatenate([batch["part"] for batch in given])
        counts = np.cumsum(parts[:, None] == np.arange(len(weights)), axis=0)
        assert (abs(counts - np.arange(1, 101)[:, None] * shares) <= 1 + 1e-9).all()


def test_passes_over_a_source_go_on_in_the_next_epoch() -> None:
    given = loader("counts", num_workers=2)
    with given:
        first_source = [index for _ in range(5) for index in order(given) if index < 5]
    assert len(first_source) == 15
    assert all(sorted(first_source[at : at + 5]) == [0, 1, 2, 3, 4] for at in range(0, 15, 5))


def test_weights_change_with_the_epoch_and_passes_go_on() -> None:
    found = [order(loader("stages", num_workers=workers)) for workers in (0, 2) for _ in (0,)]
    assert found[0] == found[1]
    given = loader("stages")
    epochs = [order(given) for _ in range(6)]
    parts = [np.bincount(np.searchsorted(np.cumsum(LENGTHS), each, "right"), minlength=3) for each in epochs]
    for epoch, shares in enumerate([[1 / 2, 1 / 2, 0], *[[0, 2 / 3, 1 / 3]] * 3, *[[1 / 3, 1 / 3, 1 / 3]] * 2]):
        assert (abs(parts[epoch] - 37 * np.array(shares)) < 1).all()
    last = [index for each in epochs for index in each if index >= 7]
    for at in range(0, len(last) - 15, 16):
        assert sorted(last[at : at + 16]) == list(range(7, LEN))


def test_weights_may_be_others_in_epochs_that_had_not_begun() -> None:
    def mixing(weights: Any) -> sh.Loader:
        return loader("stages", order=sh.Mixture(weights, num_samples=20, lengths=LENGTHS))

    old = mixing([1, 2, 3])
    old.set_epoch(2)
    batches = iter(old)
    next(batches)
    middle = old.state_dict()
    rest = order(batches)
    end = old.state_dict()
    assert (middle["epoch"], middle["cursor"], end["epoch"], end["cursor"]) == (2, 4, 3, 0)
    for weights in ([(0, [1, 2, 3]), (3, [1, 0, 0])], [(0, [1, 2, 3]), (3, [0, 1, 1]), (9, [1, 1, 1])]):
        new = mixing(weights)
        new.load_state_dict(middle)
        assert order(new) == rest
        after = order(new)
        new.load_state_dict(end)
        assert order(new) == after
        assert after != order(mixing([1, 2, 3]))
    for others in ([(0, [1, 2, 3]), (2, [1, 1, 1])], [(0, [1, 1, 1]), (3, [1, 0, 0])], [1, 2, 4]):
        for state in (middle, end):
            with pytest.raises(ValueError, match="it was taken with another Mixture"):
                mixing(others).load_state_dict(state)
    # Epoch 3 has begun with the new weights.
    new = mixing([(0, [1, 2, 3]), (3, [1, 1, 0])])
    new.load_state_dict(end)
    next(iter(new))
    with pytest.raises(ValueError, match="it was taken with another Mixture"):
        old.load_state_dict(new.state_dict())


def test_the_lengths_of_sources_are_those_of_the_concat() -> None:
    one, two, three = SOURCE.select(range(3)), SOURCE.select(range(7)), SOURCE
    assert list((one + two + three).lengths) == [3, 7, LEN]
    assert list((one + two).with_columns({"y": np.arange(10)}).lengths) == [3, 7]
    assert (list((one + two).select(range(9)).lengths), list(SOURCE.lengths)) == ([9], [LEN])


def test_a_state_of_another_order_is_refused() -> None:
    states = {name: loader(name).state_dict() for name in ORDERS}
    states["shuffle"] = loader("cut", order=None, shuffle=True).state_dict()
    for name, make in ORDERS.items():
        own = loader(name)
        for other, state in states.items():
            # Of a list, only an epoch that has begun is told apart; and these two give the same ones.
            if other == name or {other, name} == {"listed", "sampler"}:
                own.load_state_dict(state)
                continue
            with pytest.raises(ValueError, match="this state cannot be resumed: it was taken with") as error:
                own.load_state_dict(state)
            assert type(make()).__name__ in str(error.value)
    with pytest.raises(ValueError, match=r"with order=Weighted, and this loader has no order= but shuffle="):
        loader("cut", order=None, shuffle=True).load_state_dict(states["weighted"])
    state = loader("weighted").state_dict()
    with pytest.raises(ValueError, match="has cursor 32, and an epoch has 31 samples"):
        loader("weighted").load_state_dict(state | {"cursor": 32})


ARRAYS = sh.Arrays({"x": np.arange(5)})


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (
            lambda: sh.Weighted([1, -1, 0]),
            ValueError,
            r"Weighted: weights\[1\] must be a finite number, 0 or more, not -1",
        ),
        (lambda: sh.Weighted([1, float("nan")]), ValueError, r"Weighted: weights\[1\] .* not NaN"),
        (lambda: sh.Weighted([float("inf")]), ValueError, r"Weighted: weights\[0\] .* not inf"),
        (lambda: sh.Weighted([0, 0]), ValueError, "Weighted: weights must have one above 0, and all are 0"),
        (
            lambda: sh.Weighted([]),
            ValueError,
            "Weighted: weights must be numbers, one for each sample, and there is none",
        ),
        (lambda: sh.Weighted([[1.0]]), TypeError, r"in one row, not float64 of shape \(1, 1\)"),
        (lambda: sh.Weighted([1], num_samples=0), ValueError, "Weighted: num_samples must be 1 to"),
        (lambda: sh.Loader(ARRAYS, order=sh.Weighted([1])), ValueError, "1 weights, and the source has 5 samples"),
        (lambda: sh.Weighted.balanced([0.5]), TypeError, "Weighted.balanced: labels must be whole numbers"),
        (lambda: sh.Weighted.balanced(ARRAYS), ValueError, "field must be one of 'x', not 'label'"),
        (
            lambda: sh.Weighted([1, 0, 2], 3, replacement=False),
            ValueError,
            "Weighted: num_samples must be 2 or less without replacement, as many as there are weights above 0, not 3",
        ),
        (
            lambda: sh.Weighted([1], replacement=anything("no")),
            TypeError,
            "Weighted: replacement must be True or False",
        ),
        (
            lambda: sh.Loader(ARRAYS, order=sh.Weighted([1], replacement=False)),
            ValueError,
            "1 weights, and the source has 5 samples",
        ),
        (lambda: sh.Curriculum([], 1), ValueError, "Curriculum: difficulty must be numbers, one for each sample, and"),
        (
            lambda: sh.Curriculum([1, float("nan")], 1),
            ValueError,
            r"Curriculum: difficulty\[1\] must be a finite number",
        ),
        (lambda: sh.Curriculum([1], 0), ValueError, "Curriculum: epochs must be more than 0, .* not 0"),
        (
            lambda: sh.Curriculum([1], 2.0**62),
            ValueError,
            r"epochs must be .* fewer than 2\*\*62 positions",
        ),
        (
            lambda: sh.Curriculum([1], 1, start=0),
            ValueError,
            "start must be more than 0 and at most 1, not 0",
        ),
        (lambda: sh.Curriculum([1], 1, start=1.5), ValueError, "Curriculum: start must be .* not 1.5"),
        (
            lambda: sh.Curriculum([1], 1, anything("step")),
            ValueError,
            "schedule must be one of 'linear', 'root'",
        ),
        (
            lambda: sh.Loader(ARRAYS, order=sh.Curriculum([1], 1)),
            ValueError,
            "Curriculum with the difficulty of 1 samples, and the source has 5",
        ),
        (lambda: sh.Repeated(0), ValueError, "Repeated: times must be 1 or more, not 0"),
        (
            lambda: sh.Loader(ARRAYS, order=sh.Repeated(3, num_samples=16)),
            ValueError,
            "Repeated with num_samples=16, and 5 samples, each 3 times, are 15",
        ),
        (lambda: sh.Explicit([]), ValueError, "Explicit: indices must be whole numbers, and there is none"),
        (lambda: sh.Explicit([0, -1]), ValueError, "Explicit: indices must be 0 or more, not -1"),
        (lambda: sh.Explicit([0.5]), TypeError, "Explicit: indices must be whole numbers, in one row, not float64"),
        (lambda: sh.Explicit([True]), TypeError, "Explicit: indices must be whole numbers, in one row, not bool"),
        (lambda: sh.Loader(ARRAYS, order=sh.Explicit([0, 5])), ValueError, "the index 5, and the source has 5 samples"),
        (
            lambda: sh.Explicit([[0, 1], [2], [3, 4]]),
            ValueError,
            r"Explicit: indices\[1\] must be a batch of 2, as the first one, not of 1: batches of a loader",
        ),
        (lambda: sh.Explicit([[0, 1], [2, 3, 4]]), ValueError, r"indices\[1\] must be a batch of 2, .* not of 3"),
        (lambda: sh.Explicit(anything([[0, 1], 2])), TypeError, r"indices\[1\] must be a batch of whole numbers"),
        (lambda: sh.Explicit([[0, -1]]), ValueError, r"indices\[0\] must be 0 or more, not -1"),
        (lambda: sh.Explicit(Endless()), TypeError, "must be a sampler that has a length, not .*Endless.*: of one"),
        (
            lambda: sh.Explicit(torch.utils.data.DistributedSampler(anything(ARRAYS), num_replicas=2, rank=0)),
            ValueError,
            "DistributedSampler gives one rank its own",
        ),
        (
            lambda: sh.Loader(ARRAYS, batch_size=3, order=sh.Explicit([[0, 1], [2, 3]]), num_workers=0),
            ValueError,
            "Explicit: indices are batches of 2, and Loader: batch_size is 3",
        ),
        (
            lambda: sh.Loader(ARRAYS, batch_size=2, order=sh.Explicit([[0, 1]]), rank=0, world_size=2),
            ValueError,
            "batches of 2, and Loader: batch_size is 2 on each of 2 ranks",
        ),
        (
            lambda: len(sh.Loader(ARRAYS, batch_size=1, order=sh.Explicit([[0, 1]]), num_workers=0)),
            ValueError,
            "batches of 2, and Loader: batch_size is 1: a batch",
        ),
        (lambda: sh.Mixture([1, 0]), ValueError, r"Mixture: weights\[1\] must be more than 0, not 0"),
        (lambda: sh.Mixture([1, float("nan")]), ValueError, r"Mixture: weights\[1\] must be a finite number"),
        (lambda: sh.Mixture([]), ValueError, "Mixture: weights must have at least one"),
        (lambda: sh.Mixture([(1, [1])]), ValueError, r"Mixture: weights\[0\]\[0\] must be 0, the first epoch, not 1"),
        (
            lambda: sh.Mixture([(0, [1]), (0, [2])]),
            ValueError,
            r"\[1\]\[0\] must be more than 0, the epoch before",
        ),
        (lambda: sh.Mixture([(0, [1]), (2, [1, 2])]), ValueError, r"weights\[1\]\[1\] must be 1 weights, .* not 2"),
        (lambda: sh.Mixture([(0, [1]), (2, [0])]), ValueError, r"weights\[1\]\[1\] must have a weight above 0"),
        (lambda: sh.Mixture([(0, [1, -1])]), ValueError, r"weights\[0\]\[1\]\[1\] must be more than 0, not -1"),
        (lambda: sh.Mixture([(0, [1, 0]), (2, [2, 0])]), ValueError, "those of source 1 never are: leave a source out"),
        (lambda: sh.Mixture(anything([(0, [1]), 2])), TypeError, r"weights\[1\] must be a pair of an epoch and its"),
        (lambda: sh.Mixture([1], lengths=[1, 2]), ValueError, "Mixture: lengths must be 1, one for each weight, not 2"),
        (lambda: sh.Mixture.of_counts([1, 0]), ValueError, r"counts\[1\] must be 1 to .*, not 0"),
        (lambda: sh.Mixture.of_counts([]), ValueError, "at least one"),
        (lambda: sh.Loader(ARRAYS, order=sh.Mixture([1, 2])), ValueError, "Mixture: weights must be one for each part"),
        (lambda: sh.Loader(ARRAYS, order=sh.Mixture([1, 2], lengths=[2, 2])), ValueError, "4 samples together"),
        (lambda: sh.Loader(ARRAYS, order=anything([1, 2])), TypeError, "Loader: order must be a Weighted"),
        (
            lambda: sh.Loader(ARRAYS, order=sh.Order()),
            NotImplementedError,
            "Order: an order of your own is an Explicit",
        ),
        (lambda: sh.Loader(ARRAYS, order=sh.Repeated(), shuffle=True), ValueError, "Loader: shuffle must be False"),
        (lambda: sh.Loader(Stream(), order=sh.Repeated()), ValueError, "Loader: order must be None, .* is iterable"),
        (
            lambda: sh.Loader(sh.concat([ARRAYS, sh.Arrays({"y": np.arange(5)})]), order=sh.Mixture([1, 2])),
            ValueError,
            "`x`|`y`",
        ),
    ],
)
def test_what_cannot_be_is_said(make: Callable[[], Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make()


def anything(given: Any) -> Any:
    """Returns a value of which a type checker is not to know what it is."""
    return given


class Endless:
    """A sampler without an end."""

    def __iter__(self) -> Any:
        return itertools.count()


class Stream:
    def __iter__(self) -> Any:
        return iter(range(5))


def test_an_order_is_checked_before_workers_start() -> None:
    with pytest.raises(ValueError, match="4 weights, and the source has 5 samples"):
        sh.Loader(ARRAYS, order=sh.Weighted([1] * 4), num_workers=2)
