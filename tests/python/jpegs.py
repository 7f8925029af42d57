"""Writes JPEG files that no encoder at hand writes: any sampling factors, and scans of any coefficients in any order.

What is coded are coefficients, not pixels: the files are there to be decoded by two decoders. Source: ITU-T T.81.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

LONGEST_RUN = 32767
# What is put off until a run of blocks ends: the reference encoder's limit, so that a decoder's buffers suffice.
MOST_CORRECTIONS = 937


@dataclass(frozen=True)
class Scan:
    """Components, a band of coefficients, and how many of their lowest bits are missing before it and behind it."""

    components: tuple[int, ...]
    first: int
    last: int
    high: int = 0
    low: int = 0


@dataclass(frozen=True)
class Layout:
    """The size of an image and the sampling factors, across and down, of each component."""

    height: int
    width: int
    factors: tuple[tuple[int, int], ...]
    ids: tuple[int, ...] = (1, 2, 3, 4)

    def mcus(self) -> tuple[int, int]:
        """Returns the rows and columns of interleaved MCUs."""
        across, down = (max(factors[axis] for factors in self.factors) for axis in (0, 1))
        return -(-self.height // (8 * down)), -(-self.width // (8 * across))

    def blocks(self, component: int) -> tuple[int, int]:
        """Returns the rows and columns of blocks that hold samples of the image."""
        across, down = (max(factors[axis] for factors in self.factors) for axis in (0, 1))
        h, v = self.factors[component]
        return -(-self.height * v // (8 * down)), -(-self.width * h // (8 * across))

    def in_order(self, components: Sequence[int]) -> Iterator[tuple[int, list[tuple[int, int]]]]:
        """Yields component, and rows and columns of blocks, of each MCU of a scan, an item for each component."""
        if len(components) == 1:
            for row, column in np.ndindex(*self.blocks(components[0])):
                yield components[0], [(row, column)]
            return
        for row, column in np.ndindex(*self.mcus()):
            for component in components:
                h, v = self.factors[component]
                yield component, [(row * v + y, column * h + x) for y in range(v) for x in range(h)]


def coefficients(layout: Layout, seed: int) -> list[npt.NDArray[np.int64]]:
    """Returns coefficients in zigzag order for each component, (rows, columns, 64), as photographs might have them."""
    rng = np.random.default_rng(seed)
    every = []
    for h, v in layout.factors:
        rows, columns = layout.mcus()
        shape = (rows * v, columns * h)
        blocks = rng.laplace(0, 12 / (1 + np.arange(64)) ** 0.8, (*shape, 64))
        blocks *= rng.random((*shape, 1)) ** 2
        blocks[..., 0] = rng.normal(0, 40) + rng.normal(0, 25, shape)
        every.append(np.round(blocks).clip(-500, 500).astype(np.int64))
    return every


def written(
    layout: Layout,
    blocks: Sequence[npt.NDArray[np.int64]],
    scans: Iterable[Scan],
    *,
    progressive: bool = True,
    restart_interval: int = 0,
    quantisation: Sequence[int] = tuple(range(2, 66)),
    segments: bytes = b"",
) -> bytes:
    """Returns a file with these scans; `segments` stand before the frame header."""
    frame = struct.pack(">BHHB", 8, layout.height, layout.width, len(layout.factors))
    for name, (h, v) in zip(layout.ids, layout.factors, strict=False):
        frame += bytes([name, h << 4 | v, 0])
    data = b"\xff\xd8" + segments + _segment(0xDB, bytes([0, *quantisation]))
    data += _segment(0xC2 if progressive else 0xC1, frame)
    if restart_interval:
        data += _segment(0xDD, struct.pack(">H", restart_interval))
    for scan in scans:
        coder = _Coder(scan, progressive=progressive)
        for number, (component, indices) in enumerate(layout.in_order(scan.components)):
            parts = len(scan.components)
            if restart_interval and number and number % (parts * restart_interval) == 0:
                coder.restart()
            for row, column in indices:
                coder.block(component, blocks[component][row, column].tolist())
        data += coder.finished(layout)
    return data + b"\xff\xd9"


def _segment(marker: int, body: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body


@dataclass
class _Coder:
    """Codes the blocks of a scan: first to symbols, (class, symbol, value, bits of the value), then to bits."""

    scan: Scan
    progressive: bool
    intervals: list[list[tuple[int, int, int, int]]] = field(default_factory=lambda: [[]])
    before: dict[int, int] = field(default_factory=dict)
    ended: int = 0
    put_off: list[int] = field(default_factory=list)

    def block(self, component: int, block: list[int]) -> None:
        scan = self.scan
        if not self.progressive:
            self._difference(component, block[0])
            self._first(block[1:])
        elif scan.first == 0 and scan.high == 0:
            self._difference(component, block[0] >> scan.low)
        elif scan.first == 0:
            self._bits(block[0] >> scan.low & 1, 1)
        else:
            band = [_shifted(value, scan.low) for value in block[scan.first : scan.last + 1]]
            (self._refinement if scan.high else self._first)(band)

    def restart(self) -> None:
        self._end_run()
        self.before.clear()
        self.intervals.append([])

    def _add(self, kind: int, symbol: int, value: int = 0, size: int = 0) -> None:
        self.intervals[-1].append((kind, symbol, value, size))

    def _bits(self, value: int, size: int) -> None:
        if size:
            self._add(-1, 0, value, size)

    def _difference(self, component: int, value: int) -> None:
        difference = value - self.before.get(component, 0)
        self.before[component] = value
        size = abs(difference).bit_length()
        self._add(0, size, difference if difference > 0 else difference + (1 << size) - 1, size)

    def _first(self, band: list[int]) -> None:
        zeros = 0
        for value in band:
            if value == 0:
                zeros += 1
                continue
            self._end_run()
            for _ in range(zeros // 16):
                self._add(1, 0xF0)
            size = abs(value).bit_length()
            self._add(1, zeros % 16 << 4 | size, value if value > 0 else value + (1 << size) - 1, size)
            zeros = 0
        if zeros and self.progressive:
            self._end_block([])
        elif zeros:
            self._add(1, 0)

    def _refinement(self, band: list[int]) -> None:
        """Codes coefficients of which one bit is new: those that are 1 now were 0 before."""
        latest = max((at for at, value in enumerate(band) if abs(value) == 1), default=-1)
        zeros, corrections = 0, list[int]()
        for at, value in enumerate(band):
            if value == 0:
                zeros += 1
                if zeros == 16 and at < latest:
                    self._end_run()
                    self._add(1, 0xF0)
                    zeros, corrections = 0, self._corrected(corrections)
            elif abs(value) == 1:
                self._end_run()
                self._add(1, zeros << 4 | 1, int(value > 0), 1)
                zeros, corrections = 0, self._corrected(corrections)
            else:
                corrections.append(abs(value) & 1)
        if zeros or corrections:
            self._end_block(corrections)

    def _corrected(self, corrections: list[int]) -> list[int]:
        for bit in corrections:
            self._bits(bit, 1)
        return []

    def _end_block(self, corrections: list[int]) -> None:
        self.ended += 1
        self.put_off += corrections
        if self.ended == LONGEST_RUN or len(self.put_off) > MOST_CORRECTIONS:
            self._end_run()

    def _end_run(self) -> None:
        if self.ended:
            size = self.ended.bit_length() - 1
            self._add(1, size << 4, self.ended - (1 << size), size)
            self.put_off = self._corrected(self.put_off)
            self.ended = 0

    def finished(self, layout: Layout) -> bytes:
        """Returns the scan with its Huffman tables, whose codes have all lengths, the longest for rare symbols."""
        self._end_run()
        data, codes = b"", dict[tuple[int, int], str]()
        for kind in (0, 1):
            seen = Counter(symbol for interval in self.intervals for of, symbol, *_ in interval if of == kind)
            ranked = [symbol for symbol, _ in seen.most_common()]
            lengths = [min(2 + rank, 16) for rank in range(len(ranked))]
            code = 0
            for at, symbol in enumerate(ranked):
                code <<= lengths[at] - lengths[at - 1] if at else 0
                codes[kind, symbol] = format(code, f"0{lengths[at]}b")
                code += 1
            if ranked:
                counts = [lengths.count(length) for length in range(1, 17)]
                data += _segment(0xC4, bytes([kind << 4, *counts, *ranked]))
        scan = self.scan
        body = bytes([len(scan.components)]) + b"".join(bytes([layout.ids[at], 0]) for at in scan.components)
        band = bytes([scan.first, scan.last, scan.high << 4 | scan.low]) if self.progressive else b"\0\x3f\0"
        data += _segment(0xDA, body + band)
        for number, interval in enumerate(self.intervals):
            data += bytes([0xFF, 0xD0 + (number - 1) % 8]) if number else b""
            text = "".join(
                ("" if kind < 0 else codes[kind, symbol]) + (format(value, f"0{size}b") if size else "")
                for kind, symbol, value, size in interval
            )
            text += "1" * (-len(text) % 8)
            packed = bytes(int(text[at : at + 8], 2) for at in range(0, len(text), 8))
            data += packed.replace(b"\xff", b"\xff\0")
        return data


def _shifted(value: int, bits: int) -> int:
    return (abs(value) >> bits) * (1 if value > 0 else -1)
