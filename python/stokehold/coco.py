"""COCO's annotation files as a source."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from stokehold.checks import as_truth, one_of, path, printable, shown, word
from stokehold.coco_file import AnnotationFile, Image
from stokehold.coco_masks import LAST_CLASS, Part, Segmentations, Segmented, parts
from stokehold.encoded import Images
from stokehold.lists import BoundingBoxes, KeyPoints, Lists
from stokehold.table import Table
from stokehold.transforms import BoxFormat

__all__ = ["CocoDetection"]

_LOG = logging.getLogger("stokehold")


class CocoDetection(Table):
    """Images and their objects, as torchvision's ``CocoDetection`` finds them in a COCO annotation file.

    Samples are the images of the file, in the order of their ids, those without objects included. The fields are:

    - ``image``;
    - ``boxes``, `BoundingBoxes`, ragged ``float32`` (n, 4);
    - ``labels``, the category ids, ragged ``int64`` (n,), or ``uint64`` where one needs it;
    - ``area``, ragged ``float32`` (n,), and ``iscrowd``, ragged ``uint8`` (n,);
    - ``image_id``, an ``int64`` scalar, a ``uint64`` one where an id needs it, or a text where ids are no such numbers;
    - ``keypoints``, `KeyPoints`, ragged ``float32`` (n, k, 3) of x, y and visibility, where the file has any;
    - ``masks``, ragged ``uint8`` (n, H, W) of 0 and 1, or ``mask``, ``uint8`` (H, W), where `masks` asks for them.

    Boxes, keypoints and masks follow the transforms of ``image``. After crops, let `SanitizeBoundingBoxes` remove the
    boxes of which nothing is left, with what belongs to them::

        labels = ("labels", "area", "iscrowd", "masks")
        Loader(
            CocoDetection(root, annotations, masks=True),
            transforms={"image": [RandomResizedCrop(640)], "boxes": [SanitizeBoundingBoxes(labels=labels)]},
        )

    Files are read as leniently as pycocotools reads them. Passed over are annotations of images that are not listed,
    and those without a box. An image that is listed again counts once, by its last entry. Filled in are ``area`` and
    ``iscrowd`` (0), keypoints (zeros, also where an object has fewer than others), names of categories (their ids) and
    segmentations (nothing of the image), where they are missing or null. `counters` and `Loader.stats` tell how many,
    and a warning is logged.

    Masks are drawn in the workers, pixel for pixel as pycocotools' ``annToMask`` draws them: from polygons and from
    runs, compressed and not.

    Args:
        root: The folder of the images. A relative path is looked up in the directory of now.
        annotations: The annotation file, JSON.
        box_format: What ``boxes`` are: ``"XYXY"``, corners, by default; ``"XYWH"`` as in the file; ``"CXCYWH"``, centre
            and size.
        masks: False for none, by default. True for ``masks``, one for each object. ``"semantic"`` for one ``mask`` of
            category ids, 1 to 255, in which later objects of the file lie over earlier ones and 0 is what none covers.
            Where the transforms fix no size, give the loader a ``capacity`` for them, in pixels: of ``masks``, those of
            all objects of an image.

    Raises:
        FileNotFoundError: There is no such annotation file.
        ValueError: The file is no COCO annotation file, has no images, or has something that cannot be used, such as a
            box that is not four numbers, or runs of another size than their image: the file, the annotation and the
            image are named. Or an argument is something else.
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        annotations: str | os.PathLike[str],
        box_format: BoxFormat = "XYXY",
        *,
        masks: bool | Literal["semantic"] = False,
    ) -> None:
        box_format = one_of("CocoDetection: box_format", box_format, get_args(BoxFormat))
        merged = word(masks, ("semantic",)) is not None
        if not merged and as_truth(masks) is None:
            kind = ValueError if isinstance(masks, str) else TypeError
            raise kind(f"CocoDetection: masks must be False, True or 'semantic', not {shown(masks)}")
        root = path("CocoDetection: root", root)
        file = AnnotationFile(path("CocoDetection: annotations", annotations))
        objects = [image.objects for image in file.images]
        columns: dict[str, Any] = {
            "image": Images([root / image.file_name for image in file.images]),
            "boxes": BoundingBoxes([_boxes([each.box for each in row], box_format) for row in objects], box_format),
            "labels": _labels([[each.label for each in row] for row in objects]),
            "area": Lists([np.array([each.area for each in row], np.float32) for row in objects], np.float32),
            "iscrowd": Lists([np.array([each.crowd for each in row], np.uint8) for row in objects], np.uint8),
            "image_id": _ids([image.id for image in file.images]),
        }
        if file.points:
            columns["keypoints"] = KeyPoints([_points(image, file.points) for image in file.images])
        if masks:
            columns["mask" if merged else "masks"] = _segmentations(file, merged=merged)
        self.categories: dict[int, str] = file.categories
        super().__init__(columns)
        self.counters = {name: count for name, count in file.counters.items() if count}
        if self.counters:
            listed = ", ".join(f"{name} {count}" for name, count in self.counters.items())
            _LOG.warning("%s: passed over or filled in: %s", printable(str(file.path)), listed)


