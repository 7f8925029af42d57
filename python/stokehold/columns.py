"""Columns of a table: texts, bytes and arrays."""

from __future__ import annotations

import mmap
import os
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any, Final, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

__all__ = [
    "Blocks",
    "Bytes",
    "Column",
    "Rows",
    "Runs",
    "Shard",
    "Stored",
    "Texts",
    "checked",
    "column",
    "field_name",
    "flat",
    "rows",
    "shown",
]

SHOWN: Final = 80
"""How many characters of a value an error shows."""


def shown(value: object) -> str:
    """Returns a value as an error shows it."""
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."


class Shard(NamedTuple):
    """A file that holds many samples, and what it was when these were found in it."""

    path: str
    size: int
    changed: int
    """Its time of change, in nanoseconds."""

    @classmethod
    def of(cls, file: IO[bytes]) -> Shard:
        """Returns an open file as a shard."""
        stat = os.fstat(file.fileno())
        return cls(str(Path(file.name).absolute()), stat.st_size, stat.st_mtime_ns)


class Stored(NamedTuple):
    """What holds a column.

    ``"rows"`` of an array; ``"runs"``, or paths of ``"files"``, and where each ends; ``"blocks"``, arrays in shards, as
    a row of ``uint64`` each: the first sample, the number of the shard, and where in that they start.
    """

    by: Literal["rows", "runs", "files", "blocks"]
    arrays: Sequence[npt.NDArray[Any]]
    shards: Sequence[Shard] = ()


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


class Blocks(Column):
    """A column of C-contiguous arrays in files, of one dtype and shape of rows, one after another."""

    def __init__(self, dtype: np.dtype[Any], shape: Sequence[int], blocks: Sequence[tuple[Shard, int, int]]) -> None:
        """`blocks` are the arrays: their files, where in those they start, and their numbers of rows."""
        self.dtype = dtype
        self.shape = tuple(shape)
        self.blocks = [block for block in blocks if block[2]]

    def spec(self) -> dict[str, Any]:
        """Returns what the field is as plain data."""
        return {"kind": "tensor", "dtype": self.dtype.name, "shape": self.shape}

    def stored(self) -> Stored:
        """Returns where the arrays lie."""
        shards = list(dict.fromkeys(shard for shard, _, _ in self.blocks))
        numbers = {shard: number for number, shard in enumerate(shards)}
        firsts = np.cumsum([0, *(rows for _, _, rows in self.blocks)])
        found = [(first, numbers[shard], start) for first, (shard, start, _) in zip(firsts, self.blocks, strict=False)]
        return Stored("blocks", (np.array(found, np.uint64).reshape(-1, 3),), shards)

    def __len__(self) -> int:
        return sum(rows for _, _, rows in self.blocks)


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


def rows(name: str, given: object) -> Rows | Blocks:
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
    checked(name, array.dtype)
    return _of_a_map(given, array) or Rows(array)


def _of_a_map(given: object, array: npt.NDArray[Any]) -> Blocks | None:
    """Returns an array that NumPy has mapped from a file, and that nothing in this process may have changed."""
    root = given
    while isinstance(root, np.ndarray) and not isinstance(root.base, mmap.mmap):
        root = root.base
    # A part of one is one too, as NumPy has it, and then keeps the offset of the whole.
    if not isinstance(root, np.memmap) or root.mode != "r" or root.filename is None:
        return None
    if not array.flags.c_contiguous or array.size == 0:
        return None
    start = root.offset + array.__array_interface__["data"][0] - root.__array_interface__["data"][0]
    try:
        with Path(root.filename).open("rb") as file:
            shard = Shard.of(file)
    except OSError:
        # It is gone, and the map is all that there is of it.
        return None
    if shard.size < start + array.nbytes:
        return None
    return Blocks(array.dtype, array.shape[1:], [(shard, start, len(array))])


def checked(name: str, dtype: np.dtype[Any]) -> None:
    """Checks that an array of this dtype can be in a batch.

    Raises:
        ValueError: It cannot.
    """
    if (dtype.kind not in "biuf" or dtype.itemsize > np.dtype(np.float64).itemsize) and dtype.name != "bfloat16":
        raise ValueError(f"array `{name}` has dtype {dtype}; a batch holds numbers and booleans only, of up to 8 bytes")
    if not dtype.isnative:
        raise ValueError(f"array `{name}` is not in the machine's byte order; use .astype(dtype.newbyteorder('='))")


def flat(name: str, array: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """Returns an array's bytes in C order.

    Raises:
        ValueError: The array is of a dtype that cannot be in a batch.
    """
    checked(name, array.dtype)
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8)
