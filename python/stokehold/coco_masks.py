"""COCO's segmentations, packed for the workers, which draw them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from struct import pack
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from stokehold.columns import Column, Stored

__all__ = ["LAST_CLASS", "Part", "Segmentations", "Segmented", "parts"]

Part: TypeAlias = tuple[int, npt.NDArray[np.int32] | npt.NDArray[np.uint32]]
Segmented: TypeAlias = tuple[int, int, Sequence[tuple[int, Sequence[Part]]]]
"""Height and width of an image, and the class and the parts of each object."""

POLYGON: Final = 0
RUNS: Final = 1
FINENESS: Final = 5.0
"""COCO's tools follow the outline of a polygon in steps of a fifth of a pixel."""
BOX_NUMBERS: Final = 4
LAST_CLASS: Final = 0xFF
"""The highest class that a mask of them holds."""
DIGIT_BITS: Final = 6
MORE: Final = 1 << 5
LONGEST_COUNT: Final = 8
"""Of digits: five bits each are more than enough for any image."""
FARTHEST: Final = 2.0**17
"""How far from an image a polygon may reach, in pixels."""


class Segmentations(Column):
    """A column of the segmentations of objects: for each sample its size, and the class and the parts of each object.

    Their field is drawn in the workers: ragged ``uint8`` (n, H, W), or one mask ``uint8`` (H, W) of classes where
    `merged`. It follows the geometry of its image as `Masks` does.
    """

    image: str

    def __init__(
        self,
        rows: Sequence[Segmented],
        image: str = "image",
        *,
        merged: bool = False,
    ) -> None:
        self.image = image
        self.merged = merged
        self.most = max((len(objects) for _, _, objects in rows), default=0)
        words, ends = bytearray(), []
        for height, width, objects in rows:
            words += pack("=3I", height, width, len(objects))
            for number, found in objects:
                words += pack("=2I", number, len(found))
                for kind, values in found:
                    words += pack("=2I", kind, len(values))
                    words += values.data
            ends.append(len(words))
        self.words, self.ends = np.frombuffer(words, np.uint8), np.array(ends, np.uint64)

    def spec(self) -> dict[str, Any]:
        """Returns what the field is as plain data."""
        return {"kind": "segmentation", "image": self.image, "merged": self.merged, "capacity": self.most}

    def stored(self) -> Stored:
        """Returns the words."""
        return Stored("runs", (self.words, self.ends))

    def __len__(self) -> int:
        return len(self.ends)


def parts(segmentation: object, height: int, width: int) -> list[Part]:
    """Returns the parts of an object: polygons, and runs of pixels column by column.

    Raises:
        ValueError: It is nothing that pycocotools can draw in an image of this size.
    """
    match segmentation:
        case dict():
            return [_runs(segmentation, height, width)]
        case [dict(), *_] as runs:
            return [_runs(part, height, width) for part in runs]
        case [*polygons]:
            return list(_polygons(polygons))
        case _:
            raise ValueError("is neither polygons nor runs")


def _polygons(polygons: list[Any]) -> Iterator[Part]:
    for number, polygon in enumerate(polygons):
        try:
            corners = np.array(polygon if isinstance(polygon, list) else None)
        except ValueError:
            corners = np.array(None)
        # Texts and nulls make arrays of other kinds.
        if corners.ndim != 1 or (corners.size and corners.dtype.kind not in "iuf"):
            raise ValueError(f"has a polygon that is not a list of numbers: number {number}")
        # To pycocotools, the first one says what they all are.
        if number == 0 and len(corners) <= BOX_NUMBERS:
            raise ValueError(f"begins with a polygon of {len(corners)} numbers, where three corners have six")
        if not (np.abs(corners) <= FARTHEST).all():
            raise ValueError(f"has a polygon that reaches further than {FARTHEST:.0f} pixels: number {number}")
        # A last number without a partner is nothing to pycocotools.
        corners = corners[: len(corners) // 2 * 2].astype(np.float64)
        # Rounded as a cast rounds, towards zero.
        yield POLYGON, (FINENESS * corners + 0.5).astype(np.int32)


def _runs(runs: object, height: int, width: int) -> Part:
    if not isinstance(runs, Mapping):
        raise ValueError("is a list of runs and of something else")  # noqa: TRY004
    size, counts = runs.get("size"), runs.get("counts")
    if size != [height, width]:
        raise ValueError(f"has runs of size {size}, and its image is {height} high and {width} wide")
    if isinstance(counts, str):
        lengths = _decompressed(counts)
    elif isinstance(counts, list) and all(type(count) is int for count in counts):
        lengths = np.array(counts, np.int64) if all(abs(count) < 2**32 for count in counts) else np.array([-1])
    else:
        raise ValueError("has runs whose counts are neither a text nor a list of whole numbers")
    if (lengths < 0).any() or int(lengths.sum()) != height * width:
        raise ValueError(f"has runs that do not add up to the {height * width} pixels of its image")
    return RUNS, lengths.astype(np.uint32)


def _decompressed(text: str) -> npt.NDArray[np.int64]:
    """Returns the counts in COCO's compressed form.

    Each character holds five bits, the lowest first, and says whether more follow; from the fourth on, a count is kept
    as its difference to the one two before.
    """
    digits = np.frombuffer(text.encode("utf-8", "replace"), np.uint8).astype(np.int64) - ord("0")
    if digits.size == 0 or ((digits >> DIGIT_BITS) != 0).any() or digits[-1] & MORE:
        raise ValueError("has compressed runs that are none")
    ends = np.flatnonzero((digits & MORE) == 0)
    starts = np.concatenate([[0], ends[:-1] + 1])
    lengths = ends - starts + 1
    if lengths.max() > LONGEST_COUNT:
        raise ValueError("has compressed runs with a count that is too large")
    shifts = 5 * (np.arange(digits.size) - np.repeat(starts, lengths))
    counts = np.add.reduceat((digits & 31) << shifts, starts)
    counts -= np.where(digits[ends] & 16, np.int64(1) << (5 * lengths), 0)
    counts[1::2] = np.cumsum(counts[1::2])
    counts[2::2] = np.cumsum(counts[2::2])
    return counts
