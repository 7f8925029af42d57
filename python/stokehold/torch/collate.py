"""Samples to a batch, as PyTorch's ``default_collate``, but straight into the slot."""

from __future__ import annotations

import operator
from operator import attrgetter
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch

from stokehold._native import copy_row, copy_rows
from stokehold.torch.internals import collation as torchs
from stokehold.torch.memory import PARTS_OF_BYTES

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from stokehold.torch.memory import Space
    from stokehold.torch.worker_end import WorkerEnd

__all__ = ["Rows", "SlotCollate", "is_torchs_own"]

LARGE = 32 << 10
"""From this size in bytes on, a sample's array goes to its row before the next sample is made.

So the allocator can use its memory again, which saves more than the call costs.
"""

DTYPES = {
    np.dtype(name): getattr(torch, name)
    for name in ("bool", "uint8", "int8", "int16", "int32", "int64", "float16", "float32", "float64")
}


TABLE = (
    (torch.Tensor, torchs.collate_tensor_fn),
    (np.ndarray, torchs.collate_numpy_array_fn),
    ((np.bool_, np.number, np.object_), torchs.collate_numpy_scalar_fn),
    (float, torchs.collate_float_fn),
    (int, torchs.collate_int_fn),
    (str, torchs.collate_str_fn),
    (bytes, torchs.collate_str_fn),
)
"""What PyTorch's `default_collate_fn_map` holds as long as nobody has registered a function of their own."""


def is_torchs_own() -> bool:
    """Tells whether PyTorch's table is as PyTorch made it; whoever may change it, may do so at any time."""
    return tuple(torchs.default_collate_fn_map.items()) == TABLE


_shape = attrgetter("shape")
_strides = attrgetter("strides")


def _is_plain(tensor: torch.Tensor) -> bool:
    return (
        type(tensor) is torch.Tensor
        and tensor.layout is torch.strided
        and tensor.device.type == "cpu"
        and not tensor.requires_grad
        and not tensor.is_quantized
        and not tensor.is_nested
    )


def _torch_takes(arrays: list[npt.NDArray[Any]]) -> bool:
    """Tells whether PyTorch makes tensors of arrays with such strides."""
    size = arrays[0].itemsize
    return all(stride >= 0 and stride % size == 0 for strides in set(map(_strides, arrays)) for stride in strides)


class SlotCollate:
    """PyTorch's ``default_collate``, whose tensors lie in the slot of the worker's task.

    Functions that somebody has registered see what they would see in PyTorch, and so does everything beside them: then
    all is PyTorch's own.
    """

    def __init__(self, end: WorkerEnd) -> None:
        self._end = end
        self._rows = Rows(end.space, 0)
        self._functions = {**dict(TABLE), torch.Tensor: self._tensors, np.ndarray: self._arrays}

    def __call__(self, batch: list[Any]) -> Any:
        """Returns the samples as one."""
        if not is_torchs_own():
            return torchs.default_collate(batch)
        collated = torchs.collate(batch, collate_fn_map=self._functions)
        self._rows = Rows(self._end.space, 0)
        return collated

    def rows(self, count: int) -> Rows:
        """Returns rows for the large arrays of a batch that is yet to be collated."""
        self._rows = Rows(self._end.space, count)
        return self._rows

    def _tensors(self, batch: list[Any], *, collate_fn_map: Any = None) -> Any:
        stacked = self._rows.stacked(batch)
        if stacked is not None:
            return stacked
        first = batch[0]
        if _is_plain(first):
            try:
                return torch.stack(batch, 0, out=self._end.space.empty(first.dtype, (len(batch), *first.shape)))
            except (RuntimeError, TypeError):
                # PyTorch says what is wrong, or that nothing is.
                pass
        return torchs.collate_tensor_fn(batch, collate_fn_map=collate_fn_map)

    def _arrays(self, batch: list[Any], *, collate_fn_map: Any = None) -> Any:
        stacked = self._rows.stacked(batch)
        if stacked is not None:
            return stacked
        first = batch[0]
        dtype, shape = first.dtype, first.shape
        if dtype in DTYPES:
            try:
                # Where there is nothing to step over, any strides are contiguous.
                if not {0, 1}.intersection(shape) or _torch_takes(batch):
                    out = self._end.space.empty(DTYPES[dtype], (len(batch), *shape))
                    rows = out.numpy()
                    if copy_rows(batch, rows):
                        return out
                    if shape and set(map(_shape, batch)) == {shape} and _torch_takes(batch):
                        np.concatenate(batch, out=rows.reshape(-1, *shape[1:]), casting="no")
                        return out
            except (AttributeError, TypeError):
                # One is no array, or of another dtype.
                pass
        return torchs.collate_numpy_array_fn(batch, collate_fn_map=collate_fn_map)


