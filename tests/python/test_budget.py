"""The budget of a sample: small files that would take much memory are refused first, and what one took is given back.

The memory is that of a worker, which is a process of its own; bounds are made of the budget alone.
"""

from __future__ import annotations

import io
import json
import re
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import stokehold as sh
from support import run_trainer

MIB = 1 << 20
BUDGET = 64 * MIB
SLACK = 24 * MIB
"""What a worker may take beside the budget: tables, stacks, what the allocator keeps."""

TRAINER = """
def memory(pid, field):
    for line in open(f"/proc/{pid}/status"):
        if line.startswith(field + ":"):
            return int(line.split()[1]) << 10
def load(paths, budget, transforms):
    small = paths[:1]
    steps = {"image": [sh.Resize((16, 16))] if transforms else []}
    options = dict(transforms=steps, capacity={} if transforms else {"image": 1 << 26}, memory_limit="64GiB")
    table = sh.Table({"image": sh.Images(paths)})
    with sh.Loader(table, num_workers=1, prefetch=1, max_sample_bytes=budget, **options) as loader:
        batches = iter(loader)
        next(batches)
        worker = pids(loader)[1]
        open(f"/proc/{worker}/clear_refs", "w").write("5")
        before = memory(worker, "VmRSS"), memory(worker, "RssAnon")
        errors = []
        for _ in paths[1:]:
            try:
                next(batches)
            except (sh.DecodeError, OSError) as error:
                errors.append(str(error))
        stats = loader.stats()
        say(json.dumps({
            "errors": errors, "restarts": stats["restarts"],
            "peak": memory(worker, "VmHWM") - before[0], "kept": memory(worker, "RssAnon") - before[1],
        }))
"""


def taken(folder: Path, *files: bytes, budget: int = BUDGET, transforms: bool = True) -> dict[str, Any]:
    """Loads a small image and then files; tells their errors, and what the worker took of memory and keeps."""
    small = io.BytesIO()
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(small, "PNG")
    paths = []
    for number, content in enumerate([small.getvalue(), *files]):
        paths.append(folder / f"{number}.image")
        paths[-1].write_bytes(content)
    return loaded(paths, budget, transforms=transforms)


def loaded(paths: list[Path], budget: int, *, transforms: bool = True) -> dict[str, Any]:
    status, out, err = run_trainer(f"{TRAINER}load({list(map(str, paths))}, {budget}, {transforms})")
    assert status == 0, err
    facts: dict[str, Any] = json.loads(out)
    assert facts["restarts"] == 0
    return facts