def _boxes(xywh: Sequence[Sequence[float]], box_format: BoxFormat) -> npt.NDArray[np.float32]:
    boxes = np.array(xywh, np.float64).reshape(-1, 4)
    if box_format == "XYXY":
        boxes[:, 2:] += boxes[:, :2]
    elif box_format == "CXCYWH":
        boxes[:, :2] += boxes[:, 2:] / 2
    return boxes.astype(np.float32)


def _labels(rows: Sequence[Sequence[int]]) -> Lists:
    largest = max((number for row in rows for number in row), default=0)
    dtype = np.uint64 if largest >= 2**63 else np.int64
    return Lists([np.array(row, None if row else dtype) for row in rows], dtype)


def _ids(ids: Sequence[Any]) -> npt.NDArray[Any] | list[str]:
    """Returns ids of whatever kind as a column."""
    if all(isinstance(each, int) for each in ids):
        for dtype in (np.int64, np.uint64):
            limits = np.iinfo(dtype)
            if limits.min <= min(ids) and max(ids) <= limits.max:
                return np.array(ids, dtype)
    return [str(each) for each in ids]


def _points(image: Image, count: int) -> npt.NDArray[np.float32]:
    points = np.zeros((len(image.objects), 3 * count), np.float32)
    for row, each in zip(points, image.objects, strict=True):
        row[: len(each.points)] = each.points
    return points.reshape(-1, count, 3)


def _segmentations(file: AnnotationFile, *, merged: bool) -> Segmentations:
    rows: list[Segmented] = []
    for image in file.images:
        height, width = (image.entry.get(side) for side in ("height", "width"))
        if type(height) is not int or type(width) is not int or not (0 < height < 2**31 and 0 < width < 2**31):
            what = f"image {shown(image.id)}, height {height!r}, width {width!r}"
            raise file.error(f"has an image without the height and width that masks need: {what}")
        objects: list[tuple[int, list[Part]]] = []
        for each in image.objects:
            if merged and not 0 < each.label <= LAST_CLASS:
                raise file.error(f"has a category_id that is not 1 to 255, for a mask: {each.name}, {each.label}")
            segmentation = each.entry.get("segmentation")
            file.counters["annotations_without_segmentation"] += not segmentation
            try:
                found = parts(segmentation, height, width) if segmentation else []
            except ValueError as error:
                raise file.error(f"has a segmentation that cannot be drawn: {each.name} {error}") from error
            # Of classes that one mask does not hold, nobody asks.
            objects.append((each.label & LAST_CLASS, found))
        rows.append((height, width, objects))
    return Segmentations(rows, merged=merged)
