"""Which samples of a source are meant."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from stokehold.checks import as_integer, as_real, items, shown, whole

__all__ = ["indices_of", "masked", "parts_of"]

_SLACK: Final = 1e-9
"""By how much shares may miss 1 together: each is rounded once, and so is each sum."""


_CALLS: Final = {"indices": "select", "which": "filter"}

_MEANING: Final = "a range, a slice, a sequence or an array of indices, or of booleans"


def indices_of(given: object, count: int) -> npt.NDArray[np.uint64]:
    """Returns indices below `count` as an array.

    Raises:
        TypeError: They are no indices.
        ValueError: There are none, or one is out of range.
    """
    if isinstance(given, slice):
        try:
            given = range(count)[given]
        except TypeError:
            raise TypeError(f"select: indices must be a slice of whole numbers, not {shown(given)}") from None
    if isinstance(given, range):
        given = np.arange(given.start, given.stop, given.step)
    array = _array(given if hasattr(given, "__array__") else items("select: indices", given, _MEANING))
    if array.ndim == 0:
        raise TypeError(f"select: indices must be {_MEANING}, not {shown(given)}")
    if array.dtype.kind == "b":
        array = masked("indices", array, count)
    if array.size == 0:
        raise ValueError("select: indices must have at least one index")
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise TypeError(f"select: indices must be whole numbers in one row, not {array.dtype} of shape {array.shape}")
    for index in (int(array.min()), int(array.max())):
        if not 0 <= index < count:
            raise ValueError(f"select: index {index} is out of range: there are {count} samples, from 0")
    return np.ascontiguousarray(array, np.uint64)


def _array(given: Any) -> npt.NDArray[Any]:  # noqa: ANN401 (what has a length)
    try:
        return np.asarray(given)
    except ValueError:
        # Of rows of several lengths; what it is not, its dtype says.
        return np.empty(len(given), np.object_)


def masked(name: str, given: object, count: int) -> npt.NDArray[np.int64]:
    """Returns the indices for which something is true; `name` is the argument's.

    Raises:
        TypeError: There are no booleans.
        ValueError: There is another number of them, or none is true.
    """
    array = _array(given)
    if array.dtype != np.bool_ or array.ndim != 1:
        what = f"{array.dtype} of shape {array.shape}" if array.ndim else shown(given)
        raise TypeError(f"{_CALLS[name]}: {name} must be booleans, one for each sample: a mask, not {what}")
    if len(array) != count:
        raise ValueError(f"{_CALLS[name]}: {name}: a mask has {len(array)} booleans, and there are {count} samples")
    if not array.any():
        raise ValueError(f"{_CALLS[name]}: {name}: a mask is true for no sample, and a source needs at least one")
    return np.flatnonzero(array)


def parts_of(sizes: Sequence[float], seed: int, count: int) -> list[npt.NDArray[Any]]:
    """Returns the sorted indices of disjoint random parts.

    Raises:
        TypeError: A size is no number, or the seed no whole one.
        ValueError: Sizes do not add up, a part is empty, or the seed is out of range.
    """
    seed = whole("split: seed", seed, 0, 2**64 - 1)
    numbers = _numbers(sizes, count)
    # Of all generators of NumPy's, only this one gives the same numbers with every version.
    words = [seed & 0xFFFFFFFF, seed >> 32]
    order = np.random.RandomState(words).permutation(count)
    return [np.sort(part) for part in np.split(order, np.cumsum(numbers)[:-1])]


def _numbers(sizes: Sequence[float], count: int) -> list[int]:
    """Returns how many samples each part has."""
    meaning = "shares or numbers of samples, at least one"
    given = items("split: sizes", sizes, meaning)
    shares = [share for size in given if (share := as_real(size)) is not None]
    if not given or len(shares) < len(given):
        raise TypeError(f"split: sizes must be {meaning}, not {shown(sizes)}")
    numbers = [number for size in given if (number := as_integer(size)) is not None]
    if len(numbers) == len(given) and numbers != [1]:
        if sum(numbers) != count:
            raise ValueError(f"split: sizes must be {count} samples together, not {shown(sum(numbers))}")
    else:
        if not abs(sum(shares) - 1) <= _SLACK:
            raise ValueError(f"split: sizes must be 1 together, not {sum(shares)}")
        numbers = [int(share * count + _SLACK) for share in shares]
        for at in range(count - sum(numbers)):
            numbers[at % len(numbers)] += 1
    if min(numbers) < 1:
        raise ValueError(f"split: each part needs at least one sample of {count}, and sizes {given} give {numbers}")
    return numbers
