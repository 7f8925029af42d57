"""Damaged files beside Pillow: the same are read, with the same pixels, and damage is counted or refused as asked."""

from __future__ import annotations

import io
import random
import struct
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import sklearn.datasets
from PIL import Image, PngImagePlugin, UnidentifiedImageError

import stokehold as sh

PHOTOGRAPHS: list[npt.NDArray[np.uint8]] = list(sklearn.datasets.load_sample_images().images)

SCAN, END = b"\xff\xda", b"\xff\xd9"

KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "4:2:0": ("RGB", {"subsampling": "4:2:0"}),
    "4:2:2": ("RGB", {"subsampling": "4:2:2"}),
    "4:4:4": ("RGB", {"subsampling": "4:4:4"}),
    "grey": ("L", {}),
    "inks": ("CMYK", {}),
    "optimised tables": ("RGB", {"optimize": True}),
    "restart markers": ("RGB", {"subsampling": "4:2:0", "restart_marker_blocks": 2}),
    "restart markers, a row each": ("L", {"restart_marker_rows": 1}),
    "restart markers, optimised tables": ("RGB", {"optimize": True, "restart_marker_blocks": 3}),
    "progressive, 4:2:0": ("RGB", {"progressive": True, "subsampling": "4:2:0"}),
    "progressive, 4:4:4": ("RGB", {"progressive": True, "subsampling": "4:4:4"}),
    "progressive, grey": ("L", {"progressive": True}),
    "progressive, restart markers": ("RGB", {"progressive": True, "restart_marker_blocks": 3}),
}


def _files(kind: str, count: int) -> list[bytes]:
    """Small pieces of photographs."""
    mode, options = KINDS[kind]
    files = []
    for number in range(count):
        chance = random.Random(f"{kind} {number}")
        photograph = PHOTOGRAPHS[number % len(PHOTOGRAPHS)]
        height, width = chance.randint(40, 120), chance.randint(40, 160)
        top, left = chance.randint(0, 427 - height), chance.randint(0, 640 - width)
        image = Image.fromarray(np.ascontiguousarray(photograph[top : top + height, left : left + width])).convert(mode)
        files.append(_saved(image, "JPEG", quality=chance.choice([30, 60, 85, 95]), **options))
    return files


def _saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def _replaced(data: bytes, at: int, new: bytes) -> bytes:
    return data[:at] + new + data[at + len(new) :]


# What Pillow raises for what it cannot read.
PILLOWS_ERRORS = (OSError, SyntaxError, ValueError, IndexError, TypeError, struct.error, Image.DecompressionBombError)

MARKERS = [*range(0xD0, 0xD8), 0xD9, 0xDA, 0xC0, 0xC4, 0xCC, 0xDB, 0xDD, 0xE1, 0xFE, 0x05, 0xFF]

DAMAGE: list[Callable[[bytes, int, random.Random], bytes]] = [
    lambda data, at, chance: _replaced(data, at, chance.randbytes(1)),
    lambda data, at, chance: _replaced(data, at, bytes([data[at] ^ 1 << chance.randrange(8)])),
    lambda data, at, chance: _replaced(data, at, chance.randbytes(chance.randint(2, 40)))[: len(data)],
    lambda data, at, chance: _replaced(data, at, bytes(chance.randint(2, 40)))[: len(data)],
    lambda data, at, chance: _replaced(data, at, b"\xff\0" * chance.randint(1, 8))[: len(data)],
    lambda data, at, chance: _replaced(data, at, bytes([0xFF, chance.choice(MARKERS)])),
    lambda data, at, chance: data[:at] + data[at + chance.randint(1, 40) :],
    lambda data, at, chance: data[:at] + chance.randbytes(chance.randint(1, 40)) + data[at:],
    lambda data, at, chance: data[: at + chance.randint(1, 40)] + data[at:],
    lambda data, at, _: data[:at] + END,
    lambda data, at, _: data[:at],
]


def _damaged(data: bytes, chance: random.Random) -> bytes:
    """Damages a file in one place, now and then in two or three, mostly behind its headers."""
    for _ in range(chance.choice([1, 1, 1, 1, 2, 3])):
        first = 2 if chance.random() < 0.15 else data.find(SCAN) + len(SCAN)
        if first + 20 < len(data):
            data = chance.choice(DAMAGE)(data, chance.randrange(first, len(data) - 2), chance)
    return data


def _pillow(data: bytes) -> npt.NDArray[np.uint8] | Exception:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
        except PILLOWS_ERRORS as error:
            return error


