"""Ragged fields and tables: captions, lists, masks, and images at their own size."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import stokehold as sh
from support import eventually, value, values

WORKERS = pytest.mark.parametrize("workers", [0, 1, 2, 4])
ROWS = 24
ROOM = 120 * 120


@pytest.fixture(scope="module")
def rows() -> dict[str, Any]:
    """Boxes, captions and labels of 24 samples; some have none."""
    random = np.random.default_rng(1)
    return {
        "boxes": [random.random((number % 7, 4), np.float32) for number in range(ROWS)],
        "caption": [f"sample {number}: " + "ä" * (number % 5) for number in range(ROWS)],
        "label": np.arange(ROWS),
    }


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Path]]:
    """24 images with masks, palette PNG; a mask's index tells the image's red."""
    image = pytest.importorskip("PIL.Image")
    root = tmp_path_factory.mktemp("masks")
    paths: dict[str, list[Path]] = {"image": [], "mask": []}
    for number in range(ROWS):
        height, width = 60 + number, 80 - number
        y, x = np.mgrid[0:height, 0:width]
        index = (x // 8 + 3 * (y // 8) + number) % 20
        pixels = np.stack([index * 12, y % 256, x % 256], -1).astype(np.uint8)
        mask = image.fromarray(index.astype(np.uint8)).convert("P")
        mask.putpalette([(7 * entry) % 256 for entry in range(768)])
        assert (np.asarray(mask) == index).all()
        for name, picture in (("image", image.fromarray(pixels)), ("mask", mask)):
            paths[name].append(root / f"{name}-{number}.png")
            picture.save(paths[name][-1])
    return paths


def table(rows: dict[str, Any], files: dict[str, list[Path]]) -> sh.Table:
    return sh.Table(
        {
            "image": sh.Images(files["image"]),
            "mask": sh.Masks(files["mask"]),
            "boxes": sh.Lists(rows["boxes"]),
            "caption": rows["caption"],
            "label": rows["label"],
        }
    )


def ragged_loader(source: sh.Table, workers: int = 0, **options: Any) -> sh.Loader:
    given: dict[str, Any] = {"batch_size": 5, "shuffle": True, "seed": 3, "capacity": {"image": ROOM, "mask": ROOM}}
    return sh.Loader(source, num_workers=workers, **given | options)


@WORKERS
def test_every_row_is_its_sample(rows: dict[str, Any], files: dict[str, list[Path]], workers: int) -> None:
    image = pytest.importorskip("PIL.Image")
    seen: list[int] = []
    with ragged_loader(table(rows, files), workers) as loader:
        assert loader.spec["boxes"] == sh.FieldSpec("float32", (None, 4), 6)
        assert loader.spec["image"] == sh.FieldSpec("uint8", (None, None, 3), ROOM)
        for epoch in range(3):
            loader.set_epoch(epoch)
            for batch in loader:
                for row, index in enumerate(batch.indices):
                    assert (batch["image"][row] == np.asarray(image.open(files["image"][index]))).all()
                    assert (batch["mask"][row] == np.asarray(image.open(files["mask"][index]))).all()
                    assert (batch["boxes"][row] == rows["boxes"][index]).all()
                    assert batch["boxes"][row].shape == rows["boxes"][index].shape
                    assert batch["label"][row] == index
                assert batch.text("caption") == [rows["caption"][index] for index in batch.indices]
                seen.extend(batch.indices)
    assert sorted(seen) == sorted(3 * list(range(ROWS)))


def test_bytes_do_not_depend_on_the_workers(rows: dict[str, Any], files: dict[str, list[Path]]) -> None:
    source = table(rows, files)
    crops = {"image": [sh.RandomResizedCrop(32), sh.RandomHorizontalFlip()]}
    options: dict[str, Any] = {"transforms": crops, "capacity": {}}
    with ragged_loader(source, 0, **options) as loader:
        expected = values(loader, 2)
    for workers in (1, 2, 4):
        with ragged_loader(source, workers, **options) as loader:
            assert values(loader, 2) == expected


def test_a_killed_worker_leaves_no_trace(rows: dict[str, Any], files: dict[str, list[Path]]) -> None:
    source = table(rows, files)
    with ragged_loader(source) as loader:
        expected = values(loader, 3)
    with ragged_loader(source, 2, prefetch=1) as loader:
        found = []
        for epoch in range(3):
            for at, batch in enumerate(loader):
                if at == 1 and epoch < 2:
                    os.kill(loader.stats()["workers"][0]["pid"], signal.SIGKILL)
                found.append(value(batch))
        assert found == expected
        assert eventually(lambda: loader.stats()["restarts"] >= 1)


def test_a_resumed_epoch_goes_on(rows: dict[str, Any], files: dict[str, list[Path]]) -> None:
    source = table(rows, files)
    with ragged_loader(source) as loader:
        expected = values(loader)
        batches = iter(loader)
        loader.set_epoch(0)
        batches = iter(loader)
        assert [value(next(batches)) for _ in range(2)] == expected[:2]
        state = json.loads(json.dumps(loader.state_dict()))
    with ragged_loader(source, 2) as loader:
        loader.load_state_dict(state)
        assert values(loader) == expected[2:]


@WORKERS
def test_a_row_over_its_capacity_is_a_bad_sample(rows: dict[str, Any], workers: int) -> None:
    source = sh.Table({"boxes": sh.Lists(rows["boxes"]), "label": rows["label"]})
    options: dict[str, Any] = {"num_workers": workers, "batch_size": 8, "capacity": {"boxes": 5}}
    with sh.Loader(source, **options) as loader:
        wanted = (
            r'sample 6 \(`row 6`\): field `boxes` needs room for 6 entries.* capacity is 5: raise capacity\["boxes"\]'
        )
        with pytest.raises(sh.DecodeError, match=wanted):
            next(iter(loader))
    with sh.Loader(source, on_error="skip", **options) as loader:
        labels = [int(label) for batch in loader for label in batch["label"]]
        assert len(labels) == ROWS
        assert not {label for label in labels if label % 7 == 6}


def test_the_tail_of_a_slot_is_never_visible() -> None:
    """One slot is filled with long rows, and then with short ones."""
    long, short = np.full(50, 7, np.int16), np.full(3, 1, np.int16)
    source = sh.Table({"x": sh.Lists([long, short] * 8)})
    with sh.Loader(source, num_workers=1, batch_size=1, prefetch=1) as loader:
        for _ in range(3):
            for batch in loader:
                row = batch["x"][0]
                assert set(row) == ({7} if len(row) == 50 else {1})
                assert len(bytes(row.data)) == row.nbytes
                with pytest.raises(TypeError, match="field `x` is ragged"):
                    batch.field("x")


def test_ragged_is_a_sequence_of_views(rows: dict[str, Any]) -> None:
    source = sh.Table({"boxes": sh.Lists(rows["boxes"])})
    with sh.Loader(source, num_workers=1, batch_size=10) as loader:
        batch = next(iter(loader))
        boxes = batch["boxes"]
        assert boxes is batch["boxes"]
        assert len(boxes) == 10
        assert boxes.shapes == [(number % 7, 4) for number in range(10)]
        assert boxes.lengths.tolist() == [number % 7 for number in range(10)]
        assert (boxes[-1] == boxes[9]).all()
        assert len(boxes[2:4]) == 2
        with pytest.raises(IndexError):
            boxes[10]
        boxes[3][:] = 5
        assert (boxes[3] == 5).all()
        assert boxes[3].ctypes.data % 64 == 0
        dense = boxes.padded(-1)
        assert dense.shape == (10, 6, 4)
        assert all(
            (dense[at, : len(row)] == row).all() and (dense[at, len(row) :] == -1).all() for at, row in enumerate(boxes)
        )
        assert boxes.padded(shape=(9, 4)).shape == (10, 9, 4)
        with pytest.raises(ValueError, match=r"row 6 of shape \(6, 4\) does not fit \(5, 4\)"):
            boxes.padded(shape=(5, 4))
        row = boxes[3]
        del batch, boxes
        assert loader.stats()["held_slots"] == 1
        assert (row == 5).all()
        del row
        assert loader.stats()["held_slots"] == 0


def test_rows_are_tensors(rows: dict[str, Any], torch: Any) -> None:
    assert_rows_are(torch.Tensor, "torch", rows)


def test_rows_are_jax_arrays(rows: dict[str, Any], jax: Any) -> None:
    assert_rows_are(jax.Array, "jax", rows)


def assert_rows_are(kind: type, output: Any, rows: dict[str, Any]) -> None:
    source = sh.Table({"boxes": sh.Lists(rows["boxes"])})
    with sh.Loader(source, num_workers=0, batch_size=10, output=output) as loader:
        boxes = next(iter(loader))["boxes"]
        assert isinstance(boxes[3], kind)
        assert isinstance(boxes.padded(), kind)
        assert (np.asarray(boxes[3]) == rows["boxes"][3]).all()
        assert (np.asarray(boxes.padded())[3, :3] == rows["boxes"][3]).all()


GEOMETRY: dict[str, list[sh.Transform]] = {
    "crop": [
        sh.RandomResizedCrop((40, 24), interpolation="nearest"),
        sh.RandomHorizontalFlip(),
        sh.CenterCrop(30),
    ],
    "turn": [sh.RandomRotation(40), sh.RandomVerticalFlip(), sh.RandomCrop((50, 40), padding=3)],
    "move": [sh.RandomAffine(10, translate=(0.1, 0.2), scale=(0.8, 1.2), shear=5), sh.Pad(2), sh.CenterCrop((61, 50))],
}


@WORKERS
@pytest.mark.parametrize("name", GEOMETRY)
def test_a_mask_follows_its_image(rows: dict[str, Any], files: dict[str, list[Path]], workers: int, name: str) -> None:
    """By the nearest pixel, the image shows in each pixel the red that belongs to the mask's index."""
    transforms = {"image": GEOMETRY[name], "mask": [sh.ToDtype("int64")]}
    with ragged_loader(table(rows, files), workers, transforms=transforms, capacity={}) as loader:
        assert loader.spec["mask"].dtype == "int64"
        assert loader.spec["mask"].shape == loader.spec["image"].shape[:2]
        crops: set[bytes] = set()
        for batch in loader:
            assert (batch["image"][..., 0] == batch["mask"] * 12).all()
            crops.update(map(bytes, batch["mask"]))
        assert len(crops) == ROWS


