"""A batch made again is the batch that was."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import stokehold as sh
from support import image_loader, value, values

LEN = 23
RAGGED = sh.Lists([np.arange(n % 5) for n in range(LEN)])


class Drawn:
    """A dataset whose samples have numbers of their own."""

    def __len__(self) -> int:
        return LEN

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {"drawn": random.random() + np.random.random(), "index": index}  # noqa: NPY002


def table_loader(**options: Any) -> sh.Loader:
    source = sh.Table({"x": np.arange(LEN, dtype=np.float32), "list": RAGGED})
    return sh.Loader(source, **{"batch_size": 4, "shuffle": True, "seed": 3} | options)


def mixing_loader(folder: Path, **options: Any) -> sh.Loader:
    return image_loader(folder, batch_transforms=[sh.MixUp(num_classes=5)], **options)


def check(loader: sh.Loader, epochs: int = 2) -> None:
    with loader:
        seen = [values(loader) for _ in range(epochs)]
        state = loader.state_dict()
        for epoch in reversed(range(epochs)):
            for batch in reversed(range(len(loader))):
                assert value(loader.replay(epoch, batch)) == seen[epoch][batch]
        assert loader.state_dict() == state


@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.parametrize("drop_last", [False, True])
@pytest.mark.parametrize("even", ["pad", "uneven"])
def test_a_batch_of_a_table(num_workers: int, even: str, *, drop_last: bool) -> None:
    check(table_loader(num_workers=num_workers, drop_last=drop_last, even=even))
    for rank in range(3):
        check(table_loader(num_workers=num_workers, drop_last=drop_last, even=even, rank=rank, world_size=3))


@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_batch_of_images_with_draws_and_mixes(folder: Path, num_workers: int) -> None:
    check(image_loader(folder, num_workers=num_workers))
    check(mixing_loader(folder, num_workers=num_workers))


@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_batch_of_a_dataset_of_python(num_workers: int) -> None:
    check(sh.Loader(Drawn(), batch_size=4, shuffle=True, seed=9, num_workers=num_workers))


def test_a_loader_that_is_closed_and_one_in_the_middle_of_an_epoch() -> None:
    whole = values(table_loader())
    with table_loader(num_workers=2) as loader:
        batches = iter(loader)
        first = value(next(batches))
        assert value(loader.replay(0, 2)) == whole[2]
        assert [first, *map(value, batches)] == whole
    assert value(loader.replay(0, 1)) == whole[1]


def test_a_single_sample() -> None:
    with table_loader(batch_size=None) as loader:
        samples = list(loader)
        assert loader.replay(0, 5)["x"] == samples[5]["x"]


def test_what_cannot_be_made_again() -> None:
    with table_loader() as loader:
        with pytest.raises(ValueError, match=r"Loader\.replay: batch must be below 6, the batches of epoch \d+, not 6"):
            loader.replay(0, 6)
        with pytest.raises(TypeError, match=r"Loader\.replay: epoch must be"):
            loader.replay("0", 0)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match=r"Loader\.replay: batch must be"):
            loader.replay(0, -1)
    with (
        sh.Loader(Drawn(), batch_size=4, rng="worker") as loader,
        pytest.raises(ValueError, match="replay needs rng='sample'"),
    ):
        loader.replay(0, 0)
    with (
        sh.Loader(Stream(), batch_size=4, num_workers=0) as loader,
        pytest.raises(TypeError, match="replay needs a dataset with"),
    ):
        loader.replay(0, 0)


class Stream:
    """A dataset that is iterated."""

    def __iter__(self) -> Any:
        return iter({"x": n} for n in range(9))


def test_a_bad_sample_is_bad_again() -> None:
    class Bad(Drawn):
        def __getitem__(self, index: int) -> dict[str, Any]:
            if index == 5:
                raise ZeroDivisionError("nothing to divide")
            return super().__getitem__(index)

    with sh.Loader(Bad(), batch_size=4) as loader, pytest.raises(ZeroDivisionError, match="nothing to divide"):
        loader.replay(0, 1)
