"""Columns whose rows vary in length: lists, and places in images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, get_args

import numpy as np
import numpy.typing as npt

from stokehold.casting import cast_rows, common_dtype
from stokehold.checks import dtype_name, items, numpy_dtype, one_of, text
from stokehold.columns import Column, Stored
from stokehold.transforms import BoxFormat

__all__ = ["BoundingBoxes", "KeyPoints", "Lists"]


class Lists(Column):
    """A column of arrays whose first extent varies: boxes (n, 4), tokens (n,), and so on. Their field is ragged.

    It follows no image, whatever its name is: boxes and keypoints that are to move with their image are columns of
    `BoundingBoxes` and `KeyPoints`.

    Args:
        rows: An array for each sample, all of the same shape but for the first axis. An empty one of any shape stands
            for no entries.
        dtype: The dtype; by default the one that NumPy promotes all rows to that are not empty, so that whole numbers
            and fractions together are ``float64``.

    Raises:
        ValueError: The rows differ in shape or have no first axis, or a row has a value that the dtype does not hold.
            A float may be rounded to a given float dtype of fewer bits; nothing else may change.
    """

    def __init__(self, rows: Sequence[npt.ArrayLike], dtype: npt.DTypeLike | None = None) -> None:
        owner = type(self).__name__
        given = items(f"{owner}: rows", rows, "a sequence of arrays, one for each sample")
        arrays = [_array(at, row, owner) for at, row in enumerate(given)]
        sample = next((array for array in arrays if array.size), arrays[0] if arrays else np.empty(0))
        self.shape = sample.shape[1:]
        for at, array in enumerate(arrays):
            if array.ndim == 0 or (array.size and array.shape[1:] != self.shape):
                expected = ", ".join(["n", *map(str, self.shape)])
                raise ValueError(f"{owner}: row {at} has shape {array.shape}, which is not ({expected})")
        self.dtype = common_dtype(arrays, owner) if dtype is None else numpy_dtype(dtype_name(f"{owner}: dtype", dtype))
        self.lengths = [len(array) if array.size else 0 for array in arrays]
        filled = [row for row in cast_rows(arrays, self.dtype, owner) if row.size]
        self.values = np.concatenate(filled) if filled else np.empty((0, *self.shape), self.dtype)

    def spec(self) -> dict[str, Any]:
        """Returns what the field is as plain data."""
        return {"kind": "list", "dtype": self.dtype.name, "shape": self.shape}

    def stored(self) -> Stored:
        """Returns the entries."""
        entry = int(np.prod(self.shape)) * self.dtype.itemsize
        ends = np.cumsum(self.lengths, dtype=np.uint64) * np.uint64(entry)
        return Stored("runs", (self.values, ends))

    def __len__(self) -> int:
        return len(self.lengths)


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

    image: str

    def __init__(
        self,
        rows: Sequence[npt.ArrayLike],
        format: BoxFormat = "XYXY",  # noqa: A002
        image: str = "image",
    ) -> None:
        format = one_of("BoundingBoxes: format", format, get_args(BoxFormat))  # noqa: A001
        super().__init__(rows, np.float32)
        if len(self.values) == 0:
            self.shape, self.values = (4,), np.empty((0, 4), np.float32)
        if self.shape != (4,):
            raise ValueError(
                f"BoundingBoxes: rows: boxes are of shape (n, 4), not ({', '.join(map(str, ('n', *self.shape)))})"
            )
        self.format = format
        self.image = text("BoundingBoxes: image", image, "the name of a column")

    def spec(self) -> dict[str, Any]:
        """Returns what the field is as plain data."""
        return {"kind": "bounding_boxes", "image": self.image, "format": self.format}


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

    image: str

    def __init__(self, rows: Sequence[npt.ArrayLike], image: str = "image") -> None:
        super().__init__(rows, np.float32)
        if self.shape[-1:] not in {(2,), (3,)}:
            shape = ", ".join(map(str, ("n", *self.shape)))
            raise ValueError(f"KeyPoints: rows: keypoints are of shape (n, ..., 2) or (n, ..., 3), not ({shape})")
        self.image = text("KeyPoints: image", image, "the name of a column")

    def spec(self) -> dict[str, Any]:
        """Returns what the field is as plain data."""
        return {"kind": "key_points", "image": self.image, "shape": self.shape}


def _array(at: int, row: npt.ArrayLike, owner: str) -> npt.NDArray[Any]:
    try:
        return np.asarray(row)
    except ValueError as error:
        raise ValueError(f"{owner}: row {at} is no array: {error}") from error
