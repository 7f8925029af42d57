"""Bounding boxes and keypoints, beside torchvision's and beside the pixels of their image."""

from __future__ import annotations

import inspect
import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import stokehold as sh
from support import value, values

Image = pytest.importorskip("PIL.Image")

ROWS = 24
SIZES = [(120 - 2 * at, 90 + at) for at in range(ROWS)]
"""(width, height)"""
LABELS = ("labels", "points")
TOLERANCE = 1e-3
"""In pixels. Ours and torchvision's each round to ``float32`` in an order of its own, torchvision's in that of BLAS
where places are turned: 5 times each of three terms, together below 600 pixels, so 2e-4. All other steps, and
formats, are one or two operations on less than 300 pixels, 4e-5 for each of at most eight: 5e-4 for either in all."""


@pytest.fixture(scope="module")
def boxes() -> list[npt.NDArray[np.float32]]:
    """Corners, for each image some or none; all but the first may reach out of it, and a few have no area."""
    random = np.random.default_rng(5)
    rows = []
    for at, (width, height) in enumerate(SIZES):
        edges = np.sort(random.uniform(-10, 130, (at % 6, 2, 2)), axis=1) * [width / 120, height / 120]
        edges[2:, 1] -= (at % 3 == 0) * (edges[2:, 1] - edges[2:, 0])
        edges[:1] = edges[:1].clip(0, [width, height])
        rows.append(edges.reshape(-1, 4).astype(np.float32))
    return rows


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory, boxes: list[npt.NDArray[np.float32]]) -> list[Path]:
    """Each image is white where its first box is, and black."""
    root = tmp_path_factory.mktemp("places")
    paths = []
    for at, ((width, height), row) in enumerate(zip(SIZES, boxes, strict=True)):
        pixels = np.zeros((height, width, 3), np.uint8)
        if len(row):
            left, top, right, bottom = (max(0, round(float(edge))) for edge in row[0])
            pixels[top:bottom, left:right] = 255
        paths.append(root / f"{at}.png")
        Image.fromarray(pixels).save(paths[-1])
    return paths


def table(images: list[Path], boxes: list[npt.NDArray[np.float32]], form: Any = "XYXY") -> sh.Table:
    return sh.Table(
        {
            "labels": sh.Lists([np.arange(len(row)) for row in boxes], np.int64),
            "boxes": sh.BoundingBoxes([of_corners(row, form) for row in boxes], form),
            "points": sh.KeyPoints([row.reshape(-1, 2, 2) for row in boxes]),
            "marked": sh.KeyPoints([np.insert(row.reshape(-1, 2, 2), 2, [2, 0], axis=2) for row in boxes]),
            "image": sh.Images(images),
        }
    )


def of_corners(row: npt.NDArray[Any], form: str) -> npt.NDArray[Any]:
    low, size = row[:, :2], row[:, 2:] - row[:, :2]
    match form:
        case "XYXY":
            return row
        case "XYWH":
            return np.hstack([low, size])
        case _:
            return np.hstack([low + size / 2, size])


def loader(source: sh.Table, image: list[sh.Transform], workers: int = 0, **options: Any) -> sh.Loader:
    options.setdefault("transforms", {})["image"] = image
    options.setdefault("capacity", {"image": 200 * 200})
    return sh.Loader(source, num_workers=workers, batch_size=5, **options)


def rows(found: sh.Loader) -> list[dict[str, npt.NDArray[Any]]]:
    """Returns every sample of an epoch, in order of the index."""
    samples = {}
    for batch in found:
        for row, index in enumerate(batch.indices):
            samples[index] = {name: np.array(batch[name][row]) for name in batch}
    return [samples[index] for index in range(len(samples))]