def zeros(count: int) -> bytes:
    packer = zlib.compressobj(9)
    parts = [packer.compress(bytes(MIB)) for _ in range(count // MIB)]
    return b"".join([*parts, packer.compress(bytes(count % MIB)), packer.flush()])


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(width: int, height: int, depth: int = 8, color: int = 2, more: bytes = b"") -> bytes:
    channels = {0: 1, 2: 3, 6: 4}[color]
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0))
    pixels = chunk(b"IDAT", zeros(height * (channels * depth // 8 * width + 1)))
    return b"\x89PNG\r\n\x1a\n" + header + more + pixels + chunk(b"IEND", b"")


def jpeg(width: int, height: int, *, progressive: bool) -> bytes:
    """A small JPEG whose header says another size."""
    out = io.BytesIO()
    Image.fromarray(np.zeros((16, 16, 3), np.uint8)).save(out, "JPEG", progressive=progressive)
    data = bytearray(out.getvalue())
    frame = data.index(b"\xff\xc2" if progressive else b"\xff\xc0")
    data[frame + 5 : frame + 9] = struct.pack(">HH", height, width)
    return bytes(data)


def webp(width: int, height: int, *, lossless: bool) -> bytes:
    if lossless:
        bits = (width - 1) | (height - 1) << 14
        kind, content = b"VP8L", b"\x2f" + struct.pack("<I", bits) + bytes(8)
    else:
        kind, content = b"VP8 ", b"\x10\x02\x00\x9d\x01\x2a" + struct.pack("<HH", width, height) + bytes(64)
    content += bytes(len(content) % 2)
    body = b"WEBP" + kind + struct.pack("<I", len(content)) + content
    return b"RIFF" + struct.pack("<I", len(body)) + body


def gif(width: int, height: int) -> bytes:
    screen = b"GIF89a" + struct.pack("<HHBBB", width, height, 0x80, 0, 0) + bytes(6)
    frame = b"," + struct.pack("<HHHHB", 0, 0, width, height, 0)
    return screen + frame + b"\x02\x02\x4c\x01\x00;"


def tiff(width: int, height: int, channels: int, bits: int) -> bytes:
    """One deflated strip of zeros."""
    strip = zeros(width * height * channels * bits // 8)
    entries = [
        (256, 4, 1, width),
        (257, 4, 1, height),
        (258, 3, 1, bits),
        (259, 3, 1, 8),
        (262, 3, 1, 2 if channels >= 3 else 1),
        (273, 4, 1, 8),
        (277, 3, 1, channels),
        (278, 4, 1, height),
        (279, 4, 1, len(strip)),
    ]
    if channels >= 3:
        at = 8 + len(strip)
        entries[2] = (258, 3, channels, at)
        strip += struct.pack("<4H", *[bits] * 4)
    if channels == 4:
        entries.append((338, 3, 1, 2))
    directory = struct.pack("<H", len(entries)) + b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return b"II*\0" + struct.pack("<I", 8 + len(strip)) + strip + directory + bytes(4)


def bmp(width: int, height: int) -> bytes:
    """Run-length encoded: an end of the bitmap, and no pixels."""
    palette = bytes(4)
    header = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 8, 1, 2, 0, 0, 1, 0)
    start = 14 + len(header) + len(palette)
    return b"BM" + struct.pack("<IHHI", start + 2, 0, 0, start) + header + palette + b"\0\1"


BOMBS: dict[str, Callable[[], bytes]] = {
    "PNG, wide": lambda: png(20_000_000, 1),
    "PNG, high": lambda: png(1, 5_000_000),
    "PNG of 16 bits and alpha": lambda: png(6000, 6000, depth=16, color=6),
    "JPEG": lambda: jpeg(12_000, 12_000, progressive=False),
    "JPEG, progressive": lambda: jpeg(12_000, 12_000, progressive=True),
    "WebP, lossless": lambda: webp(12_000, 12_000, lossless=True),
    "WebP, lossy": lambda: webp(12_000, 12_000, lossless=False),
    "GIF": lambda: gif(12_000, 12_000),
    "TIFF of 16 bits and alpha": lambda: tiff(6000, 6000, channels=4, bits=16),
    "TIFF": lambda: tiff(12_000, 12_000, channels=3, bits=8),
    "BMP": lambda: bmp(12_000, 12_000),
    "PNM": lambda: b"P6 12000 12000 255\n" + bytes(1000),
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_a_small_file_that_needs_much_memory_is_refused_first(tmp_path: Path, bomb: str) -> None:
    facts = taken(tmp_path, BOMBS[bomb]())
    (error,) = facts["errors"]
    assert "1.image" in error
    assert facts["peak"] <= BUDGET + SLACK, facts
    assert facts["kept"] <= SLACK, facts


@pytest.mark.parametrize("bomb", [name for name in BOMBS if not name.startswith("TIFF")])
def test_the_refusal_has_the_numbers(tmp_path: Path, bomb: str) -> None:
    (error,) = taken(tmp_path, BOMBS[bomb]())["errors"]
    assert re.search(rf"needs \d+ bytes.*max_sample_bytes is {BUDGET}", error) or "of weights" in error, error


CHUNKS: dict[str, Callable[[bytes], bytes]] = {
    "a colour profile": lambda content: chunk(b"iCCP", b"x\0\0" + content),
    "a text": lambda content: chunk(b"zTXt", b"Comment\0\0" + content),
    "an international text": lambda content: chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + content),
}


@pytest.mark.parametrize("kind", CHUNKS)
def test_a_side_chunk_that_inflates_is_not_inflated(tmp_path: Path, kind: str) -> None:
    # Whether the image is read or refused, its pixels need next to nothing.
    facts = taken(tmp_path, png(8, 8, more=CHUNKS[kind](zeros(512 * MIB))), budget=1024 * MIB)
    assert facts["peak"] <= 16 * MIB + SLACK, facts
    assert facts["errors"] == []


def test_a_file_is_not_read_beyond_the_budget(tmp_path: Path) -> None:
    small, large = tmp_path / "0.png", tmp_path / "1.png"
    for path in (small, large):
        path.write_bytes(png(8, 8))
    with large.open("r+b") as file:
        file.truncate(BUDGET + 1)
    facts = loaded([small, large], BUDGET)
    (error,) = facts["errors"]
    assert f"the file has {BUDGET + 1} bytes, after 8 bytes" in error
    assert f"max_sample_bytes is {BUDGET}" in error
    assert "1.png" in error
    assert facts["peak"] <= SLACK


def test_large_files_are_not_read_ahead(tmp_path: Path) -> None:
    size = 96 * MIB
    paths = [tmp_path / f"{number}.png" for number in range(8)]
    for path in paths:
        path.write_bytes(png(8, 8))
    for path in paths[1:]:
        with path.open("r+b") as file:
            file.truncate(size)
    facts = loaded(paths, 1024 * MIB)
    assert facts["errors"] == []
    assert facts["peak"] <= 2 * size + SLACK, facts
    assert facts["kept"] <= SLACK, facts


def image(kind: str) -> bytes:
    """An image of 9 megapixels, of some content."""
    out = io.BytesIO()
    y, x = np.mgrid[0:3000, 0:3000]
    pixels = np.stack([x // 12, y // 12, (x + y) // 24], -1).astype(np.uint8)
    format_, _, how = kind.partition(" ")
    options: dict[str, Any] = {"progressive": {"progressive": True}, "lossless": {"lossless": True}}.get(how, {})
    Image.fromarray(pixels).save(out, format_, **options)
    return out.getvalue()


KINDS = ["PNG", "JPEG", "JPEG progressive", "WEBP", "WEBP lossless", "GIF", "TIFF", "BMP", "PPM"]


def test_memory_is_given_back_after_an_outlier(tmp_path: Path) -> None:
    facts = taken(tmp_path, png(6000, 6000), budget=1024 * MIB)
    assert facts["errors"] == []
    assert facts["peak"] >= 64 * MIB
    assert facts["kept"] <= SLACK, facts


@pytest.mark.parametrize(("given", "message"), [(0, "max_sample_bytes"), ("many", "max_sample_bytes"), (-1, "1 to 2")])
def test_a_budget_that_is_none_is_refused(tmp_path: Path, given: int | str, message: str) -> None:
    (tmp_path / "0.png").write_bytes(png(8, 8))
    with pytest.raises(ValueError, match=message):
        sh.Loader(sh.Table({"image": sh.Images([tmp_path / "0.png"])}), max_sample_bytes=given)


@pytest.mark.parametrize("workers", [0, 2])
def test_there_must_be_memory_for_each_sample_in_work(tmp_path: Path, workers: int) -> None:
    (tmp_path / "0.png").write_bytes(png(8, 8))
    table = sh.Table({"image": sh.Images([tmp_path / "0.png"])})
    options: dict[str, Any] = {"capacity": {"image": 64}, "num_workers": workers}
    with pytest.raises(MemoryError, match=r"max_sample_bytes\) beside its slots needs .* lower max_sample_bytes"):
        sh.Loader(table, max_sample_bytes="1000000GiB", **options)
    with sh.Loader(table, max_sample_bytes="4MiB", **options) as loader:
        assert len(list(loader)) == 1
    # Rows of arrays take no memory of their own.
    with sh.Loader(sh.Arrays({"x": np.zeros(3)}), max_sample_bytes="1000000GiB", num_workers=workers) as loader:
        assert len(list(loader)) == 3
