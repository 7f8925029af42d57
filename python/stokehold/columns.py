"""Columns of a table: texts, bytes and arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

__all__ = ["Bytes", "Column", "Rows", "Runs", "Stored", "Texts", "column", "field_name", "flat", "rows", "shown"]

SHOWN: Final = 80
"""How many characters of a value an error shows."""


def shown(value: object) -> str:
    """Returns a value as an error shows it."""
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."


class Stored(NamedTuple):
    """What holds a column: ``"rows"`` of an array; or ``"runs"``, or paths of ``"files"``, and where each ends."""

    by: Literal["rows", "runs", "files"]
    arrays: Sequence[npt.NDArray[Any]]


class Column:
    """The base of all columns: what their field is, and the arrays that hold it."""

    image: str | None = None
    """The column of the images that the field follows."""

    def spec(self) -> dict[str, Any]:
        """Returns what the field is as plain data: its kind and the arguments of that."""
        raise NotImplementedError

    def stored(self) -> Stored:
        """Returns what holds the column."""
        raise NotImplementedError

    def __len__(self) -> int:
        raise NotImplementedError


class Runs:
    """Runs of bytes, one after the other, which come some at a time."""

    def __init__(self, rows: Sequence[bytes] = ()) -> None:
        self.data = bytearray()
        self._lengths: list[npt.NDArray[np.uint64]] = []
        self._count = 0
        self.add(rows)

    def add(self, rows: Sequence[bytes]) -> None:
        """Adds some runs."""
        self.data += b"".join(rows)
        self._lengths.append(np.fromiter(map(len, rows), np.uint64, len(rows)))
        self._count += len(rows)

    def ends(self) -> npt.NDArray[np.uint64]:
        """Returns where each run ends."""
        return np.cumsum(np.concatenate(self._lengths), dtype=np.uint64)

    def __len__(self) -> int:
        return self._count


class Bytes(Column):
    """A column of ``bytes``."""

    def __init__(self, runs: Runs) -> None:
        self.runs = runs

    def spec(self) -> dict[str, Any]:
        """Returns what the field is as plain data."""
        return {"kind": "bytes"}

    def stored(self) -> Stored:
        """Returns the bytes."""
        return Stored("runs", (np.frombuffer(self.runs.data, np.uint8), self.runs.ends()))

    def __len__(self) -> int:
        return len(self.runs)


class Texts(Bytes):
    """A column of ``str``, as UTF-8."""

    def spec(self) -> dict[str, Any]:
        """Returns what the field is as plain data."""
        return {"kind": "text"}


class Rows(Column):
    """A column of an array with a row for each sample."""

    def __init__(self, array: npt.NDArray[Any]) -> None:
        self.array = array

    def spec(self) -> dict[str, Any]:
        """Returns what the field is as plain data."""
        return {"kind": "tensor", "dtype": self.array.dtype.name, "shape": self.array.shape[1:]}

    def stored(self) -> Stored:
        """Returns the array."""
        return Stored("rows", (self.array,))

    def __len__(self) -> int:
        return len(self.array)


def column(name: str, given: object) -> Column:
    """Returns what a table was given as a column.

    Raises:
        ValueError: It is a scalar.
    """
    if isinstance(given, Column):
        return given
    if isinstance(given, list | tuple) and given:
        if all(isinstance(row, str) for row in given):
            return Texts(Runs([row.encode() for row in given]))
        if all(isinstance(row, str | bytes) for row in given):
            return Bytes(Runs([row.encode() if isinstance(row, str) else row for row in given]))
    return rows(name, given)


def field_name(name: str) -> str:
    """Returns the name of a field, or raises ``TypeError`` if it is none."""
    # JSON would take a number, and make it a text.
    if not isinstance(name, str):
        raise TypeError(f"the name of a field must be a str, not {type(name).__name__}")
    return name


def rows(name: str, given: object) -> Rows:
    """Returns an array as a column.

    Raises:
        TypeError: It is a column already.
        ValueError: It is a scalar.
    """
    if isinstance(given, Column):
        raise TypeError(f"column `{name}` is one of {type(given).__name__}, which a Table takes, and Arrays do not")
    array = np.asarray(given)
    if array.ndim == 0:
        raise ValueError(f"array `{name}` is a scalar; it needs a first axis of rows")
    return Rows(array)


def flat(name: str, array: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """Returns an array's bytes in C order.

    Raises:
        ValueError: The array is of a dtype that cannot be in a batch.
    """
    dtype = array.dtype
    if (dtype.kind not in "biuf" or dtype.itemsize > np.dtype(np.float64).itemsize) and dtype.name != "bfloat16":
        raise ValueError(f"array `{name}` has dtype {dtype}; a batch holds numbers and booleans only, of up to 8 bytes")
    if not dtype.isnative:
        raise ValueError(f"array `{name}` is not in the machine's byte order; use .astype(dtype.newbyteorder('='))")
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8)
