"""A source that has grown: the epoch that was reached goes on over the samples that there were."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import stokehold as sh
from support import order

SEED = 5


def numbers(length: int) -> sh.Arrays:
    return sh.Arrays({"x": np.arange(length)})


def made(length: int, shape: tuple[int, int] = (4, 1), rank: int = 0, **options: Any) -> sh.Loader:
    batch_size, world = shape
    given: dict[str, Any] = {"batch_size": batch_size, "seed": SEED, "num_workers": 0, "shuffle": True}
    given |= options
    source = given.pop("source", None) or numbers(length)
    return sh.Loader(source, rank=rank, world_size=world, even="uneven", **given)


def through_json(state: dict[str, Any]) -> dict[str, Any]:
    again: dict[str, Any] = json.loads(json.dumps(state))
    return again


ORDERS: dict[str, dict[str, Any]] = {
    "source": {"shuffle": False},
    "shuffled": {},
    "repeated": {"shuffle": False, "order": sh.Repeated(2)},
}


@settings(deadline=None, max_examples=60)
@given(
    grows=st.tuples(st.integers(1, 40), st.integers(1, 40), st.integers(1, 9)),
    stops=st.tuples(st.integers(0, 9), st.integers(0, 4)),
    shapes=st.lists(st.tuples(st.integers(1, 5), st.integers(1, 3)), min_size=3, max_size=3),
    name=st.sampled_from(list(ORDERS)),
)
def test_an_epoch_is_over_the_samples_that_there_were_and_the_next_over_all(
    grows: tuple[int, int, int],
    stops: tuple[int, int],
    shapes: list[tuple[int, int]],
    name: str,
) -> None:
    """Stopped, grown and gone on twice, in one epoch."""
    times = 2 if name == "repeated" else 1
    had, more, still_more = grows
    lengths = (had, had + more, had + more + still_more)

    def ranks(at: int) -> list[sh.Loader]:
        return [made(lengths[at], shapes[at], rank, **ORDERS[name]) for rank in range(shapes[at][1])]

    def read(loaders: list[sh.Loader], batches: int | None) -> list[int]:
        # All ranks stop after as many batches, so that rank 0's state is of all.
        fewest = min(loader.remaining for loader in loaders)
        count = None if batches is None else min(batches, fewest)
        seen: list[int] = []
        for loader in loaders:
            epoch = iter(loader)
            seen += order(epoch) if count is None else order(next(epoch) for _ in range(count))
        return seen

    first = ranks(0)
    seen = read(first, stops[0])
    state = through_json(first[0].state_dict())
    has_begun = (state["epoch"], state["cursor"]) > (0, 0)
    second = ranks(1)
    for loader in second:
        loader.load_state_dict(state, grown=True)
    audit, length = second[0].audit(0), had if has_begun else lengths[1]
    assert (audit["samples"], audit["positions"]) == (length, length * times)
    seen += read(second, stops[1])
    state = through_json(second[0].state_dict())
    assert state["samples"] == lengths[1]
    third = ranks(2)
    for loader in third:
        loader.load_state_dict(state, grown=True)
    assert all(loader.epoch == state["epoch"] for loader in third)
    seen += read(third, None)
    # The last length in which nothing of epoch 0 had been handed out.
    length = had if has_begun else lengths[1] if (state["epoch"], state["cursor"]) > (0, 0) else lengths[2]
    if state["epoch"] == 0:
        assert sorted(seen) == sorted([*range(length)] * times)
        assert sorted(read(third, None)) == sorted([*range(lengths[2])] * times)
    assert third[0].audit(0)["samples"] == length


@pytest.mark.parametrize(("workers", "then"), [(0, 0), (0, 2), (2, 0), (2, 1)])
@pytest.mark.parametrize("name", ORDERS)
def test_the_rest_is_the_same_in_the_same_order(name: str, workers: int, then: int) -> None:
    expected = order(made(23, **ORDERS[name]))
    for stop in range(1, len(expected) // 4):
        with made(23, num_workers=workers, **ORDERS[name]) as first:
            batches = iter(first)
            seen = order(next(batches) for _ in range(stop))
            state = through_json(first.state_dict())
        with made(31, (3, 1), num_workers=then, **ORDERS[name]) as second:
            second.load_state_dict(state, grown=True)
            assert seen + order(second) == expected
            plain = made(31, **ORDERS[name])
            plain.set_epoch(1)
            assert order(second) == order(plain)
            # It is a function of the epoch, also of one that is gone back to.
            second.set_epoch(0)
            assert order(second) == expected


def test_a_state_of_the_old_epoch_says_so_and_needs_no_word() -> None:
    first = made(23)
    seen = order([next(iter(first))])
    state = through_json(first.state_dict())
    with pytest.raises(ValueError, match=r"23 of them, and this loader has 31; where it has only grown, .*grown=True"):
        made(31).load_state_dict(state)
    second = made(31)
    second.load_state_dict(state, grown=True)
    batches = iter(second)
    seen += order(next(batches) for _ in range(2))
    again = through_json(second.state_dict())
    assert (again["samples"], again["grown"]) == (31, [[0, 23]])
    third = made(31, num_workers=1)
    third.load_state_dict(again)
    seen += order(third)
    assert seen == order(made(23))
    third.close()
    # What is not grown may be said to be.
    fourth = made(31)
    fourth.load_state_dict(again, grown=True)
    assert fourth.state_dict() == again


def test_a_loader_that_has_begun_goes_on_elsewhere() -> None:
    """Workers have the next epoch, and the rest of this one, ready over all samples."""
    first = made(23)
    seen = order([next(iter(first))])
    state = first.state_dict()
    for epoch, length in ((0, 23), (1, 31)):
        with made(31, num_workers=2, prefetch=8) as second:
            next(iter(second))
            if epoch:
                order(second)
            second.load_state_dict(state, grown=True)
            assert seen + order(second) == order(made(23))
            assert len(order(second)) == 31
            del length
        with made(31, num_workers=2, prefetch=8) as third:
            third.load_state_dict(state, grown=True)
            batches = iter(third)
            next(batches)
            # And back, in the middle, to where all samples are in each epoch.
            third.load_state_dict(made(31).state_dict())
            assert order(third) == order(made(31))


def kept(batches: Iterable[sh.Batch]) -> list[tuple[list[int], bytes]]:
    return [(list(map(int, batch.indices)), batch["x"].tobytes()) for batch in batches]


def test_a_batch_and_a_sample_of_the_old_epoch_are_made_again() -> None:
    crop: dict[str, Any] = {"transforms": {"x": [sh.RandomCrop(3)]}}
    images = np.random.default_rng(0).integers(0, 255, (30, 6, 5, 3), np.uint8)
    first = made(0, source=sh.Arrays({"x": images[:20]}), **crop)
    batches = kept(first)
    state = made(0, source=sh.Arrays({"x": images[:20]}), **crop).state_dict() | {"cursor": 8}
    with made(0, source=sh.Arrays({"x": images}), num_workers=2, **crop) as second:
        second.load_state_dict(state, grown=True)
        rest = kept(second)
        next(iter(second))
        assert rest == batches[2:]
        assert kept(second.replay(0, number) for number in range(5)) == batches
        index, row = batches[1][0][2], bytes(batches[1][1])[2 * 27 : 3 * 27]
        assert second.sample(index, 0)["x"].tobytes() == row
        assert second.sample(index, 0, 6)["x"].tobytes() == row
        with pytest.raises(ValueError, match=r"position must be 0 to 19"):
            second.sample(0, 0, 20)


@pytest.mark.parametrize("workers", [0, 1])
def test_samples_that_are_not_behind_the_others_are_refused(tmp_path: Path, workers: int) -> None:
    def write(*names: str) -> None:
        for name in names:
            path = tmp_path / name
            path.parent.mkdir(exist_ok=True)
            Image.new("RGB", (4, 3)).save(path)

    def loader() -> sh.Loader:
        fit = {"image": [sh.CenterCrop(3)]}
        return sh.Loader(sh.ImageFolder(tmp_path), batch_size=2, shuffle=True, num_workers=workers, transforms=fit)

    write("a/1.png", "a/2.png", "b/1.png", "b/2.png", "b/3.png")
    with loader() as first:
        seen = order([next(iter(first))])
        state, expected = first.state_dict(), order(made(5, (2, 1), seed=0))
    write("b/4.png")
    with loader() as behind:
        behind.load_state_dict(state, grown=True)
        assert seen + order(behind) == expected
        assert len(order(behind)) == 6
    write("a/3.png")
    with loader() as between:
        before = between.state_dict()
        with pytest.raises(ValueError, match=r"5 samples that are not the first ones of this source, by their names"):
            between.load_state_dict(state, grown=True)
        assert between.state_dict() == before
    write("c/1.png")
    with loader() as others, pytest.raises(ValueError, match="another source"):
        others.load_state_dict(state, grown=True)
    # Older states do not say how many there were.
    old = {name: state[name] for name in state if name not in {"samples", "names"}}
    with loader() as others, pytest.raises(ValueError, match="another source"):
        others.load_state_dict(old, grown=True)


def test_what_is_put_behind_by_concat_or_select_is_known() -> None:
    def stopped(source: sh.Source) -> dict[str, Any]:
        loader = made(0, source=source)
        next(iter(loader))
        return loader.state_dict()

    def goes_on(state: dict[str, Any], source: sh.Source, had: int) -> None:
        loader = made(0, source=source)
        loader.load_state_dict(state, grown=True)
        assert len(order(loader)) == had - 4
        assert len(order(loader)) == loader.samples

    one, two = numbers(11), numbers(6)
    goes_on(stopped(one), sh.concat([one, two]), 11)
    goes_on(stopped(sh.concat([one, two])), sh.concat([one, two, one]), 17)
    goes_on(stopped(sh.concat([one, two])), sh.concat([one, numbers(8)]), 17)
    goes_on(stopped(one.select([3, 1, 0, 7, 8])), one.select([3, 1, 0, 7, 8, 2]), 5)
    for before, after in [
        (sh.concat([one, two]), sh.concat([numbers(12), two])),
        (one.select([3, 1, 0, 7, 8]), one.select([3, 1, 0, 8, 7, 2])),
        (one.select([3, 1, 0, 7, 8]), numbers(6)),
    ]:
        loader = made(0, source=after)
        with pytest.raises(ValueError, match="another source"):
            loader.load_state_dict(stopped(before), grown=True)
        assert loader.state_dict()["cursor"] == 0


def test_orders_that_depend_on_all_samples_are_refused_and_lists_go_on() -> None:
    weights = np.arange(12.0) + 1
    for of in (
        lambda n: sh.Weighted(weights[:n]),
        lambda n: sh.Weighted(weights[:n], replacement=False),
        lambda n: sh.Curriculum(weights[:n], 2),
        lambda n: sh.Mixture([1, 2], lengths=[4, n - 4]),
    ):
        first = made(9, shuffle=False, order=of(9))
        next(iter(first))
        with pytest.raises(ValueError, match=r"depends on all samples, and the source has 12 now, and had 9; shuffle"):
            made(12, shuffle=False, order=of(12)).load_state_dict(first.state_dict(), grown=True)
    for listed in (sh.Explicit([3, 1, 8, 0, 2]), sh.Explicit(lambda epoch: [epoch, 2, 3, 4, 5])):
        first = made(9, shuffle=False, order=listed)
        seen = order([next(iter(first))])
        second = made(12, shuffle=False, order=listed)
        second.load_state_dict(first.state_dict(), grown=True)
        assert seen + order(second) == order(made(9, shuffle=False, order=listed))
    others = made(12, shuffle=False, order=sh.Explicit([3, 1, 8, 0, 2, 11]))
    with pytest.raises(ValueError, match="another Explicit"):
        others.load_state_dict(made(9, shuffle=False, order=sh.Explicit([3, 1, 8, 0, 2])).state_dict(), grown=True)


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("kind", ["packing", "budget", "buckets"])
def test_a_cut_goes_on_over_the_lengths_that_there_were(kind: str, workers: int) -> None:
    lengths = np.random.default_rng(1).integers(1, 30, 60)

    def cut(count: int) -> sh.Cut:
        of = lengths[:count]
        if kind == "packing":
            return sh.Packing(32, of, "x")
        return sh.TokenBudget(64, of, "x") if kind == "budget" else sh.Buckets([10, 30], [4, 2], of, "x")

    def loader(count: int, workers: int = 0) -> sh.Loader:
        source = sh.Table({"x": sh.Lists([np.arange(length) for length in lengths[:count]])})
        size: dict[str, Any] = {"batch_size": 2} if kind == "packing" else {}
        return sh.Loader(source, cut=cut(count), shuffle=True, seed=SEED, num_workers=workers, **size)

    def read(loader: sh.Loader) -> list[tuple[list[int], bytes]]:
        return [(list(batch.indices), batch["x"].tobytes()) for batch in loader]

    expected = read(loader(40))
    with loader(40, workers) as first:
        batches = iter(first)
        seen = [(list(batch.indices), batch["x"].tobytes()) for batch in (next(batches), next(batches))]
        state = through_json(first.state_dict())
    with loader(60, workers) as second:
        # Groups of all samples are made for this epoch, and the next, and are not to be used.
        assert len(second) != len(expected)
        next(iter(second))
        second.load_state_dict(state, grown=True)
        assert len(second) == len(expected)
        assert seen + read(second) == expected
        plain = loader(60)
        plain.set_epoch(1)
        assert read(second) == read(plain)
    # Another cut at once: the rest of the samples that there were, and then all.
    source = sh.Table({"x": sh.Lists([np.arange(length) for length in lengths])})
    budget = sh.TokenBudget(40, lengths, "x")
    with sh.Loader(source, cut=budget, shuffle=True, seed=SEED, num_workers=workers) as third:
        third.load_state_dict(state, grown=True)
        later = through_json(third.state_dict())
        for _ in range(2):
            assert sorted(i for indices, _ in seen + read(third) for i in indices) == list(range(40))
            assert sorted(i for indices, _ in read(third) for i in indices) == list(range(60))
            third.load_state_dict(later)
    lengths[3] += 1
    with pytest.raises(ValueError, match="other lengths of samples"):
        loader(60).load_state_dict(state, grown=True)


@pytest.mark.parametrize("workers", [0, 1])
def test_what_draws_other_samples_is_refused(workers: int) -> None:
    def loader(count: int, transforms: Any) -> sh.Loader:
        source = sh.Table({"x": sh.Images([np.zeros((4, 4, 3), np.uint8)] * count)})
        return sh.Loader(source, batch_size=2, shuffle=True, num_workers=workers, transforms=transforms)

    mosaic = {"x": [sh.Mosaic(4)]}
    mapped = [{"x": [sh.Compose([sh.Mosaic(4)])]}, sh.Map(lambda sample: sample)]
    for transforms, part in (
        (mosaic, "Mosaic draws from all samples, and the source has 9"),
        (mapped, "before a Map draws"),
    ):
        with loader(8, transforms) as first:
            next(iter(first))
            state = first.state_dict()
        with loader(9, transforms) as second, pytest.raises(ValueError, match=part):
            second.load_state_dict(state, grown=True)


def test_windows_of_files_of_tokens_that_were_added(tmp_path: Path) -> None:
    for part in range(3):
        np.arange(40 + part, dtype=np.uint16).tofile(tmp_path / f"{part}.bin")

    def loader(*parts: int) -> sh.Loader:
        return made(0, source=sh.TokenBin([tmp_path / f"{part}.bin" for part in parts], 4))

    first = loader(0, 1)
    seen, state = order([next(iter(first))]), first.state_dict()
    second = loader(0, 1, 2)
    second.load_state_dict(state, grown=True)
    assert seen + order(second) == order(loader(0, 1))
    with pytest.raises(ValueError, match="by their names"):
        loader(0, 2, 1).load_state_dict(state, grown=True)


@pytest.mark.parametrize(
    ("grown", "part"),
    [
        ([[0, 31]], "below 31"),
        ([[0, 0]], "below 31"),
        ([[2, 5], [1, 7]], "both rising"),
        ([[1, 7], [2, 7]], "both rising"),
        ([[1]], "not a loader's state"),
        ("x", "not a loader's state"),
    ],
    ids=str,
)
def test_a_state_that_says_what_cannot_be_is_refused(grown: object, part: str) -> None:
    loader = made(31)
    state = loader.state_dict()
    with pytest.raises(ValueError, match=part):
        loader.load_state_dict(state | {"grown": grown})
    with pytest.raises(ValueError, match=r"31 of them, and this loader has 23$"):
        made(23).load_state_dict(state, grown=True)
    with pytest.raises(TypeError, match=r"Loader\.load_state_dict: grown must be True or False"):
        loader.load_state_dict(state, grown="yes")  # type: ignore[arg-type]
    assert loader.state_dict() == state


def test_a_cursor_beyond_the_samples_that_there_were_is_refused_and_changes_nothing() -> None:
    state = made(23).state_dict() | {"cursor": 24}
    loader = made(31)
    with pytest.raises(ValueError, match="has cursor 24, and an epoch has 23 samples"):
        loader.load_state_dict(state, grown=True)
    assert order(loader) == order(made(31))


def test_workers_that_replace_others_know_it_too() -> None:
    first = made(40, (2, 1))
    seen = order([next(iter(first))])
    with made(90, (2, 1), num_workers=2, worker_batches=1) as second:
        second.load_state_dict(first.state_dict(), grown=True)
        assert seen + order(second) == order(made(40, (2, 1)))
        assert second.stats()["restarts"] > 0
