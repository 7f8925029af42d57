"""Windows of time series."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from stokehold import _native
from stokehold.checks import mapping, shown, whole
from stokehold.columns import Blocks, Column, Rows, Stored, rows
from stokehold.copied import copied
from stokehold.sources import Source

__all__ = ["Windows"]

OWNER = "Windows: arrays"


class _Cut(NamedTuple):
    """How windows are cut out of series."""

    length: int
    stride: int
    horizon: int

    def count(self, steps: int) -> int:
        """Returns how many windows a series of so many steps has."""
        left = steps - self.length - self.horizon
        return left // self.stride + 1 if left >= 0 else 0


class _Series(NamedTuple):
    """A series of a field, and where it lies if that is a file."""

    array: npt.NDArray[Any]
    mapped: Blocks | None


class _Held(Column):
    """Windows of an array in memory, whose series lie one after another."""

    def __init__(self, array: npt.NDArray[Any], length: int, blocks: Sequence[tuple[int, int]], step: int) -> None:
        """`blocks` are the series: at which byte the first window starts, and how many there are."""
        self._array = array
        self._shape = (length, *array.shape[1:])
        self._blocks = [block for block in blocks if block[1]]
        self._step = step

    def spec(self) -> dict[str, Any]:
        """Returns what the field is as plain data."""
        return {"kind": "tensor", "dtype": self._array.dtype.name, "shape": self._shape}

    def stored(self) -> Stored:
        """Returns the array, and where windows lie in it."""
        firsts = np.cumsum([0, *(count for _, count in self._blocks)])
        found = [(first, 0, start, self._step) for first, (start, _) in zip(firsts, self._blocks, strict=False)]
        return Stored("windows", (self._array, np.array(found, np.uint64).reshape(-1, 4)))

    def __len__(self) -> int:
        return sum(count for _, count in self._blocks)


class Windows(Source):
    """Windows of time series: a sample is ``length`` steps that follow each other, of every array.

    A field has the shape ``(length, ...)``. With a ``horizon``, there is a second field for each, ``x_horizon`` for
    ``x``, of shape ``(horizon, ...)``: the steps that follow the window. Windows do not go over the end of a series.
    One that is shorter than ``length + horizon`` has none, and is counted in `counters` and ``Loader.stats`` as
    ``series_too_short``.

    No window is copied but into its batch: arrays in memory are copied once, here, where workers can see them. Where
    all series of a field are arrays that NumPy has mapped for reading (``numpy.load(path, mmap_mode="r")``), they are
    not copied either: workers map the files, which must not be changed.

    Args:
        arrays: The arrays by field name, at least one, whose first axis is time; or for each a list of arrays, which
            are series of their own, and differ in their first axis alone. All fields have as many series, of as many
            steps each.
        length: The steps of a window.
        stride: How many steps after a window the next one begins.
        horizon: How many steps behind a window go with it.

    Raises:
        TypeError: An argument is of another type, or an array nothing that has rows.
        ValueError: There are no arrays, or no series has a window; fields differ in their series, or series of a field
            in their dtype or shape; or a dtype cannot be in a batch.
        MemoryError: The copy does not fit under a limit of this process.
    """

    def __init__(
        self,
        arrays: Mapping[str, npt.ArrayLike | Sequence[npt.ArrayLike]],
        length: int,
        stride: int = 1,
        horizon: int = 0,
    ) -> None:
        self._cut = _Cut(
            whole("Windows: length", length, 1),
            whole("Windows: stride", stride, 1),
            whole("Windows: horizon", horizon, 0),
        )
        given = mapping(OWNER, arrays, "a mapping of names of fields to arrays, or to lists of arrays")
        if not given:
            raise ValueError(f"{OWNER} must have at least one field, not {shown(arrays)}")
        series = {name: _series(name, value) for name, value in given.items()}
        steps = _steps(series)
        if not any(self._cut.count(each) for each in steps):
            raise ValueError(
                f"Windows: length: no series has a window of {self._cut.length} steps and {self._cut.horizon} behind "
                f"it (horizon); the longest has {max(steps, default=0)}"
            )
        short = sum(not self._cut.count(each) for each in steps)
        self.counters = {"series_too_short": short} if short else {}
        columns: dict[str, Column] = {}
        for name, each in series.items():
            horizon_name = f"{name}_horizon"
            if self._cut.horizon and horizon_name in series:
                raise ValueError(f"{OWNER}: the steps behind `{name}` are the field `{horizon_name}`: rename that one")
            columns |= self._columns(name, each)
        self._native, self._len = copied(columns, owner=OWNER)

    def _columns(self, name: str, series: Sequence[_Series]) -> dict[str, Column]:
        """Returns the windows of a field, and what is behind them."""
        cut = self._cut
        wanted = [(name, 0, cut.length)]
        if cut.horizon:
            wanted.append((f"{name}_horizon", cut.length, cut.horizon))
        mapped = [each.mapped for each in series if each.mapped is not None]
        if len(mapped) < len(series):
            return _held(cut, [each.array for each in series], wanted)
        dtype, shape, row = mapped[0].dtype, mapped[0].shape, mapped[0].step
        found = [(shard, start, cut.count(count)) for each in mapped for shard, start, count in each.blocks]
        return {
            field: Blocks(
                dtype,
                (steps, *shape),
                [(shard, start + behind * row, count) for shard, start, count in found],
                cut.stride * row,
            )
            for field, behind, steps in wanted
        }

    @property
    def native(self) -> _native.Source:
        """The source as the core has it."""
        return self._native

    def __len__(self) -> int:
        return self._len

    def __repr__(self) -> str:
        fields = ", ".join(field["name"] for field in json.loads(self.native.fields))
        return f"Windows({len(self)} windows of {self._cut.length} steps of {fields})"


def _held(cut: _Cut, arrays: Sequence[npt.NDArray[Any]], wanted: Sequence[tuple[str, int, int]]) -> dict[str, Column]:
    """Returns windows of arrays in memory, by field: name, how many steps behind a window it begins, and its steps."""
    array = np.ascontiguousarray(arrays[0] if len(arrays) == 1 else np.concatenate(arrays))
    row = array[:1].nbytes
    starts = np.cumsum([0, *map(len, arrays)]).tolist()
    counts = [cut.count(len(each)) for each in arrays]
    return {
        field: _Held(
            array,
            steps,
            [((start + behind) * row, count) for start, count in zip(starts, counts, strict=False)],
            cut.stride * row,
        )
        for field, behind, steps in wanted
    }


def _series(name: str, given: object) -> list[_Series]:
    """Returns the series of a field.

    Raises:
        TypeError: It is nothing that has steps.
        ValueError: There is none, or they differ in dtype or shape.
    """
    # A list of numbers, or of lists of them, is one array.
    is_list = isinstance(given, list | tuple) and any(np.ndim(each) and hasattr(each, "__array__") for each in given)
    series = []
    for each in given if is_list else [given]:  # type: ignore[attr-defined]
        found = rows(name, each, OWNER)
        mapped = found if isinstance(found, Blocks) else None
        series.append(_Series(found.array if isinstance(found, Rows) else np.asarray(each), mapped))
    first = series[0].array
    for at, (array, _) in enumerate(series):
        if (array.dtype, array.shape[1:]) != (first.dtype, first.shape[1:]):
            raise ValueError(
                f"{OWNER}[{name!r}][{at}] has steps of {array.dtype}{list(array.shape[1:])}, and those of series 0 are "
                f"{first.dtype}{list(first.shape[1:])}"
            )
    return series


def _steps(series: Mapping[str, Sequence[_Series]]) -> list[int]:
    """Returns the steps of each series, which all fields have in common."""
    first, *others = series
    steps = [len(each.array) for each in series[first]]
    for name in others:
        found = [len(each.array) for each in series[name]]
        if len(found) != len(steps):
            raise ValueError(f"{OWNER}: `{name}` has {len(found)} series, and `{first}` has {len(steps)}")
        for at, (one, other) in enumerate(zip(found, steps, strict=True)):
            if one != other:
                raise ValueError(f"{OWNER}: series {at} of `{name}` has {one} steps, and that of `{first}` has {other}")
    return steps