def test_a_mask_of_another_size_is_named(rows: dict[str, Any], files: dict[str, list[Path]]) -> None:
    wrong = {"image": files["image"], "mask": [*files["mask"][1:], files["mask"][0]]}
    with (
        ragged_loader(table(rows, wrong), 1, shuffle=False) as loader,
        pytest.raises(sh.DecodeError, match=r"sample 0 .*mask `mask` is 79x61, and its image 80x60"),
    ):
        next(iter(loader))


@WORKERS
def test_bytes_come_as_they_are(workers: int) -> None:
    given = [bytes(range(number)) + b"\xff\x00" * (number % 3) for number in range(ROWS)]
    source = sh.Table({"record": given, "caption": ["é"] * ROWS, "label": np.arange(ROWS, dtype=np.int32)})
    assert repr(source) == f"Table({ROWS} rows of record: bytes, caption: text, label: int32[])"
    with sh.Loader(source, batch_size=5, num_workers=workers) as loader:
        assert loader.spec["record"] == sh.FieldSpec("uint8", (None,), max(map(len, given)))
        seen = [row.tobytes() for batch in loader for row in batch["record"]]
        assert seen == given


def test_mistakes_are_named_at_once(rows: dict[str, Any], files: dict[str, list[Path]]) -> None:
    source = table(rows, files)
    for options, message in (
        ({"capacity": {}}, r"field `image` has no fixed size: .*capacity\[\"image\"\]"),
        ({"capacity": {"picture": 1}}, "there is no field `picture` for capacity"),
        (
            {"capacity": {"image": ROOM, "mask": ROOM, "label": 1}},
            "field `label` has a fixed shape and takes no capacity",
        ),
        ({"transforms": {"image": [sh.ToLayout("CHW")]}}, "stay HWC"),
        ({"transforms": {"mask": [sh.CenterCrop(4)]}}, "field `mask` follows `image`: it takes the CenterCrop"),
        ({"transforms": {"boxes": [sh.CenterCrop(4)]}}, "CenterCrop takes images of uint8, uint16 or float32"),
    ):
        with pytest.raises(ValueError, match=message):
            ragged_loader(source, 1, **options)
    for columns, message in (
        ({}, "at least one column and one row"),
        ({"x": []}, "at least one column and one row"),
        ({"x": [1, 2], "y": ["a"]}, "`x` has 2, `y` has 1"),
        ({"x": np.array([object()], object)}, "numbers and booleans only"),
        ({"mask": sh.Masks(["a"])}, "column `mask` belongs to column `image`, which has no images"),
    ):
        with pytest.raises(ValueError, match=message):
            sh.Table(columns)
    number: Any = 3
    with pytest.raises(TypeError, match="the name of a field must be a str, not 3"):
        sh.Table({number: [1]})
    with pytest.raises(TypeError, match="the name of a field must be a str, not 3"):
        ragged_loader(source, capacity={number: 1})
    with pytest.raises(ValueError, match=r"row 1 has shape \(2, 3\)"):
        sh.Lists([np.zeros((1, 4)), np.zeros((2, 3))])


