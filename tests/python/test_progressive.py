"""Progressive JPEGs, scans of all kinds and what colours mean, against Pillow: the same pixels, bit for bit."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import stokehold as sh
from beside_pillow import Box, by_pillow, check_scaled, check_whole_and_part
from jpegs import Layout, Scan, coefficients, written

FACTORS = [
    ((1, 1),),
    ((2, 2),),
    ((1, 4),),
    ((1, 1), (1, 1), (1, 1)),
    ((2, 1), (1, 1), (1, 1)),
    ((1, 2), (1, 1), (1, 1)),
    ((2, 2), (1, 1), (1, 1)),
    ((4, 2), (1, 1), (1, 1)),
    ((3, 1), (1, 1), (1, 1)),
    ((1, 3), (1, 1), (1, 1)),
    ((2, 1), (1, 2), (1, 1)),
    ((1, 1), (2, 2), (1, 2)),
    ((3, 1), (1, 1), (3, 1)),
    ((1, 1), (1, 1), (1, 1), (1, 1)),
    ((2, 2), (1, 1), (1, 1), (2, 2)),
]
# libjpeg refuses ratios that are no whole numbers.
FRACTIONS = [((3, 1), (2, 1), (1, 1)), ((2, 3), (1, 2), (1, 1))]


@st.composite
def layouts(draw: st.DrawFn, factors: list[Any] = FACTORS) -> Layout:
    return Layout(draw(st.integers(1, 70)), draw(st.integers(1, 70)), draw(st.sampled_from(factors)))


@st.composite
def scripts(draw: st.DrawFn, layout: Layout) -> list[Scan]:
    """Scans in an order that the standard allows, of which the last ones may be missing."""
    components = range(len(layout.factors))
    low = draw(st.integers(0, 3))
    cut = draw(st.integers(0, len(components)))
    groups = [group for group in (tuple(components[:cut]), tuple(components[cut:])) if group]
    chains = [[Scan(group, 0, 0, high, high - 1) for group in groups] for high in range(low, 0, -1)]
    waiting = [[scan for chain in chains for scan in chain]]
    for component in components:
        firsts = sorted({1, *draw(st.lists(st.integers(2, 63), max_size=2))})
        for first, after in zip(firsts, [*firsts[1:], 64], strict=True):
            low_ac = draw(st.integers(0, 3))
            band = (component,), first, after - 1
            waiting.append([Scan(*band, 0, low_ac), *(Scan(*band, at, at - 1) for at in range(low_ac, 0, -1))])
    script = [Scan(group, 0, 0, 0, low) for group in groups]
    while waiting := [chain for chain in waiting if chain]:
        script.append(draw(st.sampled_from(waiting)).pop(0))
    return script[: draw(st.integers(1, len(script)))] if draw(st.booleans()) else script


@st.composite
def progressive(draw: st.DrawFn, factors: list[Any] = FACTORS) -> bytes:
    layout = draw(layouts(factors))
    blocks = coefficients(layout, draw(st.integers(0, 2**32)))
    interval = draw(st.sampled_from([0, 0, 0, 1, 2, 5, 30]))
    steps = draw(st.lists(st.integers(1, 40), min_size=64, max_size=64))
    return written(layout, blocks, draw(scripts(layout)), restart_interval=interval, quantisation=steps)


@settings(max_examples=120, deadline=None)
@given(data=progressive(), box=st.tuples(*[st.floats(0, 1)] * 4))
def test_scans_in_any_order_and_regions_of_them_are_pillows(data: bytes, box: Box) -> None:
    check_whole_and_part(data, box)


@pytest.mark.parametrize("scale", [2, 4, 8])
@settings(max_examples=25, deadline=None)
@given(data=progressive())
def test_scaled_scans_are_pillows(data: bytes, scale: Any) -> None:
    check_scaled(data, scale)


@settings(max_examples=120, deadline=None)
@given(
    data=progressive(FACTORS[:9]),
    where=st.floats(0, 1),
    kind=st.sampled_from(["ends", "ones", "lost", "byte"]),
    value=st.integers(0, 255),
)
def test_damaged_files_are_refused_or_read_as_pillow_does(data: bytes, where: float, kind: str, value: int) -> None:
    at = data.index(b"\xff\xda") + int(where * (len(data) - data.index(b"\xff\xda") - 2))
    damaged = {
        "ends": data[:at] + b"\xff\xd9",
        "ones": data[:at] + b"\xff\0" * 8 + data[at + 16 :],
        "lost": data[:at] + data[at + 16 :],
        "byte": data[:at] + bytes([value]) + data[at + 1 :],
    }[kind]
    try:
        expected = by_pillow(damaged)
    except OSError:
        with pytest.raises(sh.DecodeError):
            sh.decode_jpeg(damaged)
        return

    np.testing.assert_array_equal(sh.decode_jpeg(damaged), expected)


@pytest.mark.parametrize("process", ["baseline", "progressive"])
@pytest.mark.parametrize("jfif", [False, True])
@pytest.mark.parametrize("adobe", [None, 0, 1, 2, 9])
@pytest.mark.parametrize("ids", [(1, 2, 3, 4), tuple(b"RGB4"), (0, 1, 2, 3), tuple(b"rgbk")])
def test_colours_are_those_that_pillow_sees(process: str, jfif: bool, adobe: int | None, ids: tuple[int, ...]) -> None:
    segments = b""
    if jfif:
        segments += b"\xff\xe0\0\x10JFIF\0\x01\x01\0\0\x01\0\x01\0\0"
    if adobe is not None:
        segments += b"\xff\xee\0\x0eAdobe" + struct.pack(">HHHB", 100, 0, 0, adobe)
    for count in (3, 4):
        layout = Layout(17, 21, ((1, 1),) * count, ids)
        scans = [Scan(tuple(range(count)), 0, 0 if process == "progressive" else 63)]
        data = written(layout, coefficients(layout, 1), scans, progressive=process == "progressive", segments=segments)
        np.testing.assert_array_equal(sh.decode_jpeg(data), by_pillow(data))


def test_segments_behind_the_first_scan_change_no_colours() -> None:
    layout = Layout(17, 21, ((1, 1),) * 3)
    scans = [Scan((0, 1, 2), 0, 0), Scan((0,), 1, 63)]
    data = written(layout, coefficients(layout, 1), scans)
    second = data.rindex(b"\xff\xc4")
    late = data[:second] + b"\xff\xee\0\x0eAdobe" + struct.pack(">HHHB", 100, 0, 0, 0) + data[second:]
    np.testing.assert_array_equal(sh.decode_jpeg(late), by_pillow(data))


@pytest.mark.parametrize("factors", FRACTIONS)
def test_fractional_sampling_is_refused_as_by_libjpeg(factors: Any) -> None:
    layout = Layout(20, 20, factors)
    data = written(layout, coefficients(layout, 1), [Scan((0, 1, 2), 0, 0)])
    with pytest.raises(OSError, match="broken data stream"):
        by_pillow(data)
    with pytest.raises(sh.DecodeError, match="sampling factors with a fractional ratio"):
        sh.decode_jpeg(data)


def test_large_blocks_are_refused_in_one_scan_only() -> None:
    layout = Layout(40, 40, ((4, 2), (4, 1), (1, 1)))
    blocks = coefficients(layout, 1)
    apart = written(layout, blocks, [Scan((at,), 0, 0) for at in range(3)])
    np.testing.assert_array_equal(sh.decode_jpeg(apart), by_pillow(apart))
    together = written(layout, blocks, [Scan((0, 1, 2), 0, 0)])
    with pytest.raises(sh.DecodeError, match="more than ten blocks in an MCU"):
        sh.decode_jpeg(together)


@pytest.mark.parametrize(
    ("marker", "precision", "process"),
    [
        (0xC1, 12, "JPEG with samples of 12 bits"),
        (0xC2, 12, "JPEG with samples of 12 bits"),
        (0xC3, 8, "lossless JPEG"),
        (0xC5, 8, "hierarchical JPEG"),
        (0xC9, 8, "JPEG with arithmetic coding"),
        (0xCA, 8, "progressive JPEG with arithmetic coding"),
        (0xCB, 8, "lossless JPEG with arithmetic coding"),
        (0xF7, 8, "JPEG-LS"),
    ],
)
def test_what_is_not_read_is_named(marker: int, precision: int, process: str) -> None:
    layout = Layout(8, 8, ((1, 1),))
    data = bytearray(written(layout, coefficients(layout, 1), [Scan((0,), 0, 0)]))
    at = data.index(b"\xff\xc2")
    data[at + 1], data[at + 4] = marker, precision
    with pytest.raises(sh.DecodeError, match=f"as JPEG: {process} is not supported"):
        sh.decode_jpeg(bytes(data))