FIXED: dict[str, tuple[list[sh.Transform], Any]] = {
    "nothing": ([], lambda _: []),
    "resize": ([sh.Resize((50, 77))], lambda v2: [v2.Resize((50, 77))]),
    "short side": ([sh.Resize(40)], lambda v2: [v2.Resize(40)]),
    "flips": (
        [sh.RandomHorizontalFlip(1.0), sh.RandomVerticalFlip(1.0)],
        lambda v2: [v2.RandomHorizontalFlip(1.0), v2.RandomVerticalFlip(1.0)],
    ),
    "crop": ([sh.CenterCrop(60)], lambda v2: [v2.CenterCrop(60)]),
    "larger crop": ([sh.CenterCrop((100, 140))], lambda v2: [v2.CenterCrop((100, 140))]),
    "pad": ([sh.Pad([3, 5, 7, 9])], lambda v2: [v2.Pad([3, 5, 7, 9])]),
    "turn": ([sh.RandomRotation((30, 30))], lambda v2: [v2.RandomRotation((30, 30))]),
    "half turn": ([sh.RandomRotation((180, 180))], lambda v2: [v2.RandomRotation((180, 180))]),
    "turn about a point": (
        [sh.RandomRotation((-50, -50), center=(10, 20))],
        lambda v2: [v2.RandomRotation((-50, -50), center=(10, 20))],
    ),
    "affine": (
        [sh.RandomAffine((20, 20), scale=(0.7, 0.7), shear=(8, 8))],
        lambda v2: [v2.RandomAffine((20, 20), scale=(0.7, 0.7), shear=(8, 8))],
    ),
    "several": (
        [
            sh.Resize(80),
            sh.ColorJitter(0.2),
            sh.CenterCrop(70),
            sh.RandomHorizontalFlip(1.0),
            sh.GaussianBlur(3),
            sh.RandomRotation((15, 15)),
            sh.Pad(4),
            sh.RandomVerticalFlip(1.0),
            sh.Resize(31),
            sh.Normalize([0.5], [0.5]),
            sh.ToLayout("CHW"),
        ],
        lambda v2: [
            v2.Resize(80),
            v2.CenterCrop(70),
            v2.RandomHorizontalFlip(1.0),
            v2.RandomRotation((15, 15)),
            v2.Pad(4),
            v2.RandomVerticalFlip(1.0),
            v2.Resize(31),
        ],
    ),
}


def torchvision(torch: Any) -> tuple[Any, Any]:
    """Returns torchvision's transforms and the tensors that they take."""
    assert torch
    return pytest.importorskip("torchvision.transforms.v2"), pytest.importorskip("torchvision.tv_tensors")


def keeps_points(torch: Any) -> bool:
    """Tells whether torchvision has keypoints, as from 0.23 on, and leaves them outside of the image, as it came to."""
    v2, tv = torchvision(torch)
    if not hasattr(tv, "KeyPoints"):
        return False
    outside = tv.KeyPoints(torch.tensor([[6.0, 1.0]]), canvas_size=(4, 4))
    return bool(v2.functional.horizontal_flip(outside)[0, 0] == -3)


@pytest.mark.parametrize("form", ["XYXY", "XYWH", "CXCYWH"])
@pytest.mark.parametrize("name", FIXED)
def test_places_are_torchvisions(
    name: str, form: Any, images: list[Path], boxes: list[npt.NDArray[np.float32]], torch: Any
) -> None:
    v2, tv = torchvision(torch)
    ours, theirs = FIXED[name]
    options: dict[str, Any] = {"capacity": {} if name == "several" else {"image": 200 * 200}}
    if name in {"resize", "crop", "larger crop"}:
        options["capacity"] = {}
    with loader(table(images, boxes, form), ours, **options) as found:
        samples = rows(found)
    compose = v2.Compose([v2.Identity(), *theirs(v2)])
    for sample, row, (width, height) in zip(samples, boxes, SIZES, strict=True):
        given = tv.BoundingBoxes(of_corners(row, form), format=form, canvas_size=(height, width))
        moved = compose(given)
        # Where an odd number of pixels is added, torchvision moves boxes by one pixel more than their image.
        tolerance = 1.0 if name == "larger crop" else TOLERANCE
        np.testing.assert_allclose(sample["boxes"], moved.reshape(-1, 4), rtol=0, atol=tolerance)
        assert np.array_equal(sample["marked"][:, 1, :2], row.reshape(-1, 2, 2)[:, 1])
        assert (sample["marked"][..., 2] == [2, 0]).all()
        if not keeps_points(torch):
            continue
        points = compose(tv.KeyPoints(torch.from_numpy(row.reshape(-1, 2, 2)), canvas_size=(height, width)))
        np.testing.assert_allclose(sample["points"], points, rtol=0, atol=tolerance)
        # Of the marked points, the second of each pair is not visible, and stays.
        np.testing.assert_allclose(sample["marked"][:, 0, :2], points[:, 0], rtol=0, atol=tolerance)


def test_a_turn_that_expands_keeps_boxes_on_their_pixels(
    images: list[Path], boxes: list[npt.NDArray[np.float32]], torch: Any
) -> None:
    """torchvision puts the box up to half a pixel off, at the corner instead of about the centre."""
    v2, tv = torchvision(torch)
    with loader(table(images, boxes), [sh.RandomRotation((25, 25), expand=True)]) as found:
        samples = rows(found)
    for sample, row, (width, height) in zip(samples, boxes, SIZES, strict=True):
        given = tv.BoundingBoxes(row, format="XYXY", canvas_size=(height, width))
        moved = v2.RandomRotation((25, 25), expand=True)(given)
        np.testing.assert_allclose(sample["boxes"], moved.reshape(-1, 4), rtol=0, atol=1.0)