def test_a_missing_file_is_named(rows: dict[str, Any], files: dict[str, list[Path]]) -> None:
    gone = {"image": files["image"], "mask": [Path("/nowhere/m.png"), *files["mask"][1:]]}
    with (
        ragged_loader(table(rows, gone), 1, shuffle=False) as loader,
        pytest.raises(FileNotFoundError, match=r"sample 0 .*mask `/nowhere/m.png`: No such file"),
    ):
        next(iter(loader))


@pytest.mark.parametrize("box_format", ["XYXY", "XYWH", "CXCYWH"])
def test_coco(files: dict[str, list[Path]], tmp_path: Path, box_format: Any) -> None:
    annotations = {
        "images": [{"id": 9, "file_name": files["image"][1].name}, {"id": 4, "file_name": files["image"][0].name}],
        "categories": [{"id": 3, "name": "cat"}, {"id": 7, "name": "dog"}],
        "annotations": [
            {"id": 1, "image_id": 9, "category_id": 7, "bbox": [10, 20, 30, 40], "area": 600.5, "iscrowd": 1},
            {
                "id": 2,
                "image_id": 9,
                "category_id": 3,
                "bbox": [1, 2, 3, 4],
                "area": 6,
                "keypoints": [5, 6, 2, 0, 0, 0],
            },
        ],
    }
    path = tmp_path / "annotations.json"
    path.write_text(json.dumps(annotations))
    source = sh.CocoDetection(files["image"][0].parent, path, box_format)
    assert source.categories == {3: "cat", 7: "dog"}
    with ragged_loader(source, 1, shuffle=False, capacity={"image": ROOM}) as loader:
        (batch,) = loader
        assert batch["image_id"].tolist() == [4, 9]
        assert batch["image"].shapes == [(60, 80, 3), (61, 79, 3)]
        assert [len(batch[name][0]) for name in ("boxes", "labels", "area", "iscrowd", "keypoints")] == [0] * 5
        expected = {"XYXY": [10, 20, 40, 60], "XYWH": [10, 20, 30, 40], "CXCYWH": [25, 40, 30, 40]}
        assert batch["boxes"][1][0].tolist() == expected[box_format]
        assert batch["labels"][1].tolist() == [7, 3]
        assert batch["area"][1].tolist() == [600.5, 6]
        assert batch["iscrowd"][1].tolist() == [1, 0]
        assert batch["keypoints"][1].tolist() == [[[0, 0, 0], [0, 0, 0]], [[5, 6, 2], [0, 0, 0]]]
    path.write_text("[]")
    with pytest.raises(ValueError, match="is no COCO annotation file"):
        sh.CocoDetection(tmp_path, path)
