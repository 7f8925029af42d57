"""Resumption: a saved place goes on behind the last batch that was delivered."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import stokehold as sh
from support import image_loader, order, values

LEN = 23
INDICES = sh.Arrays({"x": np.arange(LEN)})


def loader(**options: Any) -> sh.Loader:
    given: dict[str, Any] = {"batch_size": 4, "shuffle": True, "seed": 5, "num_workers": 0}
    return sh.Loader(INDICES, **given | options)


def through_json(state: dict[str, Any]) -> dict[str, Any]:
    text = json.dumps(state)
    assert len(text) < 500
    again: dict[str, Any] = json.loads(text)
    return again


def stopped_after(batches: int, **options: Any) -> tuple[list[int], dict[str, Any]]:
    """What has been read in epoch 0 when so many batches have been delivered, and the state then."""
    with loader(**options) as first:
        source = iter(first)
        seen = order(next(source) for _ in range(batches))
        return seen, through_json(first.state_dict())


@pytest.mark.parametrize(("workers", "then"), [(0, 0), (0, 2), (2, 0), (1, 2)])
@pytest.mark.parametrize("batch_size", [1, 3, 4, 30])
def test_a_resumed_epoch_is_the_uninterrupted_one(workers: int, then: int, batch_size: int) -> None:
    epochs = loader(seed=5)
    expected = order(epochs) + order(epochs)
    for stop in range(len(loader()) + 1):
        seen, state = stopped_after(stop, num_workers=workers)
        with loader(num_workers=then, batch_size=batch_size) as second:
            second.load_state_dict(state)
            assert (second.epoch, seen + order(second)) == (0, expected[:LEN])
            assert order(second) == expected[LEN:]


def test_what_is_prefetched_does_not_count_as_read() -> None:
    with loader(num_workers=2, prefetch=5) as first:
        batches = iter(first)
        seen = order([next(batches)])
        while first.stats()["ready_slots"] + first.stats()["held_slots"] == 0:
            pass
        state = first.state_dict()
    second = loader()
    second.load_state_dict(state)
    assert seen + order(second) == order(loader())


def test_random_transforms_go_on_as_they_were(folder: Path) -> None:
    expected = values(image_loader(folder, num_workers=0, batch_size=4), epochs=2)
    with image_loader(folder, num_workers=2, batch_size=4) as first:
        values(first)
        batches = iter(first)
        next(batches)
        next(batches)
        state = first.state_dict()
    with image_loader(folder, num_workers=1, batch_size=4) as second:
        second.load_state_dict(state)
        assert values(second) == expected[8:]


@given(
    length=st.integers(1, 60),
    stop=st.integers(0, 12),
    before=st.tuples(st.integers(1, 9), st.integers(1, 4)),
    after=st.tuples(st.integers(1, 9), st.integers(1, 4)),
    shuffle=st.booleans(),
)
def test_the_rest_is_read_once_by_any_number_of_ranks(
    length: int, stop: int, before: tuple[int, int], after: tuple[int, int], shuffle: bool
) -> None:
    source = sh.Arrays({"x": np.arange(length)})

    def ranks(shape: tuple[int, int]) -> list[sh.Loader]:
        batch_size, world = shape
        common: dict[str, Any] = {"batch_size": batch_size, "world_size": world, "shuffle": shuffle, "num_workers": 0}
        return [sh.Loader(source, rank=rank, **common) for rank in range(world)]

    seen: list[int] = []
    states = []
    for rank in ranks(before):
        batches = iter(rank)
        seen += order(next(batches) for _ in range(min(stop, len(rank))))
        states.append(rank.state_dict())
    assert all(state == states[0] for state in states)
    delivered = len(set(seen))
    for rank in ranks(after):
        rank.load_state_dict(states[0])
        seen += order(rank)
    assert set(seen) == set(range(length))
    assert delivered == min(len(seen), delivered)
    # Only the padding that evens out the ranks is read again.
    assert len(seen) < length + before[1] + after[1]


def test_the_state_after_the_end_is_the_next_epoch() -> None:
    first = loader()
    order(first)
    second = loader()
    second.load_state_dict(first.state_dict())
    assert second.epoch == 1
    assert order(second) == order(first)


def test_a_fresh_state_is_the_beginning() -> None:
    second = loader()
    second.load_state_dict(loader().state_dict())
    assert order(second) == order(loader())


def test_a_state_can_be_loaded_in_the_middle_of_an_epoch_and_again() -> None:
    seen, state = stopped_after(2)
    with loader(num_workers=2) as second:
        next(iter(second))
        for _ in range(3):
            second.load_state_dict(state)
            assert second.state_dict() == state
            assert seen + order(second) == order(loader())


def test_setting_the_loaded_epoch_keeps_the_place() -> None:
    seen, state = stopped_after(3)
    second = loader()
    second.load_state_dict(state)
    second.set_epoch(0)
    assert seen + order(second) == order(loader())
    second.load_state_dict(state)
    second.set_epoch(1)
    assert len(order(second)) == LEN


def test_a_failed_batch_is_behind_the_state(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    for name in "012345":
        (tmp_path / "a" / f"{name}.jpg").write_bytes(b"no image")
    with sh.Loader(sh.ImageFolder(tmp_path), batch_size=2, transforms={"image": [sh.CenterCrop(4)]}) as first:
        batches = iter(first)
        with pytest.raises(sh.DecodeError):
            next(batches)
        assert first.state_dict()["cursor"] == 2


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"version": 2}, "version 2"),
        ({"seed": 6}, "seed 6"),
        ({"fingerprint": "0" * 32}, "another source"),
        ({"fingerprint": None}, "not a loader's state"),
        ({"epoch": -1}, "not a loader's state"),
        ({"cursor": "x"}, "not a loader's state"),
        ({"more": 1}, "not a loader's state"),
    ],
    ids=str,
)
def test_another_state_is_refused_and_changes_nothing(change: dict[str, Any], part: str) -> None:
    second = loader()
    with pytest.raises(ValueError, match=part):
        second.load_state_dict(second.state_dict() | change)
    with pytest.raises(ValueError, match="not a loader's state"):
        second.load_state_dict({})
    assert order(second) == order(loader())


def test_a_state_of_another_order_or_source_is_refused(arrays: sh.Arrays, folder: Path) -> None:
    state = loader().state_dict()
    for other in (loader(shuffle=False), sh.Loader(arrays, seed=5, shuffle=True, num_workers=0)):
        with pytest.raises(ValueError, match="another source"):
            other.load_state_dict(state)
    with image_loader(folder, seed=5, num_workers=1) as images, pytest.raises(ValueError, match="another source"):
        images.load_state_dict(state)


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("cursor", [LEN + 1, 2 * LEN, 2**63, 2**64 - 1])
def test_a_cursor_beyond_the_end_is_refused(cursor: int, workers: int) -> None:
    with loader(num_workers=workers) as second:
        with pytest.raises(ValueError, match=f"has cursor {cursor}, and an epoch has {LEN} samples"):
            second.load_state_dict(second.state_dict() | {"cursor": cursor})
        # The end itself is where a loader is after its last batch.
        second.load_state_dict(second.state_dict() | {"cursor": LEN})
        assert order(second) == []
        assert len(order(second)) == LEN


def test_the_last_epoch_of_all_is_refused() -> None:
    with loader() as second:
        with pytest.raises(ValueError, match="no epoch could follow"):
            second.load_state_dict(second.state_dict() | {"epoch": 2**64 - 1})
        with pytest.raises(ValueError, match=r"epoch must be 0 to 2\*\*64 - 2"):
            second.set_epoch(2**64 - 1)
        second.set_epoch(2**64 - 2)
        assert len(order(second)) == LEN
