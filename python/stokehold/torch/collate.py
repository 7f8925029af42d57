"""Samples to a batch, as PyTorch's ``default_collate``, but straight into the slot."""

from __future__ import annotations

from functools import partial
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from stokehold._native import copy_rows
from stokehold.torch.internals import TorchFetcher
from stokehold.torch.internals import collation as torchs

if TYPE_CHECKING:
    from stokehold.torch.channel import WorkerEnd
    from stokehold.torch.memory import Space

__all__ = ["MapFetcher", "SlotCollate"]

LARGE = 32 << 10
"""From this size in bytes on, a sample's array goes to its row before the next sample is made.

So the allocator can use its memory again, which saves more than the call costs.
"""

DTYPES = {
    np.dtype(name): getattr(torch, name)
    for name in ("bool", "uint8", "int8", "int16", "int32", "int64", "float16", "float32", "float64")
}


class _Row:
    """In place of a large array that is in its row already."""

    __slots__ = ("array", "out", "row")

    def __init__(self, out: torch.Tensor, row: int, *, array: bool) -> None:
        self.out = out
        self.row = row
        self.array = array

    def value(self) -> Any:
        """Returns the array, or the tensor, that was there."""
        copy = self.out[self.row].clone()
        return copy.numpy() if self.array else copy


_shape = attrgetter("shape")


def _is_plain(tensor: torch.Tensor) -> bool:
    return (
        type(tensor) is torch.Tensor
        and tensor.layout is torch.strided
        and tensor.device.type == "cpu"
        and not tensor.requires_grad
        and not tensor.is_quantized
        and not tensor.is_nested
    )


def _values(batch: list[Any]) -> list[Any]:
    return [each.value() if type(each) is _Row else each for each in batch]


def _rows(space: Space, batch: list[Any], *, collate_fn_map: Any = None) -> Any:
    """Collates large arrays: if all are in their rows, there is nothing left to do."""
    out = batch[0].out
    if len(out) == len(batch) and all(
        type(each) is _Row and each.out is out and each.row == at for at, each in enumerate(batch)
    ):
        return out
    values = _values(batch)
    return (_arrays if isinstance(values[0], np.ndarray) else _tensors)(space, values, collate_fn_map=collate_fn_map)


def _tensors(space: Space, batch: list[Any], *, collate_fn_map: Any = None) -> Any:
    first = batch[0]
    if _is_plain(first):
        try:
            return torch.stack(batch, 0, out=space.empty(first.dtype, (len(batch), *first.shape)))
        except (RuntimeError, TypeError):
            # PyTorch says what is wrong, or that nothing is.
            pass
    return torchs.collate_tensor_fn(_values(batch), collate_fn_map=collate_fn_map)


def _arrays(space: Space, batch: list[Any], *, collate_fn_map: Any = None) -> Any:
    first = batch[0]
    dtype, shape = first.dtype, first.shape
    if dtype in DTYPES:
        out = space.empty(DTYPES[dtype], (len(batch), *shape))
        rows = out.numpy()
        if copy_rows(batch, rows):
            return out
        try:
            if shape and set(map(_shape, batch)) == {shape}:
                np.concatenate(batch, out=rows.reshape(-1, *shape[1:]), casting="no")
                return out
        except (AttributeError, TypeError):
            # One is no array, or of another dtype.
            pass
    return torchs.collate_numpy_array_fn(_values(batch), collate_fn_map=collate_fn_map)


class SlotCollate:
    """PyTorch's ``default_collate``, whose tensors lie in the slot of the worker's task."""

    def __init__(self, end: WorkerEnd) -> None:
        self._end = end

    def __call__(self, batch: list[Any]) -> Any:
        """Returns the samples as one."""
        space = self._end.space
        functions = dict(torchs.default_collate_fn_map)
        if functions.get(torch.Tensor) is torchs.collate_tensor_fn:
            functions[torch.Tensor] = partial(_tensors, space)
        if functions.get(np.ndarray) is torchs.collate_numpy_array_fn:
            functions[np.ndarray] = partial(_arrays, space)
        functions[_Row] = partial(_rows, space)
        return torchs.collate(batch, collate_fn_map=functions)


class MapFetcher(TorchFetcher):
    """PyTorch's fetcher, which also knows the sample that failed, and puts large arrays into their rows at once."""

    def __init__(self, end: WorkerEnd, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._end = end

    def fetch(self, possibly_batched_index: Any) -> Any:
        """Returns a batch."""
        index = possibly_batched_index
        if not self.auto_collation:
            return self.collate_fn(self._sample(index))
        if getattr(self.dataset, "__getitems__", None):
            return self.collate_fn(self.dataset.__getitems__(index))
        if isinstance(self.collate_fn, SlotCollate):
            return self.collate_fn(self._samples(index))
        return self.collate_fn([self._sample(each) for each in index])

    def _sample(self, index: Any) -> Any:
        try:
            return self.dataset[index]
        except Exception:
            self._end.failed = index
            raise

    def _samples(self, indices: Any) -> list[Any]:
        dataset, samples = self.dataset, []
        index = None
        try:
            indices = list(indices)
            rows = _Rows(self._end.space, len(indices))
            left = iter(indices)
            for row, index in enumerate(left):
                # Not held by a name: the next sample may use the memory of this one.
                samples.append(rows.take(dataset[index], row))
                if not rows.active:
                    break
            for index in left:
                samples.append(dataset[index])
        except Exception:
            self._end.failed = index
            raise
        return samples


class _Rows:
    """The large arrays of a batch, in the order in which its first sample has them."""

    def __init__(self, space: Space, count: int) -> None:
        self.active = True
        self._space = space
        self._count = count
        self._outs: list[tuple[torch.Tensor, Any]] = []
        self._at = 0

    def take(self, sample: Any, row: int) -> Any:
        """Returns the sample with its large arrays in their rows; if the first one has none, no other is looked at."""
        self._at = 0
        sample = self._walk(sample, row)
        if row == 0:
            self.active = bool(self._outs)
        return sample

    def _walk(self, value: Any, row: int) -> Any:
        kind = type(value)
        if kind is torch.Tensor:
            if value.numel() * value.element_size() >= LARGE and _is_plain(value):
                return self._row(value, value.dtype, row)
        elif kind is np.ndarray:
            if value.nbytes >= LARGE and value.dtype in DTYPES:
                return self._row(value, value.dtype, row)
        elif kind is dict:
            return {key: self._walk(each, row) for key, each in value.items()}
        elif kind is tuple or kind is list:
            return kind([self._walk(each, row) for each in value])
        elif isinstance(value, tuple) and hasattr(value, "_fields"):
            return kind(*(self._walk(each, row) for each in value))
        return value

    def _row(self, value: Any, dtype: Any, row: int) -> Any:
        is_array = type(value) is np.ndarray
        at, self._at = self._at, self._at + 1
        if row == 0:
            kind = DTYPES[dtype] if is_array else dtype
            self._outs.append((self._space.empty(kind, (self._count, *value.shape)), (dtype, value.shape)))
        elif at >= len(self._outs) or self._outs[at][1] != (dtype, value.shape):
            # Not like the first: whatever PyTorch makes of that.
            return value
        out = self._outs[at][0]
        if is_array:
            out[row].numpy()[...] = value
        else:
            out[row].copy_(value)
        return _Row(out, row, array=is_array)
