"""Columns of a table, made of chunks one after the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from stokehold.arrow.chunks import FINE, NULL, NULL_WITHIN, OTHER_SHAPE, Fixed, Runs
from stokehold.arrow.places import Places, Spool
from stokehold.columns import Blocks, Column, Memory, Parts, Rows, Shard

__all__ = ["Builder", "FixedBuilder", "RunsBuilder", "Storage"]

COPIED: Final = 16
"""Rows of so many bytes are copied: to say where one lies would take more."""

Indices = npt.NDArray[np.int64]

_FAULTS: Final = {
    NULL: "is null; nulls='fill' puts something there",
    NULL_WITHIN: "has a null in its list; nulls='fill' puts something there",
    OTHER_SHAPE: "is a list of another shape than that of the field",
}


class Storage(NamedTuple):
    """What finishing a column needs to know."""

    places: Places
    spool: Spool
    indices: Indices | None
    """Which rows become samples; all where it is None."""
    name_row: Callable[[int], str]
    """Says where the row of a sample is."""


class Builder:
    """The base of what makes a column."""

    def __init__(self, name: str, fills: bool) -> None:
        self.name = name
        self._fills = fills
        self._faults: list[npt.NDArray[np.uint8]] = []
        self.valid = np.empty(0, np.bool_)
        self.filled = 0

    def finish(self, storage: Storage) -> Column:
        """Returns the column.

        Raises:
            ValueError: A row that becomes a sample is a bad one.
        """
        faults = np.concatenate(self._faults)
        chosen = faults if storage.indices is None else faults[storage.indices]
        bad = chosen == OTHER_SHAPE if self._fills else chosen != FINE
        if bad.any():
            at = int(bad.argmax())
            raise ValueError(f"{storage.name_row(at)}: column `{self.name}` {_FAULTS[int(chosen[at])]}")
        self.valid = chosen != NULL
        self.filled = int((chosen != FINE).sum())
        return self._finish(storage)

    def _finish(self, storage: Storage) -> Column:
        raise NotImplementedError


class FixedBuilder(Builder):
    """Makes a column of rows of one shape."""

    def __init__(self, name: str, fills: bool) -> None:
        super().__init__(name, fills)
        self._chunks: list[npt.NDArray[Any]] = []

    def add(self, chunk: Fixed) -> None:
        """Adds rows."""
        self._chunks.append(chunk.values)
        self._faults.append(chunk.faults)

    def _finish(self, storage: Storage) -> Column:
        first = self._chunks[0]
        row = int(np.prod(first.shape[1:], dtype=np.int64)) * first.dtype.itemsize
        found = [None if row <= COPIED else storage.places.find(chunk) for chunk in self._chunks]
        if not any(found):
            rows = np.concatenate(self._chunks) if len(self._chunks) > 1 else first
            return Rows(rows if storage.indices is None else rows[storage.indices])
        placed = _placed([_flat(chunk) for chunk in self._chunks], found, storage.spool)
        counts = [len(chunk) for chunk in self._chunks]
        if storage.indices is None:
            blocks = [(shard, start, count) for (shard, start), count in zip(placed, counts, strict=True)]
            return Blocks(first.dtype, first.shape[1:], blocks)
        pieces = np.repeat(np.arange(len(counts), dtype=np.uint32), counts)
        starts = np.concatenate([np.arange(count, dtype=np.int64) * row for count in counts])
        spec = {"kind": "tensor", "dtype": first.dtype.name, "shape": first.shape[1:]}
        return _parts(spec, placed, (pieces, starts, np.full(len(starts), row)), storage.indices)


class RunsBuilder(Builder):
    """Makes a column of rows that vary in length."""

    def __init__(self, name: str, fills: bool, spec: dict[str, Any], fill: bytes = b"") -> None:
        super().__init__(name, fills)
        self._spec = spec
        self._fill = np.frombuffer(fill, np.uint8)
        self._data: list[npt.NDArray[np.uint8]] = []
        self._rows: list[tuple[npt.NDArray[np.uint32], Indices, Indices]] = []

    def add(self, chunk: Runs) -> None:
        """Adds rows."""
        pieces = np.full(len(chunk.starts), len(self._data), np.uint32)
        starts, sizes = chunk.starts, chunk.sizes
        self._data.append(chunk.data)
        if chunk.filled is not None:
            pieces[chunk.faults == NULL_WITHIN] = len(self._data)
            self._data.append(chunk.filled)
        nulls = chunk.faults == NULL
        if len(self._fill) and nulls.any():
            pieces[nulls] = len(self._data)
            starts, sizes = np.where(nulls, 0, starts), np.where(nulls, len(self._fill), sizes)
            self._data.append(self._fill)
        self._rows.append((pieces, starts, sizes))
        self._faults.append(chunk.faults)

    def _finish(self, storage: Storage) -> Column:
        pieces, starts, sizes = (np.concatenate(each) for each in zip(*self._rows, strict=True))
        chosen = slice(None) if storage.indices is None else storage.indices
        pieces, starts, sizes = pieces[chosen], starts[chosen], sizes[chosen]
        # Only what rows have is looked for, and is copied where it is in no file.
        used = sizes > 0
        low = np.full(len(self._data), np.iinfo(np.int64).max)
        high = np.zeros(len(self._data), np.int64)
        np.minimum.at(low, pieces[used], starts[used])
        np.maximum.at(high, pieces[used], (starts + sizes)[used])
        low = np.minimum(low, high)
        data = [each[first:last] for each, first, last in zip(self._data, low, high, strict=True)]
        starts = np.where(used, starts - low[pieces], 0)
        found = [storage.places.find(each) for each in data]
        if any(found):
            placed = _placed(data, found, storage.spool)
            return _parts(self._spec, placed, (pieces, starts, sizes), None)
        return Memory(self._spec, _joined(data, pieces, starts, sizes), np.cumsum(sizes, dtype=np.uint64))


def _placed(
    data: Sequence[npt.NDArray[np.uint8]], found: Sequence[tuple[Shard, int] | None], spool: Spool
) -> list[tuple[Shard, int]]:
    """Returns where each piece lies in a file, after those that lie in none were written to one."""
    loose = [each for each, place in zip(data, found, strict=True) if place is None and each.size]
    shard, starts = spool.add(loose) if loose else (None, [])
    written = iter(starts)
    # A piece without bytes is anywhere.
    anywhere = next(place for place in found if place is not None)
    return [
        place or ((shard, next(written)) if shard is not None and each.size else (anywhere[0], 0))
        for each, place in zip(data, found, strict=True)
    ]


def _parts(
    spec: dict[str, Any],
    placed: Sequence[tuple[Shard, int]],
    rows: tuple[npt.NDArray[np.uint32], Indices, Indices],
    indices: Indices | None,
) -> Parts:
    pieces, starts, sizes = rows if indices is None else (each[indices] for each in rows)
    shards = list(dict.fromkeys(shard for shard, _ in placed))
    numbers = {shard: number for number, shard in enumerate(shards)}
    shard_of = np.array([numbers[shard] for shard, _ in placed], np.uint32)
    base = np.array([start for _, start in placed], np.uint64)
    return Parts(spec, shards, shard_of[pieces], base[pieces] + starts.astype(np.uint64), sizes.astype(np.uint64))


def _joined(
    data: Sequence[npt.NDArray[np.uint8]], pieces: npt.NDArray[np.uint32], starts: Indices, sizes: Indices
) -> npt.NDArray[np.uint8]:
    views = [np.ascontiguousarray(each).data for each in data]
    rows = zip(pieces.tolist(), starts.tolist(), (starts + sizes).tolist(), strict=True)
    return np.frombuffer(b"".join([views[piece][start:end] for piece, start, end in rows]), np.uint8)


def _flat(values: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    return np.ascontiguousarray(values).reshape(-1).view(np.uint8)