def _ours(data: bytes) -> npt.NDArray[np.uint8] | sh.DecodeError:
    try:
        return sh.decode_jpeg(data)
    except sh.DecodeError as error:
        return error


def _difference(data: bytes) -> str | None:
    """Tells how a file is read otherwise than by Pillow, or nothing."""
    theirs, ours = _pillow(data), _ours(data)
    if isinstance(theirs, Exception):
        # Pillow's own reader of headers refuses what libjpeg reads, such as a TEM marker.
        by_itself = isinstance(theirs, UnidentifiedImageError) or not isinstance(theirs, OSError)
        return None if by_itself or isinstance(ours, sh.DecodeError) else f"Pillow refuses it: {theirs}"
    if isinstance(ours, sh.DecodeError):
        # Behind the pixels libjpeg reads up to eight bytes more, or not, by where it began to read; here they must be
        # there. Only files that end without any marker come to that.
        has_no_end = END not in data[data.find(SCAN) :] and "unexpected end of data" in str(ours)
        return None if has_no_end else f"it is refused: {ours}"
    if ours.shape != theirs.shape:
        return f"{ours.shape}, by Pillow {theirs.shape}"
    return None if np.array_equal(ours, theirs) else f"{(ours != theirs).any(axis=-1).sum()} pixels differ"


FEW, FEW_FILES = 60, 5
MANY, MANY_FILES = 10_000, 50


@pytest.mark.parametrize(
    ("count", "files"),
    [(FEW, FEW_FILES), pytest.param(MANY, MANY_FILES, marks=[pytest.mark.thorough, pytest.mark.timeout(3600)])],
)
@pytest.mark.parametrize("kind", KINDS)
def test_damaged_files_are_read_as_pillow_reads_them(kind: str, count: int, files: int) -> None:
    sound = _files(kind, files)
    differences = {}
    for number in range(count):
        chance = random.Random(f"{kind} {count} {number}")
        data = _damaged(chance.choice(sound), chance)
        # libjpeg-turbo's fast and slow ways to read bits differ in two fill bytes before a zero: what the fast one took
        # them for stays in the block.
        difference = None if b"\xff\xff\0" in data else _difference(data)
        if difference:
            differences[number] = difference

    assert not differences


def _image(mode: str) -> Image.Image:
    return Image.fromarray(PHOTOGRAPHS[0][:70, :90]).convert(mode)


def _loaded(path: Path, **options: Any) -> tuple[npt.NDArray[np.uint8], dict[str, Any]]:
    """Returns an image as a loader gives it, and what the loader counted."""
    table = sh.Table({"image": sh.Images([path])})
    transforms = {"image": [sh.DecodeImage(**options)]}
    with sh.Loader(table, transforms=transforms, capacity={"image": 100_000}, num_workers=0) as loader:
        return np.array(next(iter(loader))["image"][0]), loader.stats()


def test_damage_is_counted_or_refused(tmp_path: Path) -> None:
    path = tmp_path / "image.jpg"
    sound = _saved(_image("RGB"), "JPEG")
    path.write_bytes(sound)
    _, stats = _loaded(path, corrupt="error")
    assert stats["damaged_images"] == 0

    middle = (sound.index(SCAN) + len(sound)) // 2
    damaged = sound[:middle] + END
    path.write_bytes(damaged)
    found, stats = _loaded(path)
    np.testing.assert_array_equal(found, _pillow(damaged))
    assert stats["damaged_images"] == 1
    with pytest.raises(sh.DecodeError, match="a marker before the end of the scan"):
        _loaded(path, corrupt="error")
    # A file that ends too early is no damaged one.
    path.write_bytes(sound[:middle])
    with pytest.raises(sh.DecodeError, match="unexpected end of data"):
        _loaded(path)
    padded, stats = _loaded(path, truncated="pad", corrupt="error")
    np.testing.assert_array_equal(padded, found)
    assert stats["damaged_images"] == 1


def test_what_is_neither_is_refused() -> None:
    with pytest.raises(ValueError, match="DecodeImage: corrupt must be one of 'decode', 'error', not 'ignore'"):
        sh.DecodeImage(corrupt="ignore")  # type: ignore[arg-type]


def _png(mode: str) -> bytes:
    text = PngImagePlugin.PngInfo()
    text.add_text("Before", "the pixels")
    return _saved(_image(mode), "PNG", pnginfo=text)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "P"])
