"""Columns of a table: files, lists, and places in images."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from typing import Any, TypeAlias, get_args

import numpy as np
import numpy.typing as npt

from stokehold.transforms import BoxFormat

__all__ = ["BoundingBoxes", "Column", "Images", "KeyPoints", "Lists", "Masks", "column", "flat"]


class Images:
    """A column of image files.

    Their field is decoded to ``uint8`` (H, W, 3). Where the transforms fix no size, the images keep their own and the
    field is ragged: give the loader its ``capacity``, in pixels.

    Args:
        paths: A path for each sample.
    """

    def __init__(self, paths: Sequence[str | os.PathLike[str]]) -> None:
        self.paths = [os.fsencode(path) for path in paths]


class Masks:
    """A column of files of class indices: palette PNG, or 8-bit grey in PNG, BMP, TIFF or PNM.

    Their field is decoded to ``uint8`` (H, W), and follows the geometry of its image, with the same draws and by the
    nearest pixel (that whose centre is nearest, Pillow's ``NEAREST`` and torchvision's ``NEAREST_EXACT``). It takes
    no geometry of its own; `ToDtype` may be given. What a padding or a turn adds has the image's ``fill`` where that is
    one number, and is 0 where it is one for each channel. A mask of another size than its image is an error.

    Args:
        paths: A path for each sample.
        image: The column of the images, ``"image"`` by default.
    """

    def __init__(self, paths: Sequence[str | os.PathLike[str]], image: str = "image") -> None:
        self.paths = [os.fsencode(path) for path in paths]
        self.image = image


class Lists:
    """A column of arrays whose first extent varies: boxes (n, 4), tokens (n,), and so on. Their field is ragged.

    Args:
        rows: An array for each sample, all of the same dtype and of the same shape but for the first axis. An empty
            one of any shape stands for no entries.
        dtype: The dtype; that of the first row that is not empty by default.

    Raises:
        ValueError: The rows differ in shape, or have no first axis.
    """

    def __init__(self, rows: Sequence[npt.ArrayLike], dtype: npt.DTypeLike | None = None) -> None:
        arrays = [np.asarray(row) for row in rows]
        sample = next((array for array in arrays if array.size), arrays[0] if arrays else np.empty(0))
        self.dtype = np.dtype(sample.dtype if dtype is None else dtype)
        self.shape = sample.shape[1:]
        for at, array in enumerate(arrays):
            if array.ndim == 0 or (array.size and array.shape[1:] != self.shape):
                raise ValueError(
                    f"row {at} has shape {array.shape}, which is not (n, {', '.join(map(str, self.shape))})"
                )
        self.lengths = [len(array) if array.size else 0 for array in arrays]
        filled = [array.astype(self.dtype, copy=False) for array in arrays if array.size]
        self.values = np.concatenate(filled) if filled else np.empty((0, *self.shape), self.dtype)


class BoundingBoxes(Lists):
    """A column of bounding boxes, for each sample as many as it has. Their field is ragged ``float32`` (n, 4).

    Boxes follow the geometry of their image, with the same draws: what a crop cuts off is cut off, and what is rotated
    becomes the smallest upright box around it, as with torchvision's. Boxes of which nothing is left stay, so that
    their number does not change, until `SanitizeBoundingBoxes` removes them.

    Args:
        rows: An array (n, 4) for each sample, in pixels of the image file. An empty one stands for no boxes.
        format: The numbers of each: ``"XYXY"`` by default, ``"XYWH"`` or ``"CXCYWH"``. `ConvertBoundingBoxFormat`
            gives batches another.
        image: The column of the images, ``"image"`` by default.

    Raises:
        ValueError: A row is of another shape, or the format is unknown.
    """

    def __init__(
        self,
        rows: Sequence[npt.ArrayLike],
        format: BoxFormat = "XYXY",  # noqa: A002
        image: str = "image",
    ) -> None:
        if format not in get_args(BoxFormat):
            raise ValueError(f"format must be one of {', '.join(get_args(BoxFormat))}, not {format!r}")
        super().__init__(rows, np.float32)
        if len(self.values) == 0:
            self.shape, self.values = (4,), np.empty((0, 4), np.float32)
        if self.shape != (4,):
            raise ValueError(f"boxes are of shape (n, 4), not (n, {', '.join(map(str, self.shape))})")
        self.format = format
        self.image = image


class KeyPoints(Lists):
    """A column of keypoints, for each sample as many as it has. Their field is ragged ``float32``.

    Keypoints follow the geometry of their image, with the same draws, and are not cut off. Mirroring an image does not
    exchange its left and right points.

    Args:
        rows: An array (n, ..., 2) of x and y for each sample, in pixels of the image file, or (n, ..., 3) with COCO's
            visibility, which is kept; points whose visibility is 0 stay where they are.
        image: The column of the images, ``"image"`` by default.

    Raises:
        ValueError: A row is of another shape.
    """

    def __init__(self, rows: Sequence[npt.ArrayLike], image: str = "image") -> None:
        super().__init__(rows, np.float32)
        if self.shape[-1:] not in {(2,), (3,)}:
            raise ValueError(
                f"keypoints are of shape (n, ..., 2) or (n, ..., 3), not (n, {', '.join(map(str, self.shape))})"
            )
        self.image = image


Column: TypeAlias = tuple[str, str, str, list[int], npt.NDArray[np.uint8], npt.NDArray[np.uint64] | None, str]
"""A column as the native half takes it: name, kind, dtype, shape, values, ends of the runs, column of the image."""


def _runs(rows: Sequence[bytes]) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint64]]:
    ends = np.cumsum([len(row) for row in rows], dtype=np.uint64)
    return np.frombuffer(b"".join(rows), np.uint8), ends


def flat(name: str, array: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """Returns an array's bytes in C order."""
    if array.dtype.kind not in "biuf" and array.dtype.name != "bfloat16":
        raise ValueError(f"array `{name}` has dtype {array.dtype}; a batch holds numbers and booleans only")
    if not array.dtype.isnative:
        raise ValueError(f"array `{name}` is not in the machine's byte order; use .astype(dtype.newbyteorder('='))")
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8)


def column(name: str, given: object) -> tuple[Column, int]:
    """Describes a column to the native half; returns its number of rows too."""
    if isinstance(given, Images | Masks):
        kind, image = ("masks", given.image) if isinstance(given, Masks) else ("images", "")
        return (name, kind, "uint8", [], *_runs(given.paths), image), len(given.paths)
    if isinstance(given, Lists):
        entry = int(np.prod(given.shape)) * given.dtype.itemsize
        ends = np.cumsum(given.lengths, dtype=np.uint64) * np.uint64(entry)
        values = flat(name, given.values)
        kind, image = "lists", ""
        if isinstance(given, BoundingBoxes):
            kind, image = json.dumps(given.format), given.image
        elif isinstance(given, KeyPoints):
            kind, image = "keypoints", given.image
        return (name, kind, given.dtype.name, list(given.shape), values, ends, image), len(given.lengths)
    if isinstance(given, list | tuple) and given and all(isinstance(row, str | bytes) for row in given):
        rows = [row.encode() if isinstance(row, str) else row for row in given]
        return (name, "lists", "uint8", [], *_runs(rows), ""), len(rows)
    array = np.asarray(given)
    if array.ndim == 0:
        raise ValueError(f"array `{name}` is a scalar; it needs a first axis of rows")
    return (name, "array", array.dtype.name, list(array.shape[1:]), flat(name, array), None, ""), len(array)
