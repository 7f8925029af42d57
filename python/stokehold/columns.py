"""Columns of a table: texts, bytes and arrays."""

from __future__ import annotations

import math
import mmap
import os
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import IO, Any, Literal, NamedTuple, cast

import numpy as np
import numpy.typing as npt

from stokehold.checks import is_missing, mapping, shown

__all__ = [
    "Blocks",
    "Bytes",
    "Column",
    "Memory",
    "Parts",
    "Rows",
    "Runs",
    "Shard",
    "Stored",
    "Texts",
    "by_name",
    "checked",
    "column",
    "field_name",
    "flat",
    "rows",
    "shown",
]


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
    a row of ``uint64`` each: the first sample, the number of the shard, where in that they start, and the bytes from
    one row to the next; ``"windows"``, an array whose rows may overlap, and its rows likewise; ``"parts"`` of shards,
    as for each sample the number of the shard, ``uint32``, where in that it starts, and its bytes, ``uint64``.
    """

    by: Literal["rows", "runs", "files", "blocks", "windows", "parts"]
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
    """A column of arrays in files, of one dtype and shape of rows, one after another."""

    def __init__(
        self,
        dtype: np.dtype[Any],
        shape: Sequence[int],
        blocks: Sequence[tuple[Shard, int, int]],
        step: int | None = None,
    ) -> None:
        """`blocks` are the arrays: their files, where in those they start, and their numbers of rows.

        `step` is the number of bytes from one row to the next, which may overlap; by default they are C-contiguous.
        """
        self.dtype = dtype
        self.shape = tuple(shape)
        self.step = math.prod(shape) * dtype.itemsize if step is None else step
        self.blocks = [block for block in blocks if block[2]]

    def spec(self) -> dict[str, Any]:
        """Returns what the field is as plain data."""
        return {"kind": "tensor", "dtype": self.dtype.name, "shape": self.shape}

    def stored(self) -> Stored:
        """Returns where the arrays lie."""
        shards = list(dict.fromkeys(shard for shard, _, _ in self.blocks))
        numbers = {shard: number for number, shard in enumerate(shards)}
        firsts = np.cumsum([0, *(rows for _, _, rows in self.blocks)])
        each = zip(firsts, self.blocks, strict=False)
        found = [(first, numbers[shard], start, self.step) for first, (shard, start, _) in each]
        return Stored("blocks", (np.array(found, np.uint64).reshape(-1, 4),), shards)

    def __len__(self) -> int:
        return sum(rows for _, _, rows in self.blocks)


class Memory(Column):
    """A column of runs of bytes in memory, whatever field they are of."""

    def __init__(self, spec: dict[str, Any], data: npt.NDArray[np.uint8], ends: npt.NDArray[np.uint64]) -> None:
        """`data` has the runs, one after the other, and `ends` where each of them ends."""
        self._spec = spec
        self._data, self._ends = data, ends

    def spec(self) -> dict[str, Any]:
        """Returns what the field is as plain data."""
        return self._spec

    def stored(self) -> Stored:
        """Returns the runs."""
        return Stored("runs", (self._data, self._ends))

    def __len__(self) -> int:
        return len(self._ends)


class Parts(Column):
    """A column of parts of files, one for each sample, whatever field they are of."""

    def __init__(
        self,
        spec: dict[str, Any],
        shards: Sequence[Shard],
        numbers: npt.NDArray[np.uint32],
        starts: npt.NDArray[np.uint64],
        sizes: npt.NDArray[np.uint64],
    ) -> None:
        """`numbers` are those of each sample's shard, `starts` and `sizes` where its part lies there, in bytes."""
        self._spec = spec
        self._shards = shards
        self._arrays = (numbers, starts, sizes)

    def spec(self) -> dict[str, Any]:
        """Returns what the field is as plain data."""
        return self._spec

    def stored(self) -> Stored:
        """Returns where the parts lie."""
        return Stored("parts", self._arrays, self._shards)

    def __len__(self) -> int:
        return len(self._arrays[0])


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


def column(name: str, given: object, owner: str) -> Column:
    """Returns what a table, or whatever is called `owner`, was given as a column.

    Raises:
        TypeError: It is nothing that has rows.
        ValueError: It is a scalar, or a dtype cannot be in a batch.
    """
    if isinstance(given, Column):
        return given
    listed = _objects(given)
    if listed and all(isinstance(row, str) for row in listed):
        return Texts(Runs([row.encode() for row in listed]))
    if listed and all(isinstance(row, str | bytes) for row in listed):
        return Bytes(Runs([row.encode() if isinstance(row, str) else row for row in listed]))
    # Of what begins with a number, NumPy says whether it is an array.
    is_text = isinstance(next((row for row in listed if not is_missing(row)), None), str | bytes | os.PathLike)
    for at, row in enumerate(listed if is_text else ()):
        if isinstance(row, os.PathLike):
            what = "Images([...]) makes images of the files, Masks([...]) masks, and list(map(str, ...)) texts"
            raise TypeError(f"{owner}: column `{name}` holds paths: {what}")
        if is_missing(row):
            missing = f"no value in row {at}, {shown(row)}"
            raise ValueError(f"{owner}: column `{name}` has {missing}: fill it, or leave it out")
    return rows(name, given, owner)