RANDOM: dict[str, list[sh.Transform]] = {
    "resized crop": [sh.RandomResizedCrop((64, 48)), sh.RandomHorizontalFlip()],
    "crop": [sh.RandomCrop(60, padding=12), sh.RandomVerticalFlip()],
    "crop of the small": [sh.RandomCrop((110, 130), pad_if_needed=True), sh.RandomHorizontalFlip()],
    "moved": [sh.Resize(80), sh.RandomAffine(0, translate=(0.3, 0.2), scale=(0.6, 1.4)), sh.CenterCrop(80)],
    "quarter turns": [sh.CenterCrop(90), sh.RandomRotation((90, 90)), sh.RandomResizedCrop(50)],
    "jittered": [sh.ColorJitter(0.1), sh.RandomResizedCrop(40), sh.RandomGrayscale(), sh.RandomCrop(30)],
}


@pytest.mark.parametrize("name", RANDOM)
def test_boxes_stay_on_their_pixels(name: str, images: list[Path], boxes: list[npt.NDArray[np.float32]]) -> None:
    """Whatever is drawn, the first box is where its image is white."""
    with loader(table(images, boxes), RANDOM[name], capacity={}) as found:
        seen = 0
        for epoch in range(6):
            found.set_epoch(epoch)
            for sample in rows(found):
                y, x = np.nonzero(sample["image"][..., 0] > 127)
                if not len(sample["boxes"]):
                    assert not len(x)
                    continue
                left, top, right, bottom = sample["boxes"][0]
                if right - left < 3 or bottom - top < 3:
                    continue
                seen += 1
                # A pixel for the box's fraction, and more where the image is magnified.
                white = [x.min(), y.min(), x.max() + 1, y.max() + 1]
                near = 2.6 if name in {"resized crop", "moved"} else 1.6
                np.testing.assert_allclose(sample["boxes"][0], white, rtol=0, atol=near)
        assert seen > 2 * ROWS


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_sanitize_is_torchvisions(
    images: list[Path], boxes: list[npt.NDArray[np.float32]], workers: int, torch: Any
) -> None:
    v2, tv = torchvision(torch)
    if "min_area" not in inspect.signature(v2.SanitizeBoundingBoxes).parameters:
        pytest.skip("this torchvision has no least area")
    own = [
        sh.ClampBoundingBoxes(),
        sh.SanitizeBoundingBoxes(min_size=4, min_area=40, labels=LABELS),
        sh.ConvertBoundingBoxFormat("CXCYWH"),
    ]
    transforms: dict[str, Any] = {"boxes": own, "points": [sh.ClampKeyPoints()]}
    with loader(table(images, boxes), [sh.RandomHorizontalFlip(1.0)], workers, transforms=transforms) as found:
        assert found.spec["boxes"] == sh.FieldSpec("float32", (None, 4), 5)
        samples = rows(found)
    removed = 0
    for sample, row, (width, height) in zip(samples, boxes, SIZES, strict=True):
        given = tv.BoundingBoxes(row, format="XYXY", canvas_size=(height, width))
        moved = v2.Compose([v2.RandomHorizontalFlip(1.0), v2.ClampBoundingBoxes()])(given)
        clean = v2.SanitizeBoundingBoxes(min_size=4, min_area=40)({"boxes": moved, "labels": torch.arange(len(row))})
        kept = clean["labels"].numpy()
        assert np.array_equal(sample["labels"], kept)
        converted = v2.ConvertBoundingBoxFormat("CXCYWH")(clean["boxes"])
        np.testing.assert_allclose(sample["boxes"], converted.reshape(-1, 4), rtol=0, atol=TOLERANCE)
        # As torchvision's ClampKeyPoints has it, which came with 0.23.
        points = (row.reshape(-1, 2, 2) * [-1, 1] + [width - 1, 0]).clip(0, [width - 1, height - 1])
        np.testing.assert_allclose(sample["points"], points[kept], rtol=0, atol=TOLERANCE)
        # Nobody named these, so they are all there.
        assert len(sample["marked"]) == len(row)
        removed += len(row) - len(kept)
    assert removed > 10


def test_a_box_at_the_edge_of_a_resized_crop_is_left(images: list[Path]) -> None:
    """A rounded ratio would push its edge out of the image, and `SanitizeBoundingBoxes` remove it."""
    boxes = [np.array([[0, 0, *size]], np.float32) for size in SIZES]
    transforms: dict[str, Any] = {"boxes": [sh.SanitizeBoundingBoxes(labels=())]}
    with loader(table(images, boxes), [sh.RandomResizedCrop((192, 256))], transforms=transforms, capacity={}) as found:
        for epoch in range(4):
            found.set_epoch(epoch)
            assert all(sample["boxes"].tolist() == [[0, 0, 256, 192]] for sample in rows(found))


