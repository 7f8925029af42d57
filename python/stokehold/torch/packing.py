"""Batches to bytes and back: tensors and arrays lie in shared memory, and only the rest is pickled."""

from __future__ import annotations

import copyreg
import io
import pickle
import threading
from collections import ChainMap
from multiprocessing.reduction import ForkingPickler
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch

from stokehold.torch.failures import reduced
from stokehold.torch.internals import ExceptionWrapper
from stokehold.torch.memory import PARTS_OF_BYTES, tensor_of

if TYPE_CHECKING:
    import numpy.typing as npt

    from stokehold.torch.memory import Space

__all__ = ["pack", "unpack"]

_unpacking = threading.local()

_DTYPES = sorted({each for each in vars(torch).values() if isinstance(each, torch.dtype)}, key=str)
_CODES = {dtype: code for code, dtype in enumerate(_DTYPES)}


class _Packer(ForkingPickler):
    """Pickles as torch's queues do, but for plain tensors and arrays, which are copied to their space once.

    Those that lie there already are only named.
    """

    # That of each `ForkingPickler`, which makes one for each value.
    dispatch_table: ClassVar[Any] = ChainMap(  # type: ignore[misc]
        ForkingPickler._extra_reducers,  # type: ignore[attr-defined]
        copyreg.dispatch_table,
    )

    def __init__(self, file: io.BytesIO, space: Space) -> None:
        pickle.Pickler.__init__(self, file, 5)
        self._space = space

    def reducer_override(self, value: object) -> Any:
        kind = type(value)
        if kind is torch.Tensor:
            return self._tensor(value)
        if kind is np.ndarray:
            return self._array(value)  # type: ignore[arg-type]
        if kind is ExceptionWrapper:
            return reduced(value)
        return NotImplemented

    def _tensor(self, tensor: torch.Tensor) -> Any:
        if (
            tensor.is_nested
            or tensor.layout is not torch.strided
            or tensor.device.type != "cpu"
            or tensor.requires_grad
            or tensor.is_quantized
            or tensor.is_conj()
            or tensor.is_neg()
        ):
            return NotImplemented
        dtype, shape = tensor.dtype, tuple(tensor.shape)
        if not tensor.numel():
            return _empty, (dtype, shape)
        contiguous = tensor.is_contiguous()
        if not contiguous:
            # Channels that come last in memory, and the like, stay as they are.
            order = sorted(range(tensor.ndim), key=tensor.stride, reverse=True)
            dense = tensor.permute(order)
            if dense.is_contiguous():
                return torch.permute, (dense, [order.index(axis) for axis in range(tensor.ndim)])
        place = self._space.find(tensor.data_ptr()) if contiguous else None
        if place is None:
            at, offset = self._space.place(tensor.numel() * tensor.element_size())
            copy = self._space.segments[at].tensor(dtype, shape, offset)
            if dtype in PARTS_OF_BYTES:
                copy, tensor = copy.view(torch.uint8), tensor.view(torch.uint8)
            copy.copy_(tensor)
            place = at, offset
        return _tensor, (*place, _CODES[dtype], shape)

    def _array(self, array: npt.NDArray[Any]) -> Any:
        if array.dtype.hasobject or not array.size or array.dtype.fields is not None:
            return NotImplemented
        contiguous = array.flags.c_contiguous
        place = self._space.find(array.ctypes.data) if contiguous else None
        if place is None:
            place = self._space.place(array.nbytes)
            at, offset = place
            part = self._space.segments[at].bytes[offset : offset + array.nbytes]
            part.view(array.dtype).reshape(array.shape)[...] = array
        return _array, (*place, array.dtype, array.shape)


def pack(value: object, space: Space) -> bytes:
    """Returns a value as bytes, its tensors and arrays in `space`."""
    file = io.BytesIO()
    _Packer(file, space).dump(value)
    return file.getvalue()


def unpack(data: bytes | memoryview, roots: list[npt.NDArray[np.uint8]]) -> Any:
    """Returns what was packed. Tensors and arrays are views of the `roots`, the segments of its space."""
    _unpacking.roots = roots
    try:
        return pickle.loads(data)
    finally:
        _unpacking.roots = ()


def _tensor(at: int, offset: int, code: int, shape: tuple[int, ...]) -> torch.Tensor:
    return tensor_of(_unpacking.roots[at], _DTYPES[code], shape, offset)


def _empty(dtype: torch.dtype, shape: tuple[int, ...]) -> torch.Tensor:
    return torch.empty(shape, dtype=dtype)


def _array(at: int, offset: int, dtype: np.dtype[Any], shape: tuple[int, ...]) -> npt.NDArray[Any]:
    count = int(np.prod(shape))
    return np.frombuffer(_unpacking.roots[at], dtype, count, offset).reshape(shape)
