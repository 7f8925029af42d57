"""A sample made alone has the bytes of its row."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import stokehold as sh
from support import image_loader

LEN = 23
RAGGED = sh.Lists([np.arange(n % 5) for n in range(LEN)])
TABLE = sh.Table({"x": np.arange(LEN, dtype=np.float32), "list": RAGGED})


class Drawn:
    """A dataset whose samples have numbers of their own."""

    def __len__(self) -> int:
        return LEN

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {"drawn": random.random() + np.random.random(), "index": index}  # noqa: NPY002


ORDERS: dict[str, dict[str, Any]] = {
    "source": {},
    "shuffled": {"shuffle": True},
    "weighted": {"order": sh.Weighted(np.arange(LEN) % 4, num_samples=31)},
    "once": {"order": sh.Weighted(np.arange(LEN) % 4, replacement=False)},
    "curriculum": {"order": sh.Curriculum(np.arange(LEN), 2)},
    "repeated": {"order": sh.Repeated(2)},
    "subset": {"order": sh.Explicit([3, 9, 1, 0])},
    "listed": {"order": sh.Explicit(lambda epoch: [epoch, 5, 5, 7])},
    "batches": {"order": sh.Explicit([[3, 9, 1, 0], [4, 5, 6, 7]])},
}


def check(loader: sh.Loader, epochs: int = 2, *, has_rank: tuple[int, int] = (0, 1)) -> None:
    rank, world_size = has_rank
    size = loader.batch_size or 1
    with loader:
        for _ in range(epochs):
            for number, batch in enumerate(loader):
                epoch, arrays = batch.epoch, batch.numpy()
                for row, index in enumerate(map(int, batch.indices)):
                    if not batch.valid[row]:
                        continue
                    position = (number * size + row) * world_size + rank
                    made = loader.sample(index, epoch, position)
                    assert {name: np.asarray(each).tobytes() for name, each in made.items()} == {
                        name: np.asarray(rows[row]).tobytes() for name, rows in arrays.items()
                    }
        state = loader.state_dict()
        loader.sample(index, position=None if not loader._native.repeats else position, epoch=epoch)
        assert loader.state_dict() == state


@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.parametrize("name", ORDERS)
def test_a_sample_of_any_order(name: str, num_workers: int) -> None:
    check(sh.Loader(Drawn(), batch_size=4, seed=9, num_workers=num_workers, **ORDERS[name]))


@pytest.mark.parametrize("name", ["shuffled", "weighted", "listed"])
def test_a_sample_of_one_of_several_ranks(name: str) -> None:
    for rank in range(3):
        loader = sh.Loader(
            TABLE, batch_size=4, seed=9, num_workers=1, rank=rank, world_size=3, even="uneven", **ORDERS[name]
        )
        check(loader, epochs=1, has_rank=(rank, 3))


@pytest.mark.parametrize("num_workers", [0, 2])
def test_an_image_with_its_crop(folder: Path, num_workers: int) -> None:
    check(image_loader(folder, num_workers=num_workers))


def test_an_image_with_its_crop_where_it_comes_twice(folder: Path) -> None:
    check(image_loader(folder, num_workers=2, shuffle=False, order=sh.Repeated(2)))


@settings(deadline=None, max_examples=20)
@given(index=st.integers(0, LEN - 1), epoch=st.integers(0, 2**64 - 2), seed=st.integers(0, 2**64 - 1))
def test_where_no_sample_comes_twice_its_position_is_nothing(index: int, epoch: int, seed: int) -> None:
    loaders = [
        sh.Loader(Drawn(), seed=seed, batch_size=size, num_workers=0, **ORDERS[name])
        for size, name in [(4, "shuffled"), (2, "source"), (4, "subset"), (3, "once")]
    ]
    first, *others = [loader.sample(index, epoch=epoch) for loader in loaders]
    assert all(other["drawn"].tobytes() == first["drawn"].tobytes() for other in others)
    assert first["index"] == index


def test_a_sample_of_the_current_epoch_of_a_loader_that_is_closed() -> None:
    loader = sh.Loader(Drawn(), batch_size=None, shuffle=True, num_workers=1)
    samples = list(loader)
    expected = next(each for each in samples if each["index"] == 6)["drawn"]
    assert loader.sample(6)["drawn"] != expected
    assert loader.sample(6, epoch=0)["drawn"] == expected
    loader.close()
    assert loader.sample(6, epoch=0)["drawn"] == expected


def test_what_mixes_a_batch_is_left_out(folder: Path) -> None:
    plain = image_loader(folder, num_workers=0)
    mixed = image_loader(folder, num_workers=0, batch_transforms=[sh.MixUp(num_classes=5), double])
    rows = {
        int(index): (image.tobytes(), int(label))
        for batch in plain
        for index, image, label in zip(batch.indices, batch["image"], batch["label"], strict=True)
    }
    for index, (image, label) in rows.items():
        made = mixed.sample(index, epoch=0)
        assert (made["image"].tobytes(), int(made["label"])) == (image, label)


def double(batch: dict[str, Any]) -> None:
    batch["image"] *= 2


def test_a_bad_sample_is_bad_whatever_becomes_of_it_in_a_batch() -> None:
    class Bad(Drawn):
        def __getitem__(self, index: int) -> dict[str, Any]:
            if index == 5:
                raise ZeroDivisionError("nothing to divide")
            return super().__getitem__(index)

    with sh.Loader(Bad(), batch_size=4, on_error="skip", num_workers=0) as loader:
        assert len(list(loader)) == 6
        with pytest.raises(ZeroDivisionError, match="nothing to divide"):
            loader.sample(5)


class Stream:
    """A dataset that is iterated."""

    def __iter__(self) -> Any:
        return iter({"x": n} for n in range(9))


def test_what_no_sample_is_made_of() -> None:
    plain = sh.Loader(TABLE, batch_size=4, num_workers=0)
    weighted = sh.Loader(TABLE, batch_size=4, num_workers=0, **ORDERS["weighted"])
    with pytest.raises(ValueError, match=r"Loader\.sample: index must be 0 to 22, not 23"):
        plain.sample(23)
    with pytest.raises(ValueError, match=r"Loader\.sample: position must be 0 to 22, or None, not 23"):
        plain.sample(1, position=23)
    with pytest.raises(ValueError, match=r"Loader\.sample: position 3 of epoch 7 is that of sample 3, and index is 1"):
        plain.sample(1, 7, 3)
    with pytest.raises(ValueError, match=r"position must be a number, not None, as the order may give .*Weighted\("):
        weighted.sample(1)
    with (
        sh.Loader(Drawn(), batch_size=4, rng="worker") as loader,
        pytest.raises(ValueError, match="sample needs rng='sample'"),
    ):
        loader.sample(0)
    with (
        sh.Loader(Stream(), batch_size=4, num_workers=0) as loader,
        pytest.raises(TypeError, match="sample needs a dataset with"),
    ):
        loader.sample(0)
