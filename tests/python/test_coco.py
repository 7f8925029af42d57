"""COCO's annotation files: what torchvision reads, what is passed over, and masks as pycocotools draws them."""

from __future__ import annotations

import json
import logging
import os
import warnings
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import stokehold as sh
from support import value

HEIGHT, WIDTH = 40, 50
ROOM = {"image": HEIGHT * WIDTH}
FILE: dict[str, Any] = {
    "images": [
        {"id": 1, "file_name": "a.png", "height": HEIGHT, "width": WIDTH},
        {"id": 2, "file_name": "b.png", "height": HEIGHT, "width": WIDTH},
    ],
    "categories": [{"id": 5, "name": "cat"}, {"id": 6, "name": "dog"}],
    "annotations": [
        {"id": 11, "image_id": 1, "category_id": 5, "bbox": [1, 1, 2, 2], "area": 4, "iscrowd": 0},
        {"id": 12, "image_id": 2, "category_id": 6, "bbox": [3, 3, 4, 4], "area": 16, "iscrowd": 1},
    ],
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    image = pytest.importorskip("PIL.Image")
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    for name in ("a.png", "b.png"):
        image.fromarray(np.stack([x, y, x + y], -1).astype(np.uint8)).save(tmp_path / name)
    return tmp_path


def write(folder: Path, content: Any) -> Path:
    path = folder / "objects.json"
    path.write_text(json.dumps(content))
    return path


def loaded(source: sh.CocoDetection, **options: Any) -> dict[str, list[Any]]:
    given: dict[str, Any] = {"batch_size": 20, "num_workers": 0, "capacity": ROOM}
    with sh.Loader(source, **given | options) as loader:
        assert loader.stats()["source"] == source.counters
        (batch,) = loader
        return {name: [np.array(row).tolist() for row in batch[name]] for name in batch if name != "image"}


PLAIN: dict[str, Any] = {
    "image_id": [1, 2],
    "labels": [[5], [6]],
    "boxes": [[[1, 1, 3, 3]], [[3, 3, 7, 7]]],
    "area": [[4], [16]],
    "iscrowd": [[0], [1]],
}
FIRST = {name: rows[:1] for name, rows in PLAIN.items()}
EMPTY = {name: [rows[0], rows[1] if name == "image_id" else []] for name, rows in PLAIN.items()}
POINTS = [[[[0, 0, 0], [0, 0, 0]]], [[[3, 4, 2], [5, 6, 1]]]]


def changed(change: Any) -> dict[str, Any]:
    content = deepcopy(FILE)
    change(content)
    return content


TOLERATED: dict[str, tuple[Any, dict[str, Any], dict[str, int]]] = {
    "a plain file": (lambda f: f, PLAIN, {}),
    "an image that is not listed": (lambda f: f["images"].pop(), FIRST, {"annotations_without_image": 1}),
    "null for an image": (lambda f: f["annotations"][1].update(image_id=None), EMPTY, {"annotations_without_image": 1}),
    "an image listed twice": (lambda f: f["images"].append(f["images"][0]), PLAIN, {"repeated_images": 1}),
    "null in iscrowd": (
        lambda f: f["annotations"][0].update(iscrowd=None),
        PLAIN,
        {"annotations_without_iscrowd": 1},
    ),
    "no area": (
        lambda f: f["annotations"][0].pop("area"),
        PLAIN | {"area": [[0], [16]]},
        {"annotations_without_area": 1},
    ),
    "no box": (lambda f: f["annotations"][1].pop("bbox"), EMPTY, {"annotations_without_box": 1}),
    "an empty box": (lambda f: f["annotations"][1].update(bbox=[]), EMPTY, {"annotations_without_box": 1}),
    "null in keypoints": (
        lambda f: (
            f["annotations"][0].update(keypoints=None),
            f["annotations"][1].update(keypoints=[3, 4, 2, 5, 6, 1]),
        ),
        PLAIN | {"keypoints": POINTS},
        {"annotations_with_fewer_keypoints": 1},
    ),
    "fewer keypoints": (
        lambda f: (
            f["annotations"][0].update(keypoints=[9, 8, 1]),
            f["annotations"][1].update(keypoints=[3, 4, 2, 5, 6, 1]),
        ),
        PLAIN | {"keypoints": [[[[9, 8, 1], [0, 0, 0]]], POINTS[1]]},
        {"annotations_with_fewer_keypoints": 1},
    ),
    "no names": (lambda f: f["categories"].append({"id": 7}), PLAIN, {"unnamed_categories": 1}),
    "no categories": (lambda f: f.pop("categories"), PLAIN, {}),
    "null for the annotations": (
        lambda f: f.update(annotations=None),
        {name: PLAIN[name] if name == "image_id" else [[], []] for name in PLAIN},
        {},
    ),
    "no id": (lambda f: f["annotations"][0].pop("id"), PLAIN, {}),
    "large ids": (
        lambda f: (
            f["images"][1].update(id=2**64 - 1),
            f["annotations"][1].update(id=2**80, image_id=2**64 - 1, category_id=2**63),
        ),
        PLAIN | {"image_id": [1, 2**64 - 1], "labels": [[5], [2**63]]},
        {},
    ),
    "fractions that are whole": (
        lambda f: f["annotations"][0].update(image_id=1.0, category_id=5.0),
        PLAIN,
        {},
    ),
}


@pytest.mark.parametrize("name", TOLERATED)
def test_what_pycocotools_does_not_look_at_is_tolerated_and_counted(
    folder: Path, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    change, expected, counters = TOLERATED[name]
    with caplog.at_level(logging.WARNING, "stokehold"):
        source = sh.CocoDetection(folder, write(folder, changed(change)))
    assert loaded(source) == expected
    assert source.counters == counters
    assert len(caplog.records) == bool(counters)
    assert all(name in caplog.text for name in counters)


def test_ids_that_are_no_numbers_are_texts(folder: Path) -> None:
    def name(content: dict[str, Any]) -> None:
        for number, each in enumerate(("x-10", "x-9")):
            content["images"][number]["id"] = content["annotations"][1 - number]["image_id"] = each

    source = sh.CocoDetection(folder, write(folder, changed(name)))
    with sh.Loader(source, batch_size=2, capacity=ROOM, num_workers=0) as loader:
        (batch,) = loader
        assert batch.text("image_id") == ["x-10", "x-9"]
        assert [row.tolist() for row in batch["labels"]] == [[6], [5]]


def test_the_samples_are_torchvisions(folder: Path) -> None:
    datasets = pytest.importorskip("torchvision.datasets")
    pytest.importorskip("pycocotools")
    random = np.random.default_rng(0)
    content = deepcopy(FILE)
    content["images"] = [{"id": int(number), "file_name": "a.png"} for number in random.permutation(40)[:20]]
    content["annotations"] = [
        {
            "id": number,
            "image_id": int(random.integers(50)),
            "category_id": int(random.integers(90)),
            "bbox": random.integers(0, 30, 4).tolist(),
            "area": int(random.integers(900)),
            "iscrowd": number % 2,
        }
        for number in range(100)
    ]
    path = write(folder, content)
    expected = [target for _, target in datasets.CocoDetection(folder, str(path))]
    seen = loaded(sh.CocoDetection(folder, path, "XYWH"))
    for field, name in (("boxes", "bbox"), ("labels", "category_id"), ("area", "area"), ("iscrowd", "iscrowd")):
        assert seen[field] == [[found[name] for found in target] for target in expected]


REFUSED: dict[str, tuple[Any, str]] = {
    "a box of five": (lambda f: f["annotations"][1].update(bbox=[1, 2, 3, 4, 5]), "annotation 12 of image 2, bbox"),
    "a polygon as a box": (lambda f: f["annotations"][1].update(bbox=[1] * 8), "bbox that is not four numbers"),
    "a box of texts": (lambda f: f["annotations"][1].update(bbox=["1", 2, 3, 4]), "bbox that is not four numbers"),
    "a box that is not finite": (
        lambda f: f["annotations"][1].update(bbox=[1, 2, 3, float("nan")]),
        "not four numbers",
    ),
    "a box beyond float32": (lambda f: f["annotations"][1].update(bbox=[1, 2, 3, 1e39]), "not four numbers"),
    "a box beyond float64": (lambda f: f["annotations"][1].update(bbox=[1, 2, 3, 10**400]), "not four numbers"),
    "a box that is none": (lambda f: f["annotations"][1].update(bbox=7), "annotation 12 of image 2"),
    "no class": (
        lambda f: f["annotations"][1].pop("category_id"),
        "category_id that is no whole number: annotation 12",
    ),
    "a class beyond 64 bits": (lambda f: f["annotations"][1].update(category_id=2**64), "annotation 12 of image 2"),
    "no image_id": (lambda f: f["annotations"][1].pop("image_id"), "without image_id: annotation 12"),
    "nothing named": (
        lambda f: f["annotations"][1].update(id=None, bbox=[1]),
        "annotation number 1 of image 2, bbox \\[1\\]",
    ),
    "a crowd of 300": (
        lambda f: f["annotations"][1].update(iscrowd=300),
        "iscrowd that is not 0 to 255: annotation 12",
    ),
    "an area that is a text": (lambda f: f["annotations"][1].update(area="4"), "area that is no number: annotation 12"),
    "half a keypoint": (
        lambda f: f["annotations"][1].update(keypoints=[1, 2]),
        "keypoints .* annotation 12 of image 2",
    ),
    "no file_name": (lambda f: f["images"][1].pop("file_name"), "without a usable file_name: image 2"),
    "an image without an id": (lambda f: f["images"][1].pop("id"), "image without a usable id: number 1"),
    "ids of two kinds": (lambda f: f["images"][1].update(id="2"), "ids cannot be ordered"),
    "a category without an id": (lambda f: f["categories"][1].pop("id"), "category without a usable id: number 1"),
    "annotations by name": (lambda f: f.update(annotations={}), "its annotations are an object, not a list"),
    "an annotation that is null": (lambda f: f["annotations"].append(None), "number 2 of its annotations is null"),
    "no images": (lambda f: f.update(images=[]), "has no images"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_used_is_named(folder: Path, name: str) -> None:
    change, message = REFUSED[name]
    with pytest.raises(ValueError, match=f"objects.json` .*{message}"):
        sh.CocoDetection(folder, write(folder, changed(change)))


def test_files_that_are_none_are_named(folder: Path) -> None:
    path = folder / "objects.json"
    for text, message in (
        ("{", "is no JSON"),
        ("[1]", "it holds a list"),
        ("[" * 100_000, "no COCO annotation file|is no JSON"),
    ):
        path.write_text(text)
        with pytest.raises(ValueError, match=f"objects.json` .*(?:{message})"):
            sh.CocoDetection(folder, path)
    wrong: Any = "instances"
    with pytest.raises(ValueError, match="CocoDetection: masks must be False, True or 'semantic', not 'instances'"):
        sh.CocoDetection(folder, path, masks=wrong)


def test_names_that_are_no_utf8(folder: Path) -> None:
    (folder / "a.png").rename(folder / os.fsdecode(b"caf\xe9.png"))
    path = folder / "objects.json"
    text = json.dumps(changed(lambda f: f["images"][0].update(file_name="CAFE.png"))).encode()
    path.write_bytes(b"\xef\xbb\xbf" + text.replace(b"CAFE", b"caf\xe9"))
    assert loaded(sh.CocoDetection(folder, path)) == PLAIN


def polygons(random: np.random.Generator, kind: int) -> list[list[float]]:
    """Polygons with fractions, beyond the image, closed, thin, crossing themselves, on the middles of pixels."""
    count = int(random.integers(1, 4))
    made = []
    for _ in range(count):
        corners = int(random.integers(3, 14))
        xy = random.uniform(-15, 65, (corners, 2)) if kind % 2 else random.uniform(0, [WIDTH, HEIGHT], (corners, 2))
        if kind % 3 == 0:
            angle = np.sort(random.uniform(0, 2 * np.pi, corners))
            radius = random.uniform(1, 25)
            xy = np.stack([25 + radius * np.cos(angle), 20 + radius * np.sin(angle)], -1)
        decimals = (0, 1, 2, 15)[kind % 4]
        xy = np.round(xy, decimals)
        if kind % 5 == 0:
            xy = np.concatenate([xy, xy[:1]])
        if kind % 7 == 0:
            xy = np.floor(xy) + 0.5
        made.append(xy.reshape(-1).tolist() + ([1.0] if kind % 11 == 0 else []))
    return made


def runs(random: np.random.Generator, kind: int) -> dict[str, Any]:
    mask = pytest.importorskip("pycocotools.mask")
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    pixels = ((x - 25) ** 2 + (y - 20) ** 2 < random.uniform(0, 900)) ^ (
        random.random((HEIGHT, WIDTH)) < 0.1 * (kind % 3)
    )
    encoded = mask.encode(np.asfortranarray(pixels.astype(np.uint8)))
    if kind % 2:
        return {"size": encoded["size"], "counts": encoded["counts"].decode()}
    columns = pixels.T.reshape(-1).astype(np.int8)
    ends = np.flatnonzero(np.diff(np.concatenate([[0], columns, [2]])))
    return {"size": [HEIGHT, WIDTH], "counts": np.diff(np.concatenate([[0], ends])).tolist()}


def segmented(folder: Path, count: int) -> Path:
    random = np.random.default_rng(7)
    content = deepcopy(FILE)
    content["annotations"] = [
        {
            "id": number,
            "image_id": 1 + number % 2,
            "category_id": 1 + number % 9,
            "bbox": [number % 20, 5, 12, 20],
            "area": 4,
            "iscrowd": number % 2,
            "segmentation": runs(random, number) if number % 3 == 0 else polygons(random, number),
        }
        for number in range(count)
    ]
    return write(folder, content)


def drawn(path: Path) -> tuple[list[npt.NDArray[np.uint8]], list[list[int]]]:
    """The masks that pycocotools draws for each image, and their categories."""
    coco = pytest.importorskip("pycocotools.coco").COCO(str(path))
    rows = [coco.loadAnns(coco.getAnnIds(number)) for number in (1, 2)]
    with warnings.catch_warnings():
        # Its arrays are older than NumPy's newest rules.
        warnings.simplefilter("ignore", DeprecationWarning)
        masks = [np.stack([coco.annToMask(each) for each in row]) for row in rows]
    return masks, [[each["category_id"] for each in row] for row in rows]


@pytest.mark.parametrize("workers", [0, 1])
def test_masks_are_pycocotools(folder: Path, workers: int) -> None:
    path = segmented(folder, 400)
    expected, categories = drawn(path)
    source = sh.CocoDetection(folder, path, masks=True)
    room = ROOM | {"masks": 200 * HEIGHT * WIDTH}
    with sh.Loader(source, batch_size=2, capacity=room, num_workers=workers) as loader:
        assert loader.spec["masks"] == sh.FieldSpec("uint8", (None, None, None), room["masks"])
        (batch,) = loader
        for seen, right in zip(batch["masks"], expected, strict=True):
            assert seen.shape == right.shape
            wrong = [number for number in range(len(right)) if not np.array_equal(seen[number], right[number])]
            assert wrong == []
    semantic = sh.CocoDetection(folder, path, masks="semantic")
    with sh.Loader(semantic, batch_size=2, capacity=ROOM | {"mask": HEIGHT * WIDTH}, num_workers=workers) as loader:
        (batch,) = loader
        for seen, right, labels in zip(batch["mask"], expected, categories, strict=True):
            merged = np.zeros((HEIGHT, WIDTH), np.uint8)
            for mask, label in zip(right, labels, strict=True):
                merged[mask == 1] = label
            assert np.array_equal(seen, merged)


GEOMETRY = [sh.RandomResizedCrop(24), sh.RandomHorizontalFlip(), sh.RandomRotation(30, fill=0), sh.RandomPerspective()]


def test_masks_follow_their_image_as_files_of_masks_do(folder: Path) -> None:
    path = segmented(folder, 40)
    expected, _ = drawn(path)
    source = sh.CocoDetection(folder, path, masks=True)
    options: dict[str, Any] = {"transforms": {"image": GEOMETRY}, "seed": 3, "num_workers": 0, "batch_size": 2}
    with sh.Loader(source, **options) as loader:
        assert loader.spec["masks"] == sh.FieldSpec("uint8", (None, 24, 24), 20)
        (batch,) = loader
        seen = [np.array(row) for row in batch["masks"]]
    for number in range(20):
        masks = sh.Masks([row[number] for row in expected])
        table = sh.Table({"image": sh.Images([folder / "a.png", folder / "b.png"]), "mask": masks})
        with sh.Loader(table, **options) as loader:
            (batch,) = loader
            assert np.array_equal(batch["mask"], np.stack([row[number] for row in seen]))
    assert len({row.tobytes() for rows in seen for row in rows}) > 10


def test_masks_go_with_their_boxes(folder: Path) -> None:
    source = sh.CocoDetection(folder, segmented(folder, 60), masks=True)
    crop: dict[str, Any] = {"image": [sh.CenterCrop(16)]}
    options: dict[str, Any] = {"seed": 3, "batch_size": 2, "num_workers": 0}
    with sh.Loader(source, transforms=crop, **options) as loader:
        (whole,) = loader
        masks, boxes = ([np.array(row) for row in whole[name]] for name in ("masks", "boxes"))
    sanitize = sh.SanitizeBoundingBoxes(min_size=3, labels=("labels", "masks"))
    with sh.Loader(source, transforms=crop | {"boxes": [sanitize]}, **options) as loader:
        (batch,) = loader
        for row in range(2):
            kept = (boxes[row][:, 2:] - boxes[row][:, :2] >= 3).all(axis=1)
            assert 0 < kept.sum() < len(kept)
            assert np.array_equal(batch["masks"][row], masks[row][kept])
            assert len(batch["labels"][row]) == kept.sum()


def test_masks_do_not_depend_on_workers(folder: Path) -> None:
    source = sh.CocoDetection(folder, segmented(folder, 40), masks=True)
    seen = []
    for workers in (0, 2):
        options: dict[str, Any] = {"transforms": {"image": GEOMETRY}, "seed": 3, "num_workers": workers}
        with sh.Loader(source, batch_size=1, shuffle=True, **options) as loader:
            seen.append([value(batch) for _ in range(3) for batch in loader])
    assert seen[0] == seen[1]


def test_what_has_no_segmentation_has_an_empty_mask(folder: Path) -> None:
    source = sh.CocoDetection(folder, write(folder, FILE), masks=True)
    assert source.counters == {"annotations_without_segmentation": 2}
    seen = loaded(source, capacity=ROOM | {"masks": HEIGHT * WIDTH})
    assert seen["masks"] == [np.zeros((1, HEIGHT, WIDTH)).tolist()] * 2


RUNS = {"size": [HEIGHT, WIDTH], "counts": [HEIGHT * WIDTH]}
UNDRAWABLE: dict[str, tuple[Any, str]] = {
    "two corners": ([[1, 2, 3, 4]], "begins with a polygon of 4 numbers"),
    "no numbers": ([["a"] * 6], "polygon that is not a list of numbers: number 0"),
    "no list": ([1, 2, 3, 4, 5, 6], "polygon that is not a list of numbers: number 0"),
    "not finite": ([[1, 2, 3, float("inf"), 5, 6]], "reaches further than 131072 pixels"),
    "a text": ("abc", "is neither polygons nor runs"),
    "another size": (RUNS | {"size": [WIDTH, HEIGHT]}, "runs of size .* its image is 40 high and 50 wide"),
    "too few": (RUNS | {"counts": [5, 6]}, "do not add up to the 2000 pixels"),
    "too many": (RUNS | {"counts": [2000, 1]}, "do not add up"),
    "negative": (RUNS | {"counts": [2001, -1]}, "do not add up"),
    "compressed and cut": (RUNS | {"counts": "P"}, "compressed runs that are none"),
    "compressed and short": (RUNS | {"counts": "12"}, "do not add up"),
    "no counts": ({"size": [HEIGHT, WIDTH]}, "counts are neither a text nor a list"),
}


@pytest.mark.parametrize("name", UNDRAWABLE)
def test_what_cannot_be_drawn_is_named(folder: Path, name: str) -> None:
    segmentation, message = UNDRAWABLE[name]
    path = write(folder, changed(lambda f: f["annotations"][1].update(segmentation=segmentation)))
    with pytest.raises(ValueError, match=f"objects.json` .*annotation 12 of image 2 .*{message}"):
        sh.CocoDetection(folder, path, masks=True)
    sh.CocoDetection(folder, path)


def test_sizes_and_classes_that_masks_need_are_named(folder: Path) -> None:
    path = write(folder, changed(lambda f: f["images"][1].pop("height")))
    with pytest.raises(ValueError, match="the height and width that masks need: image 2, height None, width 50"):
        sh.CocoDetection(folder, path, masks=True)
    path = write(folder, changed(lambda f: f["annotations"][1].update(category_id=256)))
    with pytest.raises(ValueError, match="category_id that is not 1 to 255, for a mask: annotation 12 of image 2, 256"):
        sh.CocoDetection(folder, path, masks="semantic")
    path = write(folder, changed(lambda f: f["images"][1].update(height=41)))
    source = sh.CocoDetection(folder, path, masks=True)
    with (
        sh.Loader(source, transforms={"image": [sh.CenterCrop(8)]}, num_workers=0) as loader,
        pytest.raises(sh.DecodeError, match="mask `masks` is 50x41, and its image 50x40"),
    ):
        list(loader)
