"""Slots: shared memory that holds a batch, in the trainer's hands and in a worker's.

Slots lie in blocks, so that a trainer that holds many batches does not run out of descriptors.
"""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch

from stokehold import _native

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["Arena", "Block", "Segment", "Space"]

ALIGN = 64
"""Arrays begin at multiples of a cache line."""

CHUNK = 1 << 20
"""What a worker takes at once for batches whose size nobody knows yet."""

BLOCK = 64 << 20
"""Up to this size a block is as large as all before it."""

PARTS_OF_BYTES = {
    getattr(torch, name)
    for name in ("bit", "float4_e2m1fn_x2", *(f"{sign}int{bits}" for sign in ("", "u") for bits in range(1, 8)))
    if hasattr(torch, name)
}
"""Dtypes whose numbers are smaller than a byte. PyTorch moves tensors of them, and computes nothing with them."""


class Block(NamedTuple):
    """Shared memory with a number that trainer and workers know it by."""

    memory: _native.Memory
    number: int


class Segment:
    """A part of a block; the whole of it, if nothing else is said."""

    __slots__ = ("address", "block", "bytes", "offset", "size")

    def __init__(self, block: Block, offset: int = 0, size: int | None = None) -> None:
        self.block = block
        self.offset = offset
        self.size = len(block.memory) if size is None else size
        self.bytes = np.frombuffer(memoryview(block.memory), np.uint8, self.size, offset)
        self.address: int = self.bytes.__array_interface__["data"][0]

    def tensor(self, dtype: torch.dtype, shape: tuple[int, ...], offset: int) -> torch.Tensor:
        """Returns a view of the segment."""
        return tensor_of(self.bytes, dtype, shape, offset)


def tensor_of(
    root: npt.NDArray[np.uint8], dtype: torch.dtype, shape: tuple[int, ...] | torch.Size, offset: int
) -> torch.Tensor:
    """Returns a tensor over a part of `root`, which it keeps."""
    count = 1
    for extent in shape:
        count *= extent
    if count == 0:
        return torch.empty(shape, dtype=dtype)
    return torch.frombuffer(root, dtype=dtype, count=count, offset=offset).view(shape)


class Arena:
    """The trainer's slots: as many as there are batches being made and held, all of one size.

    The size is that of the largest batch seen. A slot comes back when the last tensor that shows a part of it is gone.
    """

    def __init__(self) -> None:
        self.size = 0
        self.oldest = 0
        """The number of the first block whose slots are of this size."""
        self._next = 0
        self._taken = 0
        self._free: list[Segment] = []
        self._held: dict[int, weakref.ref[Any]] = {}

    def take(self) -> Segment | None:
        """Returns a slot for a batch; none as long as nobody knows how large batches are."""
        if self._free:
            return self._free.pop()
        if self.size == 0:
            return None
        count = max(1, min(self._taken, BLOCK) // self.size)
        block = Block(_native.Memory(count * self.size), self._next)
        self._next += 1
        self._taken += count * self.size
        self._free = [Segment(block, at * self.size, self.size) for at in range(count)]
        return self._free.pop()

    def give_back(self, segment: Segment) -> None:
        """Takes back a slot that nobody shows a part of."""
        if segment.block.number >= self.oldest:
            self._free.append(segment)

    def fit(self, used: int) -> None:
        """Makes the slots large enough for batches of `used` bytes."""
        if used > self.size:
            # Smaller slots are not used again; those that are filled or held just now end with their batch.
            self._free.clear()
            self.oldest, self._taken = self._next, 0
            # With some room, or sizes that rise little by little would take new slots each time.
            self.size = -(-(used + used // 8) // 4096) * 4096

    def lease(self, segment: Segment) -> npt.NDArray[np.uint8]:
        """Returns the bytes of a slot. It comes back when they, and all views of them, are gone."""
        # An array of its own: views of it refer to it, and not to anything older.
        root = np.frombuffer(memoryview(segment.block.memory), np.uint8, segment.size, segment.offset)
        held, give_back = self._held, self.give_back

        def gone(reference: weakref.ref[Any]) -> None:
            del held[id(reference)]
            give_back(segment)

        reference = weakref.ref(root, gone)
        held[id(reference)] = reference
        return root


class Space:
    """Where a worker puts one batch: its slot, and further memory where that is too small."""

    def __init__(self, slot: Segment | None) -> None:
        self.slot = slot
        self.segments = [slot] if slot is not None else []
        self.used = 0
        self._end = 0

    @property
    def extra(self) -> list[Segment]:
        """The memory beside the slot."""
        return self.segments if self.slot is None else self.segments[1:]

    def place(self, size: int) -> tuple[int, int]:
        """Returns the place of `size` bytes: a segment's position, and the offset there."""
        size = -(-size // ALIGN) * ALIGN
        if not self.segments or self._end + size > self.segments[-1].size:
            self.segments.append(Segment(Block(_native.Memory(max(size, CHUNK, self.used)), -1)))
            self._end = 0
        offset = self._end
        self._end += size
        self.used += size
        return len(self.segments) - 1, offset

    def empty(self, dtype: torch.dtype, shape: tuple[int, ...]) -> torch.Tensor:
        """Returns a tensor in this space, of arbitrary content."""
        count = dtype.itemsize
        for extent in shape:
            count *= extent
        at, offset = self.place(count)
        return self.segments[at].tensor(dtype, shape, offset)

    def find(self, address: int) -> tuple[int, int] | None:
        """Returns the place of an address, if it lies in this space."""
        for at, segment in enumerate(self.segments):
            if 0 <= address - segment.address < segment.size:
                return at, address - segment.address
        return None
