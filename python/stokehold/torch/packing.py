"""Batches to bytes and back: tensors and arrays lie in shared memory, and only the rest is pickled.

A tensor keeps its strides, so that memory which it shows several times goes over once; and tensors that show the same
memory of one storage do so on the other side. What they show of a storage is known when all has been pickled, so a
pickle names such tensors by number, and a table behind it says where they are.
"""

from __future__ import annotations

import copyreg
import ctypes
import io
import pickle
import struct
import threading
from collections import ChainMap
from multiprocessing.reduction import ForkingPickler
from typing import TYPE_CHECKING, Any, ClassVar, Final, NamedTuple

import numpy as np
import torch

from stokehold.torch.failures import reduced
from stokehold.torch.internals import ExceptionWrapper
from stokehold.torch.memory import tensor_at

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from stokehold.torch.memory import Space

__all__ = ["pack", "pack_plain", "unpack", "unpack_plain"]

ROW: Final = struct.Struct("<qqqq")
"""Of the table: segment, offset and size of what is shown of a storage; where in it a tensor begins."""

COUNT: Final = struct.Struct("<q")
"""Behind the table: how many rows it has."""

ALIGN: Final = 16
"""What is taken of a storage begins at a multiple of so many bytes, as any dtype wants it."""

SPARSE: Final = 1 << 20
"""A tensor that shows less than a quarter of the memory from its first to its last number, which are more bytes than
this apart, is written out: it may be a column of a whole data set."""

_unpacking = threading.local()

_DTYPES = sorted({each for each in vars(torch).values() if isinstance(each, torch.dtype)}, key=str)
_CODES = {dtype: code for code, dtype in enumerate(_DTYPES)}


class _Shown(NamedTuple):
    """What a tensor shows of its storage, in bytes."""

    storage: int
    """The storage's address."""
    begin: int
    end: int
    tensor: torch.Tensor


class _Packer(ForkingPickler):
    """Pickles as torch's queues do, but for plain tensors and arrays, whose numbers lie in the space."""

    # That of each `ForkingPickler`, which makes one for each value.
    dispatch_table: ClassVar[Any] = ChainMap(  # type: ignore[misc]
        ForkingPickler._extra_reducers,  # type: ignore[attr-defined]
        copyreg.dispatch_table,
    )

    def __init__(self, file: io.BytesIO, space: Space) -> None:
        pickle.Pickler.__init__(self, file, 5)
        self.shown: list[_Shown] = []
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
        if _is_special(tensor):
            return NotImplemented
        shape, dtype, strides = tuple(tensor.shape), tensor.dtype, None
        count = last = tensor.numel()
        if not count:
            return _empty, (dtype, shape)
        size = dtype.itemsize
        if not tensor.is_contiguous():
            strides = tensor.stride()
            last = 1 + sum((extent - 1) * stride for extent, stride in zip(shape, strides, strict=True))
            if (last - 4 * count) * size > SPARSE:
                tensor, strides, last = tensor.contiguous(), None, count
        where = self._space.find(tensor.data_ptr(), last * size)
        if where is not None:
            return _placed, (*where, _CODES[dtype], shape, strides)
        begin = tensor.storage_offset() * size
        self.shown.append(_Shown(tensor.untyped_storage().data_ptr(), begin, begin + last * size, tensor))
        return _tensor, (len(self.shown) - 1, _CODES[dtype], shape, strides)

    def _array(self, array: npt.NDArray[Any]) -> Any:
        if array.dtype.hasobject or not array.nbytes or array.dtype.fields is not None:
            return NotImplemented
        # As in a pickle, which knows these two orders.
        order = "F" if array.flags.f_contiguous and not array.flags.c_contiguous else "C"
        contiguous = array.T if order == "F" else array
        where = self._space.find(array.ctypes.data, array.nbytes) if contiguous.flags.c_contiguous else None
        if where is None:
            at, offset = where = self._space.take(array.nbytes)
            part = self._space.segments[at].bytes[offset : offset + array.nbytes]
            part.view(array.dtype).reshape(array.shape, order=order)[...] = array  # type: ignore[call-overload]
        return _array, (*where, array.dtype, array.shape, order)

    def table(self) -> bytes:
        """Copies what the tensors show to the space; returns where that is."""
        rows: list[Any] = [None] * len(self.shown)
        order = sorted(range(len(rows)), key=lambda number: self.shown[number][:2])
        at = 0
        while at < len(order):
            first = self.shown[order[at]]
            begin, end, last = first.begin // ALIGN * ALIGN, first.end, at + 1
            while last < len(order):
                shown = self.shown[order[last]]
                if shown.storage != first.storage or shown.begin >= end:
                    break
                end, last = max(end, shown.end), last + 1
            where = segment, offset = self._space.take(end - begin)
            ctypes.memmove(self._space.segments[segment].address + offset, first.storage + begin, end - begin)
            for number in order[at:last]:
                rows[number] = ROW.pack(*where, end - begin, self.shown[number].begin - begin)
            at = last
        return b"".join([*rows, COUNT.pack(len(rows))])


