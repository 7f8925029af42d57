"""What transforms draw: for each field by itself, and for what follows an image as the image."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import stokehold as sh

SAMPLES, SIDE = 64, 48
GEOMETRY = [sh.RandomResizedCrop(24), sh.RandomHorizontalFlip()]


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An image whose red and green tell where a pixel was."""
    image = pytest.importorskip("PIL.Image")
    path = tmp_path_factory.mktemp("draws") / "image.png"
    row, column = np.mgrid[0:SIDE, 0:SIDE].astype(np.uint8)
    image.fromarray(np.stack([column, row, row], axis=-1)).save(path)
    return path


def views(path: Path, chains: dict[str, list[sh.Transform]], **options: Any) -> dict[str, npt.NDArray[np.uint8]]:
    """Views of each sample; the sample is always the same file."""
    table = sh.Table({name: sh.Images([path] * SAMPLES) for name in chains})
    given: dict[str, Any] = {"batch_size": SAMPLES, "seed": 1, "num_workers": 0}
    with sh.Loader(table, transforms=chains, **given | options) as loader:
        (batch,) = loader
        return {name: np.array(batch[name]) for name in chains}


def agreement(first: npt.NDArray[np.uint8], second: npt.NDArray[np.uint8]) -> float:
    return float((first.reshape(SAMPLES, -1) == second.reshape(SAMPLES, -1)).all(axis=1).mean())


@pytest.mark.parametrize(
    "chain",
    [
        [sh.RandomCrop(24)],
        GEOMETRY,
        [sh.RandAugment(), sh.CenterCrop(24)],
        [sh.ColorJitter(0.5, 0.5, 0.5, 0.2), sh.CenterCrop(24)],
        [sh.CenterCrop(24), sh.RandomErasing(p=1.0)],
        [sh.RandomRotation(90), sh.CenterCrop(24)],
    ],
    ids=lambda chain: "+".join(type(step).__name__ for step in chain),
)
def test_two_views_of_a_sample_differ(path: Path, chain: list[sh.Transform]) -> None:
    seen = views(path, {"first": chain, "second": chain})
    assert agreement(seen["first"], seen["second"]) < 0.3
    shared = views(path, {"first": chain, "second": chain}, draws={"second": "first"})
    assert np.array_equal(shared["first"], seen["first"])
    assert np.array_equal(shared["second"], seen["first"])


def test_flips_of_two_views_are_independent(path: Path) -> None:
    chain = [sh.RandomHorizontalFlip(), sh.CenterCrop(SIDE)]
    seen = views(path, {"first": chain, "second": chain})
    alike = np.sum(seen["first"][:, 0, 0, 0] == seen["second"][:, 0, 0, 0])
    # Of 64 fair coins, given or taken four standard deviations of 4.
    assert 16 <= alike <= 48


@pytest.mark.parametrize("workers", [1, 2])
def test_draws_do_not_depend_on_workers(path: Path, workers: int) -> None:
    chains = {"first": GEOMETRY, "second": GEOMETRY}
    here, there = views(path, chains), views(path, chains, num_workers=workers)
    assert all(np.array_equal(here[name], there[name]) for name in chains)


def test_what_stands_between_changes_no_draws(path: Path) -> None:
    plain = views(path, {"image": GEOMETRY})["image"]
    for chain in (
        [sh.DecodeImage(), *GEOMETRY],
        [sh.ColorJitter(brightness=0), *GEOMETRY],
        [sh.RandomVerticalFlip(p=0.0), *GEOMETRY],
        [GEOMETRY[0], sh.Pad(0), GEOMETRY[1]],
    ):
        assert np.array_equal(views(path, {"image": chain})["image"], plain), chain
    # One of the same name counts.
    flips = [sh.RandomHorizontalFlip(p=0.0), *GEOMETRY]
    assert not np.array_equal(views(path, {"image": flips})["image"], plain)


def test_a_field_draws_as_another_by_the_names_of_transforms(path: Path) -> None:
    chains = {"image": [sh.RandomCrop(24), sh.ColorJitter(0.5)], "depth": [sh.Grayscale(3), sh.RandomCrop(24)]}
    seen = views(path, chains, draws={"depth": "image"})
    plain = views(path, {"image": [sh.RandomCrop(24)], "depth": [sh.CenterCrop(24)]})
    expected = views(path, {"image": [sh.RandomCrop(24), sh.Grayscale(3)], "depth": [sh.CenterCrop(24)]})
    assert np.array_equal(seen["depth"], expected["image"])
    assert not np.array_equal(seen["image"], plain["image"])


def test_arrays_in_memory_draw_as_their_image() -> None:
    pixels = np.tile(np.arange(32, dtype=np.uint8), (SAMPLES, 32, 1))
    source = sh.Arrays({"image": pixels, "mask": pixels.copy()})
    chain = [sh.RandomCrop(20), sh.RandomHorizontalFlip()]
    options: dict[str, Any] = {"transforms": {"image": chain, "mask": chain}, "num_workers": 0, "batch_size": SAMPLES}
    with sh.Loader(source, draws={"mask": "image"}, **options) as loader:
        (batch,) = loader
        assert np.array_equal(batch["image"], batch["mask"])
    with pytest.raises(
        ValueError, match=r"field `mask` draws its RandomCrop by itself, .*draws\[\"mask\"\] = \"image\""
    ):
        sh.Loader(source, **options)
    with sh.Loader(source, draws={"mask": "mask"}, **options) as loader:
        (batch,) = loader
        assert not np.array_equal(batch["image"], batch["mask"])


def test_mistakes_are_named_at_once(path: Path) -> None:
    table = sh.Table({name: sh.Images([path]) for name in ("a", "b", "c")} | {"mask": sh.Masks([path], "a")})
    chains = {name: [sh.CenterCrop(4)] for name in ("a", "b", "c")}
    for draws, message in (
        ({"d": "a"}, "there is no field `d` for draws"),
        ({"a": "d"}, "there is no field `d` to draw as"),
        ({"mask": "b"}, "field `mask` cannot draw as `b`: it follows `a`"),
        ({"b": "mask"}, "field `b` cannot draw as `mask`: `mask` follows `a`: name that"),
        ({"b": "a", "c": "b"}, "field `c` cannot draw as `b`: `b` draws as `a` itself: name that"),
    ):
        with pytest.raises(ValueError, match=message):
            sh.Loader(table, transforms=chains, draws=draws, num_workers=0)
    wrong: Any = {"a": 3}
    with pytest.raises(TypeError, match=r"draws\['a'\] must be the name of a field, not 3"):
        sh.Loader(table, transforms=chains, draws=wrong, num_workers=0)
    wrong = ["a"]
    with pytest.raises(TypeError, match=r"draws must map fields to fields, not be \['a'\]"):
        sh.Loader(table, transforms=chains, draws=wrong, num_workers=0)
