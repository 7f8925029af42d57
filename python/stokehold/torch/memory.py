"""Where a worker puts a batch: into the slot of its task, and into memory of its own where that is too small."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch

from stokehold import _native

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["PARTS_OF_BYTES", "Segment", "Space", "tensor_at"]

ALIGN = 64
"""Arrays begin at multiples of a cache line."""

CHUNK = 1 << 20
"""What a worker takes at once for batches whose size nobody knows yet."""

PARTS_OF_BYTES = {
    getattr(torch, name)
    for name in ("bit", "float4_e2m1fn_x2", *(f"{sign}int{bits}" for sign in ("", "u") for bits in range(1, 8)))
    if hasattr(torch, name)
}
"""Dtypes whose numbers are smaller than a byte. PyTorch moves tensors of them, and computes nothing with them."""

_NAMES = (
    "bool",
    "complex64",
    "complex128",
    "float16",
    "float32",
    "float64",
    "int8",
    "int16",
    "int32",
    "int64",
    "uint8",
)
_AS_ARRAYS: Final = {getattr(torch, name): np.dtype(name) for name in _NAMES}
"""Dtypes that NumPy has too, in every version of PyTorch."""


def tensor_at(buffer: Any, offset: int, dtype: torch.dtype, shape: tuple[int, ...]) -> torch.Tensor:
    """Returns a tensor that lies in a buffer, of at least one number."""
    as_array = _AS_ARRAYS.get(dtype)
    if as_array is not None:
        # Has the shape at once, and takes half the time.
        return torch.from_numpy(np.ndarray(shape, as_array, buffer, offset))
    return torch.frombuffer(buffer, dtype=dtype, count=math.prod(shape), offset=offset).view(shape)


class Segment:
    """A part of shared memory; the whole of it, if nothing else is said."""

    __slots__ = ("address", "bytes", "memory", "offset", "size")

    def __init__(self, memory: _native.Memory, offset: int = 0, size: int | None = None) -> None:
        self.memory = memory
        self.offset = offset
        self.size = len(memory) if size is None else size
        self.bytes: npt.NDArray[np.uint8] = np.frombuffer(memoryview(memory), np.uint8, self.size, offset)
        self.address: int = self.bytes.__array_interface__["data"][0]


class Space:
    """The memory of one batch: its slot first, if its task has one."""

    def __init__(self, slot: Segment | None) -> None:
        self.slot = slot
        self.segments = [slot] if slot is not None else []
        self.used = 0
        self._end = 0

    @property
    def extra(self) -> list[Segment]:
        """The memory beside the slot."""
        return self.segments if self.slot is None else self.segments[1:]

    def take(self, size: int) -> tuple[int, int]:
        """Takes `size` bytes; returns the number of their segment, and their offset there, a multiple of 64."""
        size = -(-size // ALIGN) * ALIGN
        if not self.segments or self._end + size > self.segments[-1].size:
            self.segments.append(Segment(_native.Memory(max(size, CHUNK, self.used))))
            self._end = 0
        offset = self._end
        self._end += size
        self.used += size
        return len(self.segments) - 1, offset

    def empty(self, dtype: torch.dtype, shape: tuple[int, ...]) -> torch.Tensor:
        """Returns a tensor in this space, of arbitrary content."""
        count = math.prod(shape)
        if count == 0:
            return torch.empty(shape, dtype=dtype)
        at, offset = self.take(count * dtype.itemsize)
        return tensor_at(self.segments[at].bytes, offset, dtype, shape)

    def find(self, address: int, size: int) -> tuple[int, int] | None:
        """Returns the segment and the offset of some bytes, if they lie in this space."""
        for at, segment in enumerate(self.segments):
            if 0 <= address - segment.address <= segment.size - size:
                return at, address - segment.address
        return None
