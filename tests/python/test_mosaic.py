"""Four samples in one: `stokehold.Mosaic`, beside what its numbers say."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import stokehold as sh
from keyed import Draws, operation
from support import value, values

Image = pytest.importorskip("PIL.Image")

ROWS, SEED = 9, 11
HEIGHT, WIDTH = 40, 60
SIZES = [(30 + 9 * at, 100 - 7 * at) for at in range(ROWS)]
"""(height, width)"""
BY_FIELD: Any = {"image": 1, "mask": 2}
TOLERANCE = 1e-4
"""In pixels: a product and a sum in ``float32`` of numbers below 128, each within 128 * 2**-24 of the true one."""


@pytest.fixture(scope="module")
def boxes() -> list[npt.NDArray[np.float32]]:
    draws = np.random.default_rng(8)
    found = []
    for at, (height, width) in enumerate(SIZES):
        corners = np.sort(draws.uniform(-0.1, 1.1, (at % 4 + (at != 0), 2, 2)), axis=1) * [width, height]
        found.append(corners.reshape(-1, 4).astype(np.float32))
    return found


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory, boxes: list[npt.NDArray[np.float32]]) -> sh.Table:
    """Images of one colour each, so that a resize leaves their pixels."""
    root = tmp_path_factory.mktemp("mosaic")
    images, masks = [], []
    for at, (height, width) in enumerate(SIZES):
        images.append(root / f"{at}.png")
        Image.fromarray(np.full((height, width, 3), [10 * at, 200, 3], np.uint8)).save(images[-1])
        masks.append(root / f"{at}.mask.png")
        Image.fromarray(np.full((height, width), at, np.uint8)).save(masks[-1])
    labels = [np.arange(len(row)) + 10 * at for at, row in enumerate(boxes)]
    visible = [np.insert(row.reshape(-1, 2, 2), 2, [2, 0], axis=2) for row in boxes]
    return sh.Table(
        {
            "image": sh.Images(images),
            "mask": sh.Masks(masks),
            "boxes": sh.BoundingBoxes(boxes, "XYXY"),
            "labels": sh.Lists(labels, np.int64),
            "points": sh.KeyPoints(visible),
            "number": np.arange(ROWS),
        }
    )


def loader(source: Any, mosaic: sh.Mosaic, *rest: sh.Transform, **options: Any) -> sh.Loader:
    given: dict[str, Any] = {"batch_size": 4, "num_workers": 0, "seed": SEED, "shuffle": True}
    options.setdefault("transforms", {})["image"] = [mosaic, *rest]
    return sh.Loader(source, **given | options)


def samples(found: sh.Loader, epochs: int = 3) -> dict[tuple[int, int], dict[str, npt.NDArray[Any]]]:
    rows = {}
    for epoch in range(epochs):
        found.set_epoch(epoch)
        for batch in found:
            for row, index in enumerate(batch.indices):
                rows[epoch, int(index)] = {name: np.array(batch[name][row]) for name in batch}
    return rows


class Drawn:
    """What is drawn for a sample: the numbers of four samples, and where they meet."""

    def __init__(self, epoch: int, index: int) -> None:
        draws = Draws(SEED, epoch, index, operation("image", "Mosaic"))
        self.unit = draws.unit()
        self.parts = [index, *(draws.below(ROWS) for _ in range(3))]
        self.x, self.y = (int(edge * (0.5 + draws.unit())) for edge in (WIDTH, HEIGHT))

    def tiles(self) -> list[tuple[int, tuple[int, int, int, int], tuple[int, int, int, int]]]:
        """For each image: its number, the box of the whole image, and the box of what is to be seen of it."""
        found = []
        for at, number in enumerate(self.parts):
            height, width = SIZES[number]
            scale = min(HEIGHT / height, WIDTH / width)
            h, w = max(int(height * scale), 1), max(int(width * scale), 1)
            left, top = self.x - w * (at % 2 == 0), self.y - h * (at < 2)
            seen = max(left, 0), max(top, 0), min(left + w, 2 * WIDTH), min(top + h, 2 * HEIGHT)
            found.append((number, (left, top, left + w, top + h), seen))
        return found


def moved(points: npt.NDArray[Any], number: int, whole: tuple[int, int, int, int]) -> npt.NDArray[np.float64]:
    height, width = SIZES[number]
    left, top, right, bottom = whole
    return points.astype(np.float64) * [(right - left) / width, (bottom - top) / height] + [left, top]


def test_four_samples_meet_where_it_was_drawn(source: sh.Table, boxes: list[npt.NDArray[np.float32]]) -> None:
    found = loader(source, sh.Mosaic((HEIGHT, WIDTH), mask_fill=255))
    assert found.spec["image"] == sh.FieldSpec("uint8", (2 * HEIGHT, 2 * WIDTH, 3))
    assert found.spec["mask"] == sh.FieldSpec("uint8", (2 * HEIGHT, 2 * WIDTH))
    assert found.spec["boxes"] == sh.FieldSpec("float32", (None, 4), 16)
    dropped = 0
    for (epoch, index), sample in samples(found).items():
        image, mask = (
            np.full((2 * HEIGHT, 2 * WIDTH, 3), 114, np.uint8),
            np.full((2 * HEIGHT, 2 * WIDTH), 255, np.uint8),
        )
        corners, labels, points = [], [], []
        for number, whole, (left, top, right, bottom) in Drawn(epoch, index).tiles():
            image[top:bottom, left:right] = [10 * number, 200, 3]
            mask[top:bottom, left:right] = number
            for at, row in enumerate(moved(boxes[number].reshape(-1, 2), number, whole).reshape(-1, 2, 2)):
                seen = row.clip([left, top], [right, bottom])
                (width, height), area = seen[1] - seen[0], np.prod(row[1] - row[0])
                if min(width, height) < 2 or width * height < 0.1 * area:
                    dropped += 1
                else:
                    corners.append(seen.ravel())
                    labels.append(10 * number + at)
                is_seen = left <= row[0, 0] <= right and top <= row[0, 1] <= bottom
                points.append([[*row[0], 2] if is_seen else [0, 0, 0], [*boxes[number][at][2:], 0]])
        np.testing.assert_array_equal(sample["image"], image)
        np.testing.assert_array_equal(sample["mask"], mask)
        np.testing.assert_array_equal(sample["labels"], labels)
        np.testing.assert_allclose(sample["boxes"], np.reshape(corners, (-1, 4)), rtol=0, atol=TOLERANCE)
        np.testing.assert_allclose(sample["points"], np.reshape(points, (-1, 2, 3)), rtol=0, atol=TOLERANCE)
        assert sample["number"] == index
    assert dropped > 20


def test_what_stands_behind_it_takes_the_result(source: sh.Table) -> None:
    """A crop of a mosaic is the crop of its pixels, and boxes, masks and points are cut with it."""
    sanitize: dict[str, Any] = {"boxes": [sh.SanitizeBoundingBoxes(labels=["labels", "points"])]}
    mosaic, crop = sh.Mosaic((HEIGHT, WIDTH), labels=["labels", "points"]), sh.CenterCrop((HEIGHT, WIDTH))
    whole = samples(loader(source, mosaic, transforms=dict(sanitize)), 1)
    cut = samples(loader(source, mosaic, crop, transforms=dict(sanitize)), 1)
    top, left, less = HEIGHT // 2, WIDTH // 2, 0
    for at, sample in whole.items():
        np.testing.assert_array_equal(cut[at]["image"], sample["image"][top : top + HEIGHT, left : left + WIDTH])
        np.testing.assert_array_equal(cut[at]["mask"], sample["mask"][top : top + HEIGHT, left : left + WIDTH])
        moved_boxes = (sample["boxes"] - [left, top, left, top]).clip(0, [WIDTH, HEIGHT, WIDTH, HEIGHT])
        edges = moved_boxes[:, 2:] - moved_boxes[:, :2]
        kept = (edges >= 1).all(1) & (edges.prod(1) >= 1)
        np.testing.assert_allclose(cut[at]["boxes"], moved_boxes[kept], rtol=0, atol=TOLERANCE)
        np.testing.assert_array_equal(cut[at]["labels"], sample["labels"][kept])
        assert len(cut[at]["points"]) == len(cut[at]["labels"])
        less += len(kept) - kept.sum()
    assert less > 3


def test_a_crop_by_overlap_sees_the_boxes_of_all_four(source: sh.Table) -> None:
    crop, square = sh.RandomIoUCrop(0.2, 0.6, sampler_options=[0.01]), sh.Resize((50, 50))
    for sample in samples(loader(source, sh.Mosaic((HEIGHT, WIDTH)), crop, square)).values():
        assert not len(sample["boxes"]) or sample["boxes"].any()
        assert sample["mask"].shape == sample["image"].shape[:2]


def test_images_stay_as_they_are_with_the_other_probability(source: sh.Table) -> None:
    capacity = {"image": 200 * 200, "mask": 200 * 200}
    found = samples(loader(source, sh.Mosaic((HEIGHT, WIDTH), p=0.5), capacity=capacity))
    single = 0
    for (epoch, index), sample in found.items():
        if Drawn(epoch, index).unit < 0.5:
            assert sample["image"].shape == (2 * HEIGHT, 2 * WIDTH, 3)
            continue
        single += 1
        assert sample["image"].shape == (*SIZES[index], 3)
        assert (sample["mask"] == index).all()
        assert sample["labels"].tolist() == list(range(10 * index, 10 * index + len(sample["boxes"])))
    assert 5 < single < 22


def test_bytes_do_not_depend_on_workers_kills_or_resumption(source: sh.Table) -> None:
    mosaic = sh.Mosaic((HEIGHT, WIDTH))
    rest = [sh.RandomAffine(10, scale=(0.5, 1.2)), sh.RandomCrop(HEIGHT), sh.RandomHorizontalFlip()]
    expected = values(loader(source, mosaic, *rest), 2)
    for workers in (1, 2, 4):
        with loader(source, mosaic, *rest, num_workers=workers) as found:
            assert values(found, 2) == expected
    with loader(source, mosaic, *rest, num_workers=2) as found:
        got = []
        for at, batch in enumerate(found):
            if at == 0:
                os.kill(found.stats()["workers"][0]["pid"], signal.SIGKILL)
                state = found.state_dict()
            got.append(value(batch))
        assert got == expected[: len(got)]
    with loader(source, mosaic, *rest, num_workers=1) as found:
        found.load_state_dict(state)
        assert values(found) == expected[1 : len(got)]


def test_a_view_may_be_one(source: sh.Table) -> None:
    """Beside one that is not: the record of its own sample serves both."""
    views: dict[str, Any] = {
        "image": [],
        "four": sh.View("image", [sh.Mosaic((HEIGHT, WIDTH), labels=["labels4"])]),
        "boxes": [],
        "boxes4": sh.View("boxes", image="four"),
        "labels": [],
        "labels4": sh.View("labels"),
    }
    capacity = {"image": 200 * 200, "mask": 200 * 200}
    options: dict[str, Any] = {"seed": SEED, "num_workers": 0, "batch_size": 4}
    with pytest.raises(ValueError, match=r"field `labels` has any number of entries, and a Mosaic is made of four"):
        sh.Loader(source, transforms=views, capacity=capacity, **options)
    del views["labels"]
    found = sh.Loader(source, transforms=views, capacity=capacity, draws={"four": "image"}, **options)
    alone = samples(loader(source, sh.Mosaic((HEIGHT, WIDTH)), shuffle=False), 1)
    for at, sample in samples(found, 1).items():
        np.testing.assert_array_equal(sample["four"], alone[at]["image"])
        np.testing.assert_array_equal(sample["boxes4"], alone[at]["boxes"])
        np.testing.assert_array_equal(sample["labels4"], alone[at]["labels"])
        assert sample["image"].shape == (*SIZES[at[1]], 3)


def told(found: sh.Loader) -> list[str]:
    """What each batch of an epoch is: what it holds, or its error."""
    batches, seen = iter(found), []
    while True:
        try:
            seen.append(repr(next(batches).indices.tolist()))
        except StopIteration:
            return seen
        except (sh.DecodeError, OSError) as error:
            seen.append(str(error))


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("missing", [False, True])
def test_a_sample_that_cannot_be_read_is_named(tmp_path: Path, workers: int, *, missing: bool) -> None:
    paths = []
    for at in range(6):
        paths.append(tmp_path / f"{at}.png")
        Image.fromarray(np.full((9, 9, 3), at, np.uint8)).save(paths[-1])
    if missing:
        paths[4].unlink()
    else:
        paths[4].write_bytes(b"no image at all")
    source = sh.Table({"image": sh.Images(paths)})
    options: dict[str, Any] = {"num_workers": workers, "batch_size": 1, "shuffle": False}
    with loader(source, sh.Mosaic(8), **options) as found:
        seen = told(found)
    parts = [Draws(SEED, 0, index, operation("image", "Mosaic")) for index in range(6)]
    for index, (draws, what) in enumerate(zip(parts, seen, strict=True)):
        draws.unit()
        others = [draws.below(6) for _ in range(3)]
        if index == 4:
            assert "sample 4 " in what
            assert "in its mosaic" not in what
        elif 4 in others:
            assert f"sample {index} " in what
            assert "in its mosaic, sample 4: " in what
        else:
            assert what == f"[{index}]"
    assert any("in its mosaic" in what for what in seen)
    source = sh.Table({"image": sh.Images([*paths[:4] * 10, paths[4]])})
    with loader(source, sh.Mosaic(8), num_workers=workers, on_error="replace") as found:
        first = values(found)
        assert values(found) != first
        found.set_epoch(0)
        assert values(found) == first


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: sh.Mosaic(0), "Mosaic: size must be 1 to 65535, or a sequence of integers, not 0"),
        (lambda: sh.Mosaic(20_000), "Mosaic: size 20000 must be at most 16384"),
        (lambda: sh.Mosaic(4, min_size=-1), "Mosaic: min_size = -1 must not be negative"),
        (lambda: sh.Mosaic(4, min_visible=2), "Mosaic: min_visible = 2 must lie between 0 and 1"),
        (lambda: sh.Mosaic(4, p=2), "Mosaic: p = 2 must lie between 0 and 1"),
        (lambda: sh.Mosaic(4, fill=BY_FIELD), "Mosaic: fill must be a number, or a sequence of numbers, not {"),
    ],
)
def test_a_bad_argument_is_an_error_at_once(make: Any, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=re.escape(message)):
        make()


def test_mistakes_are_named_at_once(source: sh.Table) -> None:
    mosaic, square = sh.Mosaic(4), sh.Resize((4, 4))
    images: Any = {"image": sh.Images([np.zeros((8, 8, 3), np.uint8)] * 2)}
    for given, transforms, message in (
        (source, {"image": [square, mosaic]}, "transform 1: Mosaic: goes with an encoded image, and stands before all"),
        (source, {"image": [mosaic, mosaic]}, "field `image` has a second Mosaic"),
        (source, {"image": [sh.Mosaic(4, labels=())]}, "field `labels` has any number of entries, and a Mosaic"),
        (source, {"image": [sh.Mosaic(4, labels=["names"])]}, "there is no field `names` to go with boxes"),
        (sh.Table(images), {"image": [sh.DecodeImage(mode="unchanged"), mosaic]}, "give DecodeImage a mode"),
        (sh.Table(images), {"image": [sh.Mosaic(4, fill=[1, 2])]}, "fill has 2 values, the image 3 channels"),
        (sh.Arrays({"image": np.zeros((2, 8, 8, 3), np.uint8)}), {"image": [mosaic]}, "goes with an encoded image"),
    ):
        with pytest.raises(ValueError, match=re.escape(message)):
            sh.Loader(given, transforms=transforms)