def _is_special(tensor: torch.Tensor) -> bool:
    """Tells whether a tensor is more than numbers in memory; then it goes PyTorch's way."""
    return (
        tensor.is_nested
        or tensor.layout is not torch.strided
        or tensor.device.type != "cpu"
        or tensor.requires_grad
        or tensor.is_quantized
        or tensor.is_conj()
        or tensor.is_neg()
    )


def pack(value: object, space: Space) -> bytes:
    """Returns a value as bytes, its tensors and arrays in `space`."""
    file = io.BytesIO()
    packer = _Packer(file, space)
    packer.dump(value)
    return file.getvalue() + packer.table() if packer.shown else file.getvalue()


def unpack(data: bytes | memoryview, roots: Sequence[Any]) -> Any:
    """Returns what was packed. Tensors and arrays are views of the `roots`, the segments of its space."""
    _unpacking.roots, _unpacking.data, _unpacking.first = roots, data, {}
    try:
        # What lies behind its end is not looked at.
        return pickle.loads(data)
    finally:
        _unpacking.roots, _unpacking.data, _unpacking.first = (), b"", {}


def _placed(at: int, offset: int, code: int, shape: tuple[int, ...], strides: tuple[int, ...] | None) -> torch.Tensor:
    if strides is None:
        return tensor_at(_unpacking.roots[at], offset, _DTYPES[code], shape)
    dtype, count = _DTYPES[code], 1
    for extent, stride in zip(shape, strides, strict=True):
        count += (extent - 1) * stride
    return torch.frombuffer(_unpacking.roots[at], dtype=dtype, count=count, offset=offset).as_strided(shape, strides)


def _tensor(number: int, code: int, shape: tuple[int, ...], strides: tuple[int, ...] | None) -> torch.Tensor:
    data, dtype = _unpacking.data, _DTYPES[code]
    table = len(data) - COUNT.size
    table -= COUNT.unpack_from(data, table)[0] * ROW.size
    at, offset, size, begin = ROW.unpack_from(data, table + number * ROW.size)
    first = _unpacking.first.get((at, offset))
    if first is None:
        first = torch.frombuffer(_unpacking.roots[at], dtype=torch.uint8, count=size, offset=offset)
        _unpacking.first[at, offset] = first
    # One storage, of which each shows its part.
    storage, begin = first.untyped_storage(), begin // dtype.itemsize
    made = torch.empty(0, dtype=dtype)
    return made.set_(storage, begin, shape) if strides is None else made.set_(storage, begin, shape, strides)


def _empty(dtype: torch.dtype, shape: tuple[int, ...]) -> torch.Tensor:
    return torch.empty(shape, dtype=dtype)


def _array(at: int, offset: int, dtype: np.dtype[Any], shape: tuple[int, ...], order: Any) -> npt.NDArray[Any]:
    count = int(np.prod(shape))
    return np.frombuffer(_unpacking.roots[at], dtype, count, offset).reshape(shape, order=order)


def pack_plain(value: Any, space: Space) -> bytes | None:
    """Returns a batch as bytes that is a tensor in `space`, or a list, tuple or dictionary of some; none if it is not.

    That is what most batches are, and takes a third of what `pack` takes.
    """
    keys: Any = None
    kind, tensors = type(value), [value]
    if kind is list or kind is tuple:
        keys, tensors = kind is list, value
    elif kind is dict:
        keys, tensors = list(value), list(value.values())
        if set(map(type, keys)) != {str}:
            return None
    found: list[tuple[Any, ...]] = []
    for tensor in tensors:
        if type(tensor) is not torch.Tensor or _is_special(tensor):
            return None
        size = tensor.numel() * tensor.element_size()
        where = space.find(tensor.data_ptr(), size) if size and tensor.is_contiguous() else None
        if where is None:
            return None
        found.append((*where, _CODES[tensor.dtype], tuple(tensor.shape)))
    if len(set(map(id, tensors))) < len(tensors):
        # The same tensor twice is one on the other side too.
        return None
    return pickle.dumps((keys, found), 5)


def unpack_plain(data: bytes | memoryview, roots: Sequence[Any]) -> Any:
    """Returns what `pack_plain` has packed."""
    keys, found = pickle.loads(data)
    tensors = [tensor_at(roots[at], offset, _DTYPES[code], shape) for at, offset, code, shape in found]
    if keys is None:
        return tensors[0]
    if isinstance(keys, bool):
        return tensors if keys else tuple(tensors)
    return dict(zip(keys, tensors, strict=True))
