"""Makes columns of lists of numbers, boxes and keypoints."""

from __future__ import annotations

from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from stokehold.casting import cast_rows
from stokehold.columns import Column, Rows, shown
from stokehold.lists import BoundingBoxes, KeyPoints, Lists
from stokehold.manifest.cells import INTEGER, NUMBER, CellError, Gathering, from_json
from stokehold.manifest.kinds import BoxColumn, KeyPointColumn, ListColumn
from stokehold.manifest.rows import Cells

__all__ = ["ListCells"]

Array: TypeAlias = npt.NDArray[Any]
Kind: TypeAlias = ListColumn | BoxColumn | KeyPointColumn

_BOX: Final = (4,)
_POINTS: Final = ((2,), (3,))


class ListCells(Gathering):
    """Lists of numbers, all of one shape but for their length."""

    def __init__(self, kind: Kind) -> None:
        self._kind = kind
        self._dtype = np.dtype(kind.dtype if isinstance(kind, ListColumn) else np.float32)
        self._is_fixed = isinstance(kind, ListColumn) and not kind.ragged
        self._shape: tuple[int, ...] | None = None
        """Of each list, but for its length where that varies."""
        self._rows: list[Array] = []

    def add(self, cells: Cells) -> None:
        """Takes some more lists."""
        rows = [self._row(row, cell) for row, cell in enumerate(cells)]
        try:
            self._rows += cast_rows(rows, self._dtype, "")
        except ValueError:
            self._rows += [self._cast(row, array) for row, array in enumerate(rows)]

    def _cast(self, row: int, array: Array) -> Array:
        try:
            return cast_rows([array], self._dtype, "")[0]
        except ValueError as error:
            _, _, what = str(error).partition("has the value ")
            raise CellError(row, f"holds a list with the value {what}; another dtype may") from None

    def _row(self, row: int, cell: object) -> Array:
        """Returns a list as an array, of a shape that goes with those before."""
        found = _parsed(row, cell, self._kind) if isinstance(cell, str) else cell
        if not isinstance(found, list | tuple):
            raise CellError(row, f"holds {shown(cell)}, which is not {self._kind.describe()}")
        try:
            array = np.array(found)
        except (ValueError, OverflowError):
            array = np.array(None)
        if array.size == 0 and not self._is_fixed:
            return np.empty((0, *(self._shape or ())), self._dtype)
        if array.size and array.dtype.kind not in ("biuf" if self._dtype.kind == "b" else "iuf"):
            what = "its numbers are no numbers, too large, or nested unevenly"
            raise CellError(row, f"holds {shown(cell)}, which is not {self._kind.describe()}: {what}")
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise CellError(row, f"holds {shown(cell)}, with a value that is not finite: leave such lists out")
        self._check_shape(row, array.shape)
        return array

    def _check_shape(self, row: int, shape: tuple[int, ...]) -> None:
        kind = self._kind
        if isinstance(kind, BoxColumn):
            is_right = shape[1:] == _BOX
        elif isinstance(kind, KeyPointColumn):
            is_right = shape[-1:] in _POINTS and len(shape) > 1
        else:
            is_right = True
        if not is_right:
            raise CellError(row, f"holds a list of shape {shape}, which is not {kind.describe()}")
        own = shape if self._is_fixed else shape[1:]
        if self._shape is None:
            self._shape = own
        elif own != self._shape:
            expected = self._shape if self._is_fixed else f"({', '.join(['n', *map(str, self._shape)])})"
            raise CellError(row, f"holds a list of shape {shape}, and those before it are of shape {expected}")

    def column(self) -> Column:
        """Returns the lists."""
        kind, rows = self._kind, self._rows
        if isinstance(kind, BoxColumn):
            return BoundingBoxes(rows, kind.format, kind.image)
        if isinstance(kind, KeyPointColumn):
            return KeyPoints(rows if self._shape else [np.empty((0, 2), np.float32) for _ in rows], kind.image)
        return Rows(np.stack(rows)) if self._is_fixed else Lists(rows, self._dtype)


def _parsed(row: int, text: str, kind: Kind) -> object:
    """Returns a list that stands in a CSV file as a text: as JSON, or as numbers with something between them."""
    if text.lstrip().startswith("["):
        try:
            return from_json(text)
        except ValueError as error:
            raise CellError(row, f"holds {shown(text)}, which is not {kind.describe()}: {error}") from None
    separator = kind.separator if isinstance(kind, ListColumn) else None
    numbers: list[int | float] = []
    for part in text.split(separator):
        if INTEGER.fullmatch(part):
            numbers.append(int(part))
        elif NUMBER.fullmatch(part):
            numbers.append(float(part))
        else:
            raise CellError(row, f"holds {shown(text)}, which is not {kind.describe()}: {shown(part)} is no number")
    return numbers
