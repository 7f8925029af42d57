"""The rows of a ragged field, as they lie in a slot."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from stokehold import _native
from stokehold.outputs import OUTPUTS, Output, turned

__all__ = ["DenseRows", "SlotRows"]


class SlotRows(Sequence[Any]):
    """Rows each of which has as much room as the largest one needs: an array for each, made when asked for."""

    __slots__ = ("_native", "_output", "_position", "shapes")

    def __init__(self, native: _native.Batch, position: int, output: Output) -> None:
        self._native = native
        self._position = position
        self._output = output
        self.shapes = [tuple(shape) for shape in native.shapes(position)]

    def __len__(self) -> int:
        return len(self.shapes)

    def __getitem__(self, row: Any) -> Any:
        if isinstance(row, slice):
            return [self[at] for at in range(*row.indices(len(self)))]
        return OUTPUTS[self._output](self._native.row(self._position, range(len(self))[row]))

    def turned(self, output: Output) -> SlotRows:
        """Returns the same rows as arrays of this library."""
        return SlotRows(self._native, self._position, output)


class DenseRows(Sequence[Any]):
    """Rows that lie one after the other: parts of one array.

    Args:
        values: The values of all rows.
        offsets: Where each row begins, and where the last one ends.
    """

    __slots__ = ("offsets", "values")

    def __init__(self, values: Any, offsets: npt.NDArray[np.int64]) -> None:
        self.values = values
        self.offsets = offsets

    @classmethod
    def of(cls, native: _native.Batch, position: int, output: Output) -> Self:
        """Returns the rows of a field of a batch."""
        ends = (start + length for start, length, _ in native.spans or [])
        return cls(OUTPUTS[output](native.field(position)), np.array([0, *ends], np.int64))

    @property
    def shapes(self) -> list[tuple[int, ...]]:
        """The shape of each row."""
        return [(int(length), *self.values.shape[1:]) for length in np.diff(self.offsets)]

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, row: Any) -> Any:
        if isinstance(row, slice):
            return [self[at] for at in range(*row.indices(len(self)))]
        at = range(len(self))[row]
        return self.values[int(self.offsets[at]) : int(self.offsets[at + 1])]

    def turned(self, output: Output) -> DenseRows:
        """Returns the same rows as arrays of this library."""
        return DenseRows(turned(self.values, output), self.offsets)
