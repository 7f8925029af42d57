"""Tables: columns by name."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from stokehold import _native
from stokehold.columns import BoundingBoxes, Column, Images, KeyPoints, Lists, column, field_name, flat, rows
from stokehold.sources import Source
from stokehold.transforms import BoxFormat

__all__ = ["Arrays", "CocoDetection", "Table"]


class Table(Source):
    """Columns by name; sample ``i`` is row ``i`` of each.

    Arrays, lists, texts and the paths of files are copied once, here, into shared memory that the workers can see.
    Files are read and decoded when their sample's turn comes, all those of a sample together.

    Args:
        columns: The columns by field name, at least one, all with the same number of rows, at least one: `Images`,
            `Masks`, `BoundingBoxes`, `KeyPoints`, `Lists`; a list of ``str``, which becomes a ragged field of their
            UTF-8 (see `Batch.text`); a list of ``bytes``, which becomes a ragged field of ``uint8``, the bytes as they
            are; anything else is taken for an array with a row for each sample, as `Arrays` takes it.

    Raises:
        ValueError: There are no columns or rows, their numbers of rows differ, a dtype cannot be in a batch, or
            masks, boxes or keypoints belong to a column that has no images.
        MemoryError: The copy does not fit under a limit of this process.
    """

    table: _native.Table

    def __init__(self, columns: Mapping[str, Column | Sequence[str] | Sequence[bytes] | Any]) -> None:
        found = {name: column(name, given) for name, given in columns.items()}
        counts = {name: len(each) for name, each in found.items()}
        if len(set(counts.values())) > 1:
            listed = ", ".join(f"`{name}` has {count}" for name, count in counts.items())
            raise ValueError(f"the columns differ in their number of rows: {listed}")
        described: list[dict[str, Any]] = []
        buffers: list[npt.NDArray[np.uint8]] = []
        for name, each in found.items():
            if each.image is not None and not isinstance(found.get(each.image), Images):
                raise ValueError(f"column `{name}` belongs to column `{each.image}`, which has no images")
            by, arrays = each.stored()
            numbers = [len(buffers) + at for at in range(len(arrays))]
            buffers.extend(flat(name, array) for array in arrays)
            stored = {by: numbers[0] if len(numbers) == 1 else numbers}
            described.append({"field": {"name": field_name(name), **each.spec()}, "stored": stored})
        self.table = _native.Table(next(iter(counts.values()), 0), json.dumps(described), buffers)
        self._fields = [each["field"] for each in described]

    def __len__(self) -> int:
        return self.table.rows

    def __repr__(self) -> str:
        fields = ", ".join(
            f"{field['name']}: {field['dtype']}{list(field['shape'])}"
            if field["kind"] == "tensor"
            else f"{field['name']}: {field['kind']}"
            for field in self._fields
        )
        return f"{type(self).__name__}({len(self)} rows of {fields})"


class Arrays(Table):
    """Arrays in memory; sample ``i`` is row ``i`` of each.

    The arrays are copied once, here, into shared memory that the workers can see; they may be dropped afterwards.
    Loaders over the same `Arrays` share the copy.

    Args:
        arrays: The arrays by field name, at least one, all with the same number of rows, at least one.
            Numbers and booleans in the machine's byte order; ``bfloat16`` with ``ml_dtypes``.

    Raises:
        ValueError: There are no arrays or rows, their numbers of rows differ, or a dtype cannot be in a batch.
        MemoryError: The copy does not fit under a limit of this process.
    """

    def __init__(self, arrays: Mapping[str, npt.ArrayLike]) -> None:
        columns = {name: rows(name, value) for name, value in arrays.items()}
        first, count = next(((name, len(each)) for name, each in columns.items()), ("", 0))
        for name, each in columns.items():
            if len(each) != count:
                raise ValueError(f"array `{name}` has {len(each)} rows, and `{first}` has {count}")
        if count == 0:
            raise ValueError("arrays need at least one field and one row")
        super().__init__(columns)


class CocoDetection(Table):
    """Images and their objects, as torchvision's ``CocoDetection`` finds them in a COCO annotation file.

    Samples are the images of the file, in the order of their ids, those without objects included. The fields are:

    - ``image``;
    - ``boxes``, `BoundingBoxes`, ragged ``float32`` (n, 4);
    - ``labels``, the category ids, ragged ``int64`` (n,);
    - ``area``, ragged ``float32`` (n,), and ``iscrowd``, ragged ``uint8`` (n,);
    - ``image_id``, an ``int64`` scalar;
    - ``keypoints``, `KeyPoints`, ragged ``float32`` (n, k, 3) of x, y and visibility, where the file has any.

    Segmentations are left out.

    Boxes and keypoints follow the transforms of ``image``. After crops, let `SanitizeBoundingBoxes` remove the boxes of
    which nothing is left, with what belongs to them::

        labels = ("labels", "area", "iscrowd")
        Loader(
            CocoDetection(root, annotations),
            transforms={"image": [RandomResizedCrop(640)], "boxes": [SanitizeBoundingBoxes(labels=labels)]},
        )

    Args:
        root: The folder of the images.
        annotations: The annotation file, JSON.
        box_format: What ``boxes`` are: ``"XYXY"``, corners, by default; ``"XYWH"`` as in the file; ``"CXCYWH"``, centre
            and size.

    Raises:
        FileNotFoundError: There is no such annotation file.
        ValueError: The file is no COCO annotation file, or has no images.
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        annotations: str | os.PathLike[str],
        box_format: BoxFormat = "XYXY",
    ) -> None:
        path = Path(annotations)
        content = json.loads(path.read_text(encoding="utf-8"))
        try:
            images = sorted(content["images"], key=lambda image: int(image["id"]))
            objects: dict[int, list[dict[str, Any]]] = {int(image["id"]): [] for image in images}
            for found in content.get("annotations", []):
                objects[int(found["image_id"])].append(found)
            rows = list(objects.values())
            self.categories: dict[int, str] = {
                int(category["id"]): category["name"] for category in content.get("categories", [])
            }
            columns: dict[str, Any] = {
                "image": Images([Path(root) / image["file_name"] for image in images]),
                "boxes": BoundingBoxes(
                    [_boxes([found["bbox"] for found in row], box_format) for row in rows], box_format
                ),
                "labels": Lists(
                    [np.array([found["category_id"] for found in row], np.int64) for row in rows], np.int64
                ),
                "area": Lists(
                    [np.array([found.get("area", 0) for found in row], np.float32) for row in rows], np.float32
                ),
                "iscrowd": Lists(
                    [np.array([found.get("iscrowd", 0) for found in row], np.uint8) for row in rows], "u1"
                ),
                "image_id": np.array(list(objects), np.int64),
            }
            points = max((len(found.get("keypoints", ())) // 3 for row in rows for found in row), default=0)
            if points:
                columns["keypoints"] = KeyPoints(
                    [
                        np.array([found.get("keypoints") or [0] * (3 * points) for found in row], np.float32).reshape(
                            len(row), points, 3
                        )
                        for row in rows
                    ]
                )
        except (AttributeError, KeyError, TypeError) as error:
            raise ValueError(f"`{path}` is no COCO annotation file: {type(error).__name__}: {error}") from error
        if not images:
            raise ValueError(f"`{path}` has no images")
        super().__init__(columns)


def _boxes(xywh: list[list[float]], box_format: BoxFormat) -> npt.NDArray[np.float32]:
    boxes = np.array(xywh, np.float64).reshape(-1, 4)
    if box_format == "XYXY":
        boxes[:, 2:] += boxes[:, :2]
    elif box_format == "CXCYWH":
        boxes[:, :2] += boxes[:, 2:] / 2
    return boxes.astype(np.float32)
