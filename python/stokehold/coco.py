"""COCO's annotation files."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from stokehold.columns import Images
from stokehold.lists import BoundingBoxes, KeyPoints, Lists
from stokehold.table import Table
from stokehold.transforms import BoxFormat

__all__ = ["CocoDetection"]


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
