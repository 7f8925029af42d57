"""docs/transforms.md: its tables name what there is, and tell where arguments differ from those of other libraries."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import stokehold as sh

NONE = "\N{EN DASH}"
PAGE = Path(__file__).parents[2] / "docs" / "transforms.md"
IMAGE = np.random.default_rng(8).integers(0, 256, (40, 50, 3), np.uint8)


@pytest.fixture(scope="module")
def albumentations() -> Iterator[Any]:
    """Albumentations, which would ask the network for its newest release."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("NO_ALBUMENTATIONS_UPDATE", "1")
        yield pytest.importorskip("albumentations")


def table(heading: str) -> list[tuple[str, str, str]]:
    """Returns the rows of a section's table."""
    section = PAGE.read_text().split(f"## {heading}\n")[1].split("\n## ")[0]
    rows = [line.strip("| ").split(" | ") for line in section.splitlines() if line.startswith("| `")]
    return [(row[0], row[1], row[2] if len(row) > 2 else "") for row in rows]


def names(cell: str) -> list[str]:
    """Returns the classes that a cell names."""
    return [
        name for code in re.findall(r"`([^`]+)`", cell) for name in re.findall(r"\b[A-Z][A-Za-z0-9]+\b(?=\(|$)", code)
    ]


def arguments(kind: Any) -> dict[str, Any]:
    parameters = list(inspect.signature(kind.__init__).parameters.values())[1:]
    return {each.name: getattr(each.default, "value", each.default) for each in parameters}


def test_every_transform_of_torchvision_has_its_line() -> None:
    v2 = pytest.importorskip("torchvision.transforms.v2")
    classes = {
        name for name in dir(v2) if inspect.isclass(getattr(v2, name)) and issubclass(getattr(v2, name), v2.Transform)
    }
    listed = [name for first, _, _ in table("torchvision") for name in names(first)]
    assert sorted(listed) == sorted(classes - {"Transform"})


def test_every_name_in_the_second_column_is_ours() -> None:
    for heading in ("torchvision", "torchaudio", "Albumentations"):
        for first, ours, _ in table(heading):
            for name in names(ours):
                assert hasattr(sh, name), f"{first}: {name}"


def test_arguments_and_defaults_differ_where_the_table_says_so() -> None:
    v2 = pytest.importorskip("torchvision.transforms.v2")
    compared = 0
    for first, ours, differs in table("torchvision"):
        (name,) = names(first)
        if ours.split(",")[0] != f"`{name}`":
            assert ours == NONE or not hasattr(sh, name), f"there is a {name}"
            continue
        there, here = arguments(getattr(v2, name)), arguments(getattr(sh, name))
        order = [argument for argument in here if argument in there]
        assert order == [argument for argument in there if argument in here], name
        for argument in there.keys() | here.keys():
            if argument not in there or argument not in here or there[argument] != here[argument]:
                assert f"`{argument}`" in differs, f"{name}: {argument} is to be told"
        for argument in re.findall(r"\bno `(\w+)`", differs):
            assert argument not in here, f"{name} has {argument}"
        compared += 1
    assert compared > 35


def test_arguments_differ_from_those_of_torchaudio_where_the_table_says_so() -> None:
    theirs = pytest.importorskip("torchaudio.transforms")
    compared = 0
    for first, ours, differs in table("torchaudio"):
        (name,) = names(first)
        there = arguments(getattr(theirs, name))
        if ours != first:
            assert not hasattr(sh, name), f"there is a {name}"
            continue
        here = arguments(getattr(sh, name))
        assert list(here) == [argument for argument in there if argument in here], name
        for argument in there:
            if argument not in here or there[argument] != here[argument]:
                assert f"`{argument}`" in differs, f"{name}: {argument} is to be told"
        compared += 1
    assert compared == 5


def test_the_transforms_of_albumentations_are_its_own(albumentations: Any) -> None:
    for first, _, _ in table("Albumentations"):
        for name in names(first):
            assert hasattr(albumentations, name), name


def made(image: Any, step: Any) -> Any:
    with sh.Loader(
        sh.Arrays({"image": image[None]}), batch_size=1, transforms={"image": [step]}, num_workers=0
    ) as loader:
        (batch,) = list(loader)
        return np.array(batch["image"][0])


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        (lambda a: a.HorizontalFlip(p=1), sh.RandomHorizontalFlip(1)),
        (lambda a: a.VerticalFlip(p=1), sh.RandomVerticalFlip(1)),
        (lambda a: a.InvertImg(p=1), sh.RandomInvert(1)),
        (lambda a: a.Posterize(num_bits=3, p=1), sh.RandomPosterize(3, 1)),
        (lambda a: a.Solarize((0.4, 0.4), p=1), sh.RandomSolarize(0.4 * 255, 1)),
        (lambda a: a.CenterCrop(20, 30, p=1), sh.CenterCrop((20, 30))),
        (lambda a: a.NoOp(p=1), sh.Compose([])),
        (
            lambda a: a.Sequential([a.HorizontalFlip(p=1), a.InvertImg(p=1)], p=1),
            sh.RandomApply([sh.RandomHorizontalFlip(1), sh.RandomInvert(1)], 1),
        ),
    ],
)
def test_what_has_no_difference_gives_the_pixels_of_albumentations(
    albumentations: Any, theirs: Any, ours: sh.Transform
) -> None:
    expected = albumentations.Compose([theirs(albumentations)])(image=IMAGE)["image"]
    assert np.array_equal(made(IMAGE, ours), expected)


def test_values_that_are_rounded_are_near_those_of_albumentations(albumentations: Any) -> None:
    normalize = albumentations.Normalize(sh.IMAGENET_MEAN, sh.IMAGENET_STD)
    ours = made(IMAGE, sh.Normalize(sh.IMAGENET_MEAN, sh.IMAGENET_STD))
    # Either lies within 2^-22 of what is exact, times the larger of the value and mean / std, which is below 2.7.
    np.testing.assert_allclose(ours, normalize(image=IMAGE)["image"], rtol=0, atol=4 * 2.7 * 2**-22)
    narrow = IMAGE // 2 + 40
    stretched = albumentations.AutoContrast(method="pil", p=1)(image=narrow)["image"]
    assert np.abs(stretched.astype(int) - made(narrow, sh.RandomAutocontrast(1))).max() <= 1
