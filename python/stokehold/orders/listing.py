"""Indices as they are given: one after the other, or in batches; and samplers, which are asked once an epoch."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sized
from collections.abc import Set as AbstractSet
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from stokehold.checks import as_integer, items, shown
from stokehold.orders.base import row

__all__ = ["Listing", "Sampler", "is_sampler", "listing"]

MEANING: Final = "whole numbers"
BATCHED: Final = 2
"""How many axes an array of batches has."""


class Listing(NamedTuple):
    """The indices of an epoch."""

    indices: npt.NDArray[np.uint64]
    batch: int | None
    """How many of them a batch has, where they were given in batches; the last one may have fewer."""


def listing(given: Any) -> Listing:  # noqa: ANN401 (whatever a user gives)
    """Returns indices, or batches of them, as the core has them.

    Raises:
        TypeError: They are no whole numbers.
        ValueError: There are none, one is negative, or batches have several sizes.
    """
    if len(getattr(given, "shape", ())) == BATCHED:
        given = list(given)
    if not hasattr(given, "__array__"):
        given = items("Explicit: indices", given, MEANING)
        if any(_is_batch(each) for each in given):
            return _joined(given)
    return Listing(_checked("Explicit: indices", given), None)


def _is_batch(given: object) -> bool:
    return isinstance(given, list | tuple) or len(getattr(given, "shape", ())) == 1


def _joined(batches: list[Any]) -> Listing:
    arrays = []
    for at, batch in enumerate(batches):
        what = f"Explicit: indices[{at}]"
        if not _is_batch(batch):
            raise TypeError(f"{what} must be a batch of {MEANING}, as those before it, not {shown(batch)}")
        arrays.append(_checked(what, batch))
        size, least = len(arrays[0]), len(arrays[-1])
        if least > size or (least < size and at + 1 < len(batches)):
            raise ValueError(
                f"{what} must be a batch of {size}, as the first one, not of {least}: batches of a loader have one "
                "size, but for the last, which may have fewer"
            )
    return Listing(np.concatenate(arrays), len(arrays[0]))


def _checked(what: str, given: Any) -> npt.NDArray[np.uint64]:  # noqa: ANN401 (whatever a user gives)
    array = row(what, given, MEANING, "iu")
    if (least := int(array.min())) < 0:
        raise ValueError(f"{what} must be 0 or more, not {least}")
    return np.ascontiguousarray(array, np.uint64)


def is_sampler(given: object) -> bool:
    """Tells whether something can be gone over again and again, and has no order of its own, as PyTorch's samplers."""
    no_sampler = (type, str, bytes, bytearray, Iterator, AbstractSet, Mapping)
    is_sequence = hasattr(given, "__getitem__") or hasattr(given, "__array__")
    return isinstance(given, Iterable) and not isinstance(given, no_sampler) and not is_sequence


class Sampler:
    """A sampler, or a batch sampler, as a function of the epoch.

    Asked for the epoch that it was asked for last, it gives the same indices without going over the sampler again,
    since few samplers would give the same ones.

    Raises:
        TypeError: It has no length.
        ValueError: It shares samples out among ranks by itself.
    """

    def __init__(self, sampler: Iterable[Any]) -> None:
        # A batch sampler has a sampler, whose epochs and ranks they are.
        self._each: list[Any] = [sampler]
        while (inner := getattr(self._each[-1], "sampler", None)) is not None and inner not in self._each:
            self._each.append(inner)
        if not isinstance(sampler, Sized):
            raise TypeError(
                f"Explicit: indices must be a sampler that has a length, not {shown(sampler)}: of one that may never "
                "end, give a function of the epoch that returns the indices"
            )
        for each in self._each:
            if (as_integer(getattr(each, "num_replicas", None)) or 1) > 1:
                raise ValueError(
                    f"Explicit: indices must be those of all ranks, and {type(each).__name__} gives one rank its own "
                    "(num_replicas): leave it out, with shuffle=True, or make it with num_replicas=1, rank=0; the "
                    "loader shares out what an order gives"
                )
        self._last: tuple[int, Listing] | None = None
        self._digests: dict[int, bytes] = {}

    def __call__(self, epoch: int) -> Listing:
        """Returns the indices of an epoch.

        Raises:
            ValueError: They are others than before.
        """
        if self._last is None or self._last[0] != epoch:
            for each in self._each:
                if callable(set_epoch := getattr(each, "set_epoch", None)):
                    set_epoch(epoch)
            found = listing(list(self._each[0]))
            digest = hashlib.blake2b(found.indices.data, digest_size=16).digest()
            if self._digests.setdefault(epoch, digest) != digest:
                raise ValueError(
                    f"Explicit: indices of epoch {epoch} are others than {type(self._each[0]).__name__} gave before: "
                    "they must depend on the epoch alone. Give a function of the epoch that returns a sampler whose "
                    "generator is seeded by it"
                )
            self._last = (epoch, found)
        return self._last[1]

    def __repr__(self) -> str:
        return repr(self._each[0])