class Rows:
    """The large arrays of a batch, in the order in which its first sample has them.

    A sample then has a view of its row in the array's stead: an array like any other, whoever looks at it.
    """

    def __init__(self, space: Space, count: int) -> None:
        self.active = True
        self._space = space
        self._count = count
        self._outs: list[_Out] = []
        self._at = 0
        self._alone: _Out | None = None
        """Where samples go that are arrays and nothing else, as the first one is."""

    def take(self, sample: Any, row: int) -> Any:
        """Returns the sample with its large arrays in their rows; if the first one has none, no other is looked at."""
        alone = self._alone
        if alone is not None and copy_row(sample, alone.rows, row):
            view = alone.rows[row]
            alone.views.append(view)
            return view
        self._at = 0
        is_array = type(sample) is np.ndarray
        sample = self._walk(sample, row)
        if row == 0:
            self.active = bool(self._outs)
            self._alone = self._outs[0] if self.active and is_array else None
        return sample

    def stacked(self, batch: Sequence[Any]) -> torch.Tensor | None:
        """Returns the tensor whose rows these are, each in its own; none if they are anything else."""
        for out in self._outs:
            if out.views[0] is batch[0]:
                whole = len(out.views) == len(batch) == self._count
                return out.tensor if whole and all(map(operator.is_, out.views, batch)) else None
        return None

    def _walk(self, value: Any, row: int) -> Any:
        kind = type(value)
        if kind is torch.Tensor:
            if value.numel() * value.element_size() >= LARGE and _is_plain(value) and _has_kernels(value):
                return self._row(value, value.dtype, row)
        elif kind is np.ndarray:
            if value.nbytes >= LARGE and value.dtype in DTYPES and _torch_takes([value]):
                return self._row(value, value.dtype, row)
        elif kind is dict:
            return {key: self._walk(each, row) for key, each in value.items()}
        elif kind is tuple or kind is list:
            return kind([self._walk(each, row) for each in value])
        elif issubclass(kind, tuple) and kind.__dictoffset__ == 0 and hasattr(kind, "_fields"):
            # A named tuple is its fields and nothing else. Its constructor, which may be the user's, has run already.
            return tuple.__new__(kind, [self._walk(each, row) for each in tuple.__iter__(value)])
        return value

    def _row(self, value: Any, dtype: Any, row: int) -> Any:
        is_array = type(value) is np.ndarray
        at, self._at = self._at, self._at + 1
        if row == 0:
            tensor = self._space.empty(DTYPES[dtype] if is_array else dtype, (self._count, *value.shape))
            self._outs.append(_Out(tensor, tensor.numpy() if is_array else tensor, dtype, value.shape, []))
        elif at >= len(self._outs) or (dtype, value.shape) != (self._outs[at].dtype, self._outs[at].shape):
            # Not like the first: whatever PyTorch makes of that.
            return value
        out = self._outs[at]
        view = out.rows[row]
        view[...] = value
        out.views.append(view)
        return view


class _Out(NamedTuple):
    """A tensor that large arrays go to."""

    tensor: torch.Tensor
    rows: Any
    """What gives a row as it was: the tensor, or an array over it."""
    dtype: Any
    shape: tuple[int, ...]
    views: list[Any]
    """The rows that are filled."""


def _has_kernels(tensor: torch.Tensor) -> bool:
    """Tells whether PyTorch stacks such tensors: not those of parts of a byte, nor those with named axes."""
    return tensor.dtype not in PARTS_OF_BYTES and not any(getattr(tensor, "names", ()))