def test_a_png_with_harmless_damage_is_read_as_pillow_reads_it(tmp_path: Path, mode: str) -> None:
    path, sound = tmp_path / "image.png", _png(mode)
    pixels = sound.index(b"IDAT")
    end = sound.rindex(b"IEND") - 4
    checksum = bytes([sound[end - 1] ^ 1])
    files = {
        "no end": sound[:end],
        "half an end": sound[: end + 5],
        "a wrong checksum of the pixels": _replaced(sound, end - 1, checksum),
        "no checksum of the pixels": sound[: end - 4],
        "half of a chunk's head behind the pixels": sound[:end] + b"\0\0\0\x20tE",
    }
    for damage, data in files.items():
        path.write_bytes(data)
        found, stats = _loaded(path)
        np.testing.assert_array_equal(found, _pillow(data), damage)
        assert stats["damaged_images"] == 1, damage
        with pytest.raises(sh.DecodeError, match="as PNG"):
            _loaded(path, corrupt="error")
    # Bytes behind the pixels that are no chunk hurt nobody, nor does a sound file.
    for data in (sound, sound[:end] + bytes(30)):
        path.write_bytes(data)
        found, stats = _loaded(path, corrupt="error")
        np.testing.assert_array_equal(found, _pillow(data))
        assert stats["damaged_images"] == 0
    # Nor does a chunk behind the pixels that is cut, which Pillow refuses: all pixels are there.
    path.write_bytes(sound[:end] + b"\0\0\0\x20tEXtabc")
    np.testing.assert_array_equal(_loaded(path)[0], _pillow(sound))
    # What is lost or changed of the pixels is an error, as for Pillow.
    for data in (sound[: end - 40], _replaced(sound, end - 5, bytes([sound[end - 5] ^ 1])), sound[: pixels + 4]):
        assert isinstance(_pillow(data), Exception)
        path.write_bytes(data)
        with pytest.raises(sh.DecodeError, match="as PNG"):
            _loaded(path)


def test_an_ancillary_chunk_with_a_wrong_checksum_is_passed_over(tmp_path: Path) -> None:
    """As libpng does it; Pillow refuses the file."""
    path, sound = tmp_path / "image.png", _png("RGB")
    path.write_bytes(sound.replace(b"the pixels", b"the pixelz"))

    found, _ = _loaded(path)

    np.testing.assert_array_equal(found, _pillow(sound))


def test_pixels_go_to_an_array_that_is_given() -> None:
    data = _saved(_image("RGB"), "JPEG")
    expected = sh.decode_jpeg(data)
    out = np.zeros((3, 70, 90, 3), np.uint8)

    found = sh.decode_jpeg(data, out=out[1])

    assert np.shares_memory(found, out)
    np.testing.assert_array_equal(out[1], expected)
    assert not out[0].any()
    assert not out[2].any()
    part = np.zeros((5, 6, 3), np.uint8)
    assert sh.decode_jpeg(data, (10, 20, 5, 6), out=part) is part
    np.testing.assert_array_equal(part, expected[10:15, 20:26])
    small = np.zeros((35, 45, 3), np.uint8)
    np.testing.assert_array_equal(sh.decode_jpeg(data, scale=2, out=small), sh.decode_jpeg(data, scale=2))


@pytest.mark.parametrize(
    ("out", "error", "reason"),
    [
        (np.zeros((70, 90), np.uint8), ValueError, r"its shape is \[70, 90\], and must be \[70, 90, 3\]"),
        (np.zeros((90, 70, 3), np.uint8), ValueError, "its shape is"),
        (np.zeros((70, 90, 3), np.int8), ValueError, "its dtype is int8, and must be uint8"),
        (np.zeros((70, 90, 3), np.float32), ValueError, "its dtype is float32"),
        (np.zeros((70, 90, 6), np.uint8)[..., ::2], ValueError, "C-contiguous"),
        (np.zeros((70, 90, 3), np.uint8, order="F"), ValueError, "C-contiguous"),
        (np.zeros((70, 90, 3), np.uint8)[::-1], ValueError, "C-contiguous"),
        (np.broadcast_to(np.uint8(0), (70, 90, 3)), ValueError, "C-contiguous"),
        (np.frombuffer(bytes(70 * 90 * 3), np.uint8).reshape(70, 90, 3), ValueError, "writable"),
        (bytearray(70 * 90 * 3), TypeError, "a NumPy array"),
    ],
)
def test_an_array_that_pixels_do_not_fit_is_refused(out: Any, error: type[Exception], reason: str) -> None:
    data = _saved(_image("RGB"), "JPEG")

    with pytest.raises(error, match=f"decode_jpeg: out: .*{reason}"):
        sh.decode_jpeg(data, out=out)