def test_bytes_do_not_depend_on_workers_kills_or_resumption(
    images: list[Path], boxes: list[npt.NDArray[np.float32]]
) -> None:
    source = table(images, boxes)

    def made(workers: int) -> sh.Loader:
        transforms: dict[str, Any] = {"boxes": [sh.SanitizeBoundingBoxes(labels=LABELS)]}
        crops: list[sh.Transform] = [sh.RandomResizedCrop(40), sh.RandomHorizontalFlip()]
        return loader(source, crops, workers, transforms=transforms, capacity={}, shuffle=True, seed=7)

    with made(0) as found:
        expected = values(found, 2)
    for workers in (1, 2, 4):
        with made(workers) as found:
            assert values(found, 2) == expected
    with made(2) as found:
        got = []
        for at, batch in enumerate(found):
            if at == 1:
                os.kill(found.stats()["workers"][0]["pid"], signal.SIGKILL)
                state = found.state_dict()
            got.append(value(batch))
        assert got == expected[: len(got)]
    with made(1) as found:
        found.load_state_dict(state)
        assert values(found) == expected[2 : len(got)]


def test_labels_that_do_not_go_with_the_boxes_are_a_bad_sample(images: list[Path]) -> None:
    one = np.array([[0, 0, 50, 50]], np.float32)
    source = sh.Table(
        {
            "image": sh.Images(images[:3]),
            "boxes": sh.BoundingBoxes([one, one, one]),
            "labels": sh.Lists([[1], [1, 2], [3]]),
        }
    )
    transforms: dict[str, Any] = {"boxes": [sh.SanitizeBoundingBoxes()]}
    message = r"sample 1 .*field `labels` has 2 entries for 1 boxes"
    with (
        loader(source, [sh.Resize((8, 8))], 1, transforms=transforms, capacity={}) as found,
        pytest.raises(sh.DecodeError, match=message),
    ):
        next(iter(found))
    with loader(source, [sh.Resize((8, 8))], 1, transforms=transforms, capacity={}, on_error="skip") as found:
        assert sorted({int(row[0]) for batch in found for row in batch["labels"]}) == [1, 3]


def test_mistakes_are_named_at_once(images: list[Path], boxes: list[npt.NDArray[np.float32]]) -> None:
    source = table(images, boxes)
    for transforms, message in (
        ({"image": [sh.RandAugment()]}, "field `boxes` cannot follow `image` through RandAugment, which is for images"),
        ({"boxes": [sh.CenterCrop(4)]}, "field `boxes`: transform 0: CenterCrop takes no boxes"),
        ({"boxes": [sh.ClampKeyPoints()]}, "ClampKeyPoints takes no boxes"),
        ({"points": [sh.ClampBoundingBoxes()]}, "ClampBoundingBoxes takes no keypoints"),
        ({"image": [sh.ClampBoundingBoxes()]}, "ClampBoundingBoxes: goes with the field of the boxes"),
        ({"boxes": [sh.SanitizeBoundingBoxes(labels=["image"])]}, "field `image` cannot go with boxes: it is no list"),
        ({"boxes": [sh.SanitizeBoundingBoxes(labels=["nothing"])]}, "there is no field `nothing`"),
    ):
        with pytest.raises(ValueError, match=message):
            sh.Loader(source, transforms=transforms, capacity={"image": 40_000}, num_workers=0)
    with pytest.raises(ValueError, match=r"min_size = 0\.5 must be at least 1"):
        sh.SanitizeBoundingBoxes(min_size=0.5)
    with pytest.raises(TypeError, match="labels must be a sequence"):
        sh.SanitizeBoundingBoxes(labels="labels")
    with pytest.raises(ValueError, match="format must be one of 'XYXY', 'XYWH', 'CXCYWH', not 'XXYY'"):
        sh.ConvertBoundingBoxFormat("XXYY")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="BoundingBoxes: format must be one of 'XYXY', 'XYWH', 'CXCYWH', not 'xyxy'"):
        sh.BoundingBoxes([], "xyxy")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"boxes are of shape \(n, 4\), not \(n, 3\)"):
        sh.BoundingBoxes([[[1, 2, 3]]])
    with pytest.raises(ValueError, match=r"keypoints are of shape .*, not \(n, 4\)"):
        sh.KeyPoints([[[1, 2, 3, 4]]])
    with pytest.raises(ValueError, match="column `boxes` belongs to column `picture`, which has no images"):
        sh.Table({"boxes": sh.BoundingBoxes([[[1, 2, 3, 4]]], image="picture")})
