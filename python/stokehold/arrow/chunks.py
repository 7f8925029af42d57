"""What an Arrow array holds, as NumPy's arrays over its memory: numbers of fixed shape, and runs of bytes.

Offsets and indices come from files, and are checked here before anything is looked up by them. What makes a row a bad
one is noted beside it, since it may be none of those that are chosen.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from stokehold.arrow.types import dtype_of, is_bytes, is_list, pyarrow

__all__ = ["FINE", "NULL", "NULL_WITHIN", "OTHER_SHAPE", "Fixed", "Runs", "fixed", "nulls_of", "of_shape", "runs"]

FINE: Final = 0
NULL: Final = 1
NULL_WITHIN: Final = 2
OTHER_SHAPE: Final = 3

Mask = npt.NDArray[np.bool_]
Numbers = npt.NDArray[np.int64]


class Fixed(NamedTuple):
    """Rows of one shape."""

    values: npt.NDArray[Any]
    faults: npt.NDArray[np.uint8]
    nulls: Mask | None = None
    """Which numbers are null, of the shape of the values."""


class Runs(NamedTuple):
    """Rows that vary in length: parts of `data`, in bytes."""

    data: npt.NDArray[np.uint8]
    starts: Numbers
    sizes: Numbers
    faults: npt.NDArray[np.uint8]
    filled: npt.NDArray[np.uint8] | None = None
    """The data with numbers that are null filled in."""


def nulls_of(array: Any) -> Mask | None:
    """Returns which values of an array are null, or None where none is."""
    return np.asarray(array.is_null()) if array.null_count else None


def fixed(array: Any, fill: Any = None, missing: Mask | None = None) -> Fixed:
    """Returns numbers and lists of a fixed length; `fill` stands for those that are null, or within a missing row."""
    values, nulls = _fixed(array)
    if missing is not None:
        nulls = _either(missing, np.zeros(values.shape, np.bool_) if nulls is None else nulls)
    faults = np.zeros(len(array), np.uint8)
    if nulls is not None:
        own = _either(nulls_of(array), missing)
        axes = tuple(range(1, nulls.ndim))
        faults[nulls.any(axis=axes)] = NULL_WITHIN if nulls.ndim > 1 else NULL
        if own is not None:
            faults[own] = NULL
        if fill is not None:
            values = np.where(nulls, np.asarray(fill, values.dtype), values)
    return Fixed(values, faults, nulls)


def _fixed(array: Any) -> tuple[npt.NDArray[Any], Mask | None]:
    """Returns the values, as a view of the array's memory where that is possible, and which of them are null."""
    pa = pyarrow()
    kind, count, nulls = array.type, len(array), nulls_of(array)
    if pa.types.is_dictionary(kind):
        values, inner = _fixed(array.dictionary)
        indices = _indices(array, nulls)
        values = values[indices] if len(values) else np.zeros((count, *values.shape[1:]), values.dtype)
        return values, _either(nulls, None if inner is None else inner[indices])
    if pa.types.is_fixed_size_list(kind):
        size = kind.list_size
        values, inner = _fixed(array.values.slice(array.offset * size, count * size))
        values = values.reshape(count, size, *values.shape[1:])
        inner = None if inner is None else inner.reshape(values.shape)
        if nulls is not None:
            whole = np.broadcast_to(nulls.reshape(count, *[1] * (values.ndim - 1)), values.shape)
            inner = whole if inner is None else inner | whole
        return values, inner
    data = _bytes(array.buffers()[1])
    if pa.types.is_boolean(kind):
        first = array.offset // 8
        bits = np.unpackbits(data[first : (array.offset + count + 7) // 8], bitorder="little")
        return bits[array.offset - first * 8 :][:count].view(np.bool_), nulls
    physical = np.dtype(f"i{kind.bit_width // 8}") if pa.types.is_temporal(kind) else dtype_of(kind)
    start = array.offset * physical.itemsize
    values = np.frombuffer(data, np.uint8)[start : start + count * physical.itemsize].view(physical)
    # Days and times of day of 32 bits become what the others are.
    return values.astype(dtype_of(kind), copy=False), nulls


def runs(array: Any, shape: Sequence[int] = (), fill: Any = None, missing: Mask | None = None) -> Runs:
    """Returns texts, bytes, and lists of numbers.

    Args:
        array: The array.
        shape: The shape of a list's entries.
        fill: What stands for numbers in lists that are null.
        missing: Rows that are within nothing, and so are null.

    Raises:
        ValueError: What the array says of its memory is not so.
    """
    pa = pyarrow()
    if "_view" in str(array.type):
        # Their bytes are all over the place, and some within the views: they are copied.
        array.validate(full=True)
        array = array.cast(pa.large_string() if "string" in str(array.type) else pa.large_binary())
    nulls = _either(nulls_of(array), missing)
    faults = np.zeros(len(array), np.uint8)
    if nulls is not None:
        faults[nulls] = NULL
    if pa.types.is_dictionary(array.type):
        data, starts, sizes, inner, _ = runs(array.dictionary)
        indices = _indices(array, nulls)
        if len(starts):
            return Runs(data, starts[indices], _none(sizes[indices], nulls), np.maximum(faults, inner[indices]))
        return Runs(data, indices, indices, faults)
    if pa.types.is_fixed_size_binary(array.type):
        size = array.type.byte_width
        starts = (array.offset + np.arange(len(array), dtype=np.int64)) * size
        return Runs(_bytes(array.buffers()[1]), starts, _none(np.full(len(array), size), nulls), faults)
    if is_bytes(array.type):
        data = _bytes(array.buffers()[2])
        ends = _offsets(array, len(data))
        return Runs(data, ends[:-1], _none(np.diff(ends), nulls), faults)
    return _lists(array, shape, fill, faults)


def _lists(array: Any, shape: Sequence[int], fill: Any, faults: npt.NDArray[np.uint8]) -> Runs:
    child = array.values
    ends = _offsets(array, len(child))
    for extent in shape:
        if not is_list(child.type):
            break
        inner = _offsets(child, len(child.values))
        _note(faults, ends, np.diff(inner) != extent, OTHER_SHAPE)
        if (null := nulls_of(child)) is not None:
            _note(faults, ends, null, NULL_WITHIN)
        ends, child = inner[ends], child.values
    values, nulls = _fixed(child)
    filled = None
    if nulls is not None:
        _note(faults, ends, nulls.reshape(len(nulls), -1).any(axis=1), NULL_WITHIN)
        if fill is not None:
            filled = _flat(np.where(nulls, np.asarray(fill, values.dtype), values))
    entry = values.dtype.itemsize * int(np.prod(values.shape[1:], dtype=np.int64))
    sizes = _none(np.diff(ends) * entry, faults == NULL)
    return Runs(_flat(values), ends[:-1] * entry, sizes, faults, filled)


def of_shape(found: Runs, dtype: np.dtype[Any], shape: Sequence[int]) -> Fixed:
    """Returns lists as rows of one shape; those that have another one are noted."""
    row = dtype.itemsize * int(np.prod(shape, dtype=np.int64))
    faults = found.faults.copy()
    faults[(faults != NULL) & (found.sizes != row)] = OTHER_SHAPE
    data = found.data if found.filled is None else found.filled
    count = len(faults)
    first = int(found.starts[0]) if count else 0
    if (found.sizes == row).all() and (np.diff(found.starts) == row).all():
        return Fixed(data[first : first + count * row].view(dtype).reshape(count, *shape), faults)
    values = np.zeros((count, row), np.uint8)
    for at in np.flatnonzero(found.sizes == row):
        start = int(found.starts[at])
        values[at] = data[start : start + row]
    return Fixed(values.view(dtype).reshape(count, *shape), faults)


def _note(faults: npt.NDArray[np.uint8], ends: Numbers, is_bad: npt.ArrayLike, fault: int) -> None:
    """Notes rows that have bad entries: those between one end and the next."""
    if not np.any(is_bad):
        return
    before = np.concatenate([[0], np.cumsum(is_bad)])
    faults[(before[ends[1:]] > before[ends[:-1]]) & (faults == FINE)] = fault


def _offsets(array: Any, most: int) -> Numbers:
    """Returns where the rows of an array start, and where the last one ends, none beyond `most`."""
    pa = pyarrow()
    is_large = any(
        test(array.type) for test in (pa.types.is_large_list, pa.types.is_large_string, pa.types.is_large_binary)
    )
    dtype = np.dtype(np.int64 if is_large else np.int32)
    data = _bytes(array.buffers()[1])[array.offset * dtype.itemsize :][: (len(array) + 1) * dtype.itemsize]
    ends = data.view(dtype).astype(np.int64)
    if len(array) == 0:
        return np.zeros(1, np.int64)
    if len(ends) != len(array) + 1 or ends[0] < 0 or ends[-1] > most or (np.diff(ends) < 0).any():
        raise ValueError(f"its offsets do not increase, or lead beyond the {most} that there are")
    return ends


def _indices(array: Any, nulls: Mask | None) -> Numbers:
    """Returns the indices of a dictionary's values, 0 where there is none."""
    indices = _fixed(array.indices)[0].astype(np.int64)
    if nulls is not None:
        indices = np.where(nulls, 0, indices)
    most = max(len(array.dictionary), 1 if nulls is not None and nulls.all() else 0)
    if len(indices) and (indices.min() < 0 or indices.max() >= most):
        raise ValueError(f"it has indices that its dictionary of {len(array.dictionary)} values has not")
    return indices


def _bytes(buffer: Any) -> npt.NDArray[np.uint8]:
    return np.empty(0, np.uint8) if buffer is None else np.frombuffer(buffer, np.uint8)


def _flat(values: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    return np.ascontiguousarray(values).reshape(-1).view(np.uint8)


def _none(sizes: Numbers, nulls: Mask | None) -> Numbers:
    """Returns sizes, where those of nulls are 0, whatever lies there."""
    return sizes if nulls is None else np.where(nulls, 0, sizes)


def _either(one: Mask | None, other: Mask | None) -> Mask | None:
    if one is None or other is None:
        return other if one is None else one
    return other | one.reshape(len(one), *[1] * (other.ndim - 1))