def _objects(given: object) -> Sequence[Any]:
    """Returns the rows of what may hold texts, bytes or paths; none of what holds numbers."""
    if isinstance(given, list | tuple):
        return given
    kind = getattr(getattr(given, "dtype", None), "kind", None)
    is_column = type(given).__module__.partition(".")[0] in {"pandas", "polars", "pyarrow"}
    is_numeric = getattr(getattr(given, "dtype", None), "is_numeric", None)
    if is_numeric is not None and is_numeric():
        return []
    is_array = isinstance(given, np.ndarray) and given.ndim == 1 and kind in set("UOT")
    if is_array or (is_column and kind not in set("biuf")):
        found: list[Any] = given.tolist() if hasattr(given, "tolist") else list(cast("Iterable[Any]", given))
        # A column of numbers is an array.
        return found if any(isinstance(row, str | bytes | os.PathLike) for row in found) else []
    return []


def field_name(name: object, owner: str = "") -> str:
    """Returns the name of a field, or raises ``TypeError`` if it is none."""
    # JSON would take a number, and make it a text.
    if not isinstance(name, str):
        raise TypeError(f"{owner}{': ' if owner else ''}the name of a field must be a str, not {type(name).__name__}")
    return str(name)


def rows(name: str, given: object, owner: str) -> Rows | Blocks:
    """Returns an array as a column.

    Raises:
        TypeError: It is a column already, or nothing that has rows.
        ValueError: It is a scalar, or a dtype cannot be in a batch.
    """
    what = f"{owner}: column `{name}`"
    if isinstance(given, Column):
        raise TypeError(f"{what} is one of {type(given).__name__}, which a Table takes, and Arrays do not")
    if isinstance(given, type):
        raise TypeError(f"{what} is the class {given.__name__}: make one, {given.__name__}(...)")
    if isinstance(given, str | bytes | os.PathLike | Mapping | AbstractSet) or given is None:
        kind = "a text" if isinstance(given, str) else shown(given)
        raise TypeError(f"{what} must be an array or a list with a row for each sample, not {kind}")
    if not hasattr(given, "__array__") and isinstance(given, Iterable) and not isinstance(given, Sequence):
        given = list(given)
    try:
        array = np.asarray(given)
    except ValueError as error:
        raise ValueError(f"{what} has rows of several lengths: a Table takes Lists([...]) for such ({error})") from None
    if array.ndim == 0:
        raise ValueError(f"{what}: array `{name}` is a scalar, {shown(given)}; it needs a first axis of rows")
    checked(name, array.dtype, owner)
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


def checked(name: str, dtype: np.dtype[Any], owner: str = "") -> None:
    """Checks that an array of this dtype can be in a batch.

    Raises:
        ValueError: It cannot.
    """
    what = f"{owner}{': ' if owner else ''}array `{name}`"
    if (dtype.kind not in "biuf" or dtype.itemsize > np.dtype(np.float64).itemsize) and dtype.name != "bfloat16":
        hint = {
            "U": "; a Table takes a list of str, Images([...]) paths of images",
            "T": "; a Table takes a list of str, Images([...]) paths of images",
            "S": "; a Table takes a list of bytes",
            "O": "; a Table takes Lists([...]) for rows that vary in length",
            "M": "; .astype('int64') makes numbers of times",
            "m": "; .astype('int64') makes numbers of times",
        }.get(dtype.kind, "")
        raise ValueError(f"{what} has dtype {dtype}; a batch holds numbers and booleans only, of up to 8 bytes{hint}")
    if not dtype.isnative:
        raise ValueError(f"{what} is not in the machine's byte order; use .astype(dtype.newbyteorder('='))")


def flat(name: str, array: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """Returns an array's bytes in C order.

    Raises:
        ValueError: The array is of a dtype that cannot be in a batch.
    """
    checked(name, array.dtype)
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8)


def by_name(what: str, given: object) -> dict[str, Any]:
    """Returns columns, or arrays, by the names of their fields; a data frame has such too.

    Raises:
        TypeError: There are none; `what` names the argument.
    """
    if type(given).__module__.partition(".")[0] in {"pandas", "polars"} and type(given).__name__ == "DataFrame":
        frame = cast("Any", given)
        given = {name: frame[name] for name in frame.columns}
    is_row = isinstance(given, Iterable) and not isinstance(given, str | bytes | Mapping)
    hint = ": write {'x': ...} for a field of the name x" if is_row else ""
    return mapping(what, given, f"a mapping of names of fields to what they hold, a dict{hint}")
