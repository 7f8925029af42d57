"""Casts of rows to one dtype that keep every value."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["cast_rows", "common_dtype"]

Array = npt.NDArray[Any]


def common_dtype(rows: Sequence[Array], owner: str) -> np.dtype[Any]:
    """Returns the dtype that NumPy promotes all rows to which are not empty; of the first row where all are.

    Raises:
        ValueError: A row has a dtype that goes with no other.
    """
    dtypes = {row.dtype: at for at, row in reversed(list(enumerate(rows))) if row.size}
    if not dtypes:
        return rows[0].dtype if rows else np.dtype(np.float64)
    common, *others = sorted(dtypes, key=lambda dtype: dtypes[dtype])
    for dtype in others:
        try:
            common = np.result_type(common, dtype)
        except TypeError as error:
            raise ValueError(
                f"{owner}: row {dtypes[dtype]} has dtype {dtype}, which has no common one with the {common} before it"
            ) from error
    return common


def cast_rows(rows: Sequence[Array], dtype: np.dtype[Any], owner: str) -> list[Array]:
    """Returns the rows in a dtype that holds their values.

    What is rounded is a float in a float of fewer bits, and nothing else.

    Raises:
        ValueError: A row has a value that the dtype does not hold; the row and the value are named.
    """
    others: dict[np.dtype[Any], list[int]] = {}
    for at, row in enumerate(rows):
        if row.size and row.dtype != dtype:
            others.setdefault(row.dtype, []).append(at)
    for numbers in others.values():
        # All rows of a dtype at once: there may be a hundred thousand of a few entries each.
        values = np.concatenate([rows[at].reshape(-1) for at in numbers])
        lost = _is_lost(values, dtype)
        if lost.any():
            ends = np.cumsum([rows[at].size for at in numbers])
            found = int(np.argmax(lost))
            at = numbers[int(np.searchsorted(ends, found, side="right"))]
            value = f"{values[found]!s} of dtype {values.dtype}"
            raise ValueError(f"{owner}: row {at} has the value {value}, which {dtype} does not hold")
    return [row if row.dtype == dtype else row.astype(dtype) for row in rows]


def _is_float(dtype: np.dtype[Any]) -> bool:
    return dtype.kind == "f" or dtype.name == "bfloat16"


def _is_lost(values: Array, dtype: np.dtype[Any]) -> npt.NDArray[np.bool_]:
    """Tells which values a dtype does not hold."""
    given = values.dtype
    if not (given.kind in "biu" or _is_float(given)) or not (dtype.kind in "biu" or _is_float(dtype)):
        # An array of objects may hold None, which becomes not-a-number, and texts become numbers.
        return np.ones(values.shape, np.bool_)
    if given.kind == "b":
        return np.zeros(values.shape, np.bool_)
    with np.errstate(all="ignore"):
        lost = _is_lost_as_float(values, dtype) if _is_float(dtype) else _is_lost_as_integer(values, dtype)
    return np.asarray(lost, np.bool_)


def _is_lost_as_float(values: Array, dtype: np.dtype[Any]) -> Array:
    wide = values.astype(dtype).astype(np.float64)
    if _is_float(values.dtype):
        return np.asarray(np.isinf(wide) & np.isfinite(values.astype(np.float64)))
    # A whole number that was rounded up may be one too large to be cast back.
    return np.asarray((wide >= 2.0 ** _bits(values.dtype)) | (wide.astype(values.dtype) != values))


def _is_lost_as_integer(values: Array, dtype: np.dtype[Any]) -> Array:
    if dtype.kind == "b":
        return np.asarray((values != 0) & (values != 1))
    if _is_float(values.dtype):
        wide = values.astype(np.float64)
        low = -(2.0 ** _bits(dtype)) if dtype.kind == "i" else 0.0
        return np.asarray(~((wide >= low) & (wide < 2.0 ** _bits(dtype)) & (np.trunc(wide) == wide)))
    cast = values.astype(dtype)
    return np.asarray((cast.astype(values.dtype) != values) | ((cast < 0) != (values < 0)))


def _bits(dtype: np.dtype[Any]) -> int:
    """Returns the bits of a whole number but for that of the sign."""
    return dtype.itemsize * 8 - (dtype.kind == "i")
