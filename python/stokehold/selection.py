"""Which samples of a source are meant."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

__all__ = ["indices_of", "masked", "parts_of"]

_SLACK: Final = 1e-9
"""By how much shares may miss 1 together: each is rounded once, and so is each sum."""


def indices_of(given: object, count: int) -> npt.NDArray[np.uint64]:
    """Returns indices below `count` as an array.

    Raises:
        TypeError: They are no indices.
        ValueError: There are none, or one is out of range.
    """
    if isinstance(given, slice):
        given = range(count)[given]
    if isinstance(given, range):
        given = np.arange(given.start, given.stop, given.step)
    if isinstance(given, str | bytes) or not isinstance(given, Sequence | np.ndarray):
        what = f"a range, a slice, a sequence or an array of indices, or of booleans, not {type(given).__name__}"
        raise TypeError(f"select: indices must be {what}")
    array = np.asarray(given)
    if array.dtype.kind == "b":
        array = masked(array, count)
    if array.size == 0:
        raise ValueError("select: there must be at least one index")
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise TypeError(f"select: indices must be whole numbers in one row, not {array.dtype} of shape {array.shape}")
    for index in (int(array.min()), int(array.max())):
        if not 0 <= index < count:
            raise ValueError(f"select: index {index} is out of range: there are {count} samples, from 0")
    return np.ascontiguousarray(array, np.uint64)


def masked(given: object, count: int) -> npt.NDArray[np.int64]:
    """Returns the indices for which something is true.

    Raises:
        TypeError: There are no booleans.
        ValueError: There is another number of them, or none is true.
    """
    array = np.asarray(given)
    if array.dtype != np.bool_ or array.ndim != 1:
        raise TypeError(f"a mask must be booleans, one for each sample, not {array.dtype} of shape {array.shape}")
    if len(array) != count:
        raise ValueError(f"a mask has {len(array)} booleans, and there are {count} samples")
    if not array.any():
        raise ValueError("a mask is true for no sample, and a source needs at least one")
    return np.flatnonzero(array)


def parts_of(sizes: Sequence[float], seed: int, count: int) -> list[npt.NDArray[Any]]:
    """Returns the sorted indices of disjoint random parts.

    Raises:
        TypeError: A size is no number, or the seed no whole one.
        ValueError: Sizes do not add up, a part is empty, or the seed is out of range.
    """
    if not hasattr(seed, "__index__"):
        raise TypeError(f"split: seed must be an integer, not {type(seed).__name__}")
    if not 0 <= seed < 2**64:
        raise ValueError(f"split: seed is out of range: {seed}")
    numbers = _numbers(sizes, count)
    # Of all generators of NumPy's, only this one gives the same numbers with every version.
    words = [seed & 0xFFFFFFFF, seed >> 32]
    order = np.random.RandomState(words).permutation(count)
    return [np.sort(part) for part in np.split(order, np.cumsum(numbers)[:-1])]


def _numbers(sizes: Sequence[float], count: int) -> list[int]:
    """Returns how many samples each part has."""
    given = list(sizes)
    if not given or not all(isinstance(size, int | float | np.integer | np.floating) for size in given):
        raise TypeError(f"split: sizes must be shares or numbers of samples, at least one, not {sizes!r}")
    if all(isinstance(size, int | np.integer) for size in given) and given != [1]:
        numbers = [int(size) for size in given]
        if sum(numbers) != count:
            raise ValueError(f"split: sizes must be {count} samples together, not {sum(numbers)}")
    else:
        if abs(sum(given) - 1) > _SLACK:
            raise ValueError(f"split: sizes must be 1 together, not {sum(given)}")
        numbers = [int(size * count + _SLACK) for size in given]
        for at in range(count - sum(numbers)):
            numbers[at % len(numbers)] += 1
    if min(numbers) < 1:
        raise ValueError(f"split: each part needs at least one sample of {count}, and sizes {given} give {numbers}")
    return numbers
