"""The numbers that the workers draw, for libraries that are to draw the same.

ChaCha with 8 rounds, keyed by seed, epoch, index and operation (`src/rng.rs`), written out from its description:
D. J. Bernstein, "ChaCha, a variant of Salsa20", 2008.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

import pytest

xxhash = pytest.importorskip("xxhash")

_CONSTANTS = struct.unpack("<4I", b"expand 32-byte k")
_COLUMNS = ((0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15))
_DIAGONALS = ((0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14))
_WORD = 2**32 - 1


def _quarter_round(state: list[int], a: int, b: int, c: int, d: int) -> None:
    for to, by, turned, bits in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
        state[to] = (state[to] + state[by]) & _WORD
        mixed = state[turned] ^ state[to]
        state[turned] = (mixed << bits | mixed >> (32 - bits)) & _WORD


def _words(key: bytes) -> Iterator[int]:
    counter = 0
    while True:
        first = [*_CONSTANTS, *struct.unpack("<8I", key), counter & _WORD, counter >> 32, 0, 0]
        state = list(first)
        for _ in range(4):
            for quarter in (*_COLUMNS, *_DIAGONALS):
                _quarter_round(state, *quarter)
        yield from ((word + before) & _WORD for word, before in zip(state, first, strict=True))
        counter += 1


def operation(field: str, name: str, before: int = 0) -> int:
    """What the draws of a transform are keyed by: its field, its name, and how many of that name stand before it."""
    name_bytes = field.encode()
    data = struct.pack("<Q", len(name_bytes)) + name_bytes + name.encode() + struct.pack("<Q", before)
    return int(xxhash.xxh3_64_intdigest(data))


class Draws:
    """The draws of one operation on one sample, from their beginning."""

    def __init__(self, seed: int, epoch: int, index: int, op: int) -> None:
        self._words = _words(struct.pack("<4Q", seed, epoch, index, op))

    def _next(self) -> int:
        low = next(self._words)
        return low | next(self._words) << 32

    def unit(self) -> float:
        """A number in [0, 1)."""
        return (self._next() >> 11) / 2**53

    def below(self, count: int) -> int:
        """An integer in [0, count)."""
        surplus = 2**64 % count
        while True:
            product = self._next() * count
            if product % 2**64 >= surplus:
                return product >> 64

    def into_torch(self, torch: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        """Makes `torch.rand` and `torch.randint` draw these numbers."""

        def rand(*size: int) -> Any:
            count = size[0] if size else 1
            # Of 53 bits, PyTorch's float32 has the first 24.
            return torch.tensor([int(self.unit() * 2**24) / 2**24 for _ in range(count)], dtype=torch.float32)

        def randint(*given: Any, low: int = 0, high: int | None = None, size: Any = ()) -> Any:
            # Called as randint(high, size), or with all names.
            if given:
                high, size = given
            assert size in {(), (1,)}
            assert high is not None
            return torch.tensor(low + self.below(high - low))

        monkeypatch.setattr(torch, "rand", rand)
        monkeypatch.setattr(torch, "randint", randint)
