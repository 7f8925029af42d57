"""Single images against Pillow and simplejpeg, which both bring libjpeg-turbo: the same pixels, bit for bit."""

from __future__ import annotations

import io
import struct
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import simplejpeg
import sklearn.datasets
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFile, ImageOps

import stokehold as sh
from beside_pillow import Box, by_pillow, check_scaled, check_whole_and_part

PHOTOGRAPHS: list[npt.NDArray[np.uint8]] = list(sklearn.datasets.load_sample_images().images)

QUALITIES = st.sampled_from([1, 10, 35, 50, 75, 85, 92, 95, 98, 100])


@st.composite
def pictures(draw: st.DrawFn) -> npt.NDArray[np.uint8]:
    """Pieces of photographs, and now and then noise, which fills every coefficient."""
    height, width = draw(st.integers(1, 90)), draw(st.integers(1, 90))
    if draw(st.integers(0, 9)) == 0:
        rng = np.random.default_rng(draw(st.integers(0, 2**32)))
        return rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    photograph = PHOTOGRAPHS[draw(st.integers(0, len(PHOTOGRAPHS) - 1))]
    top = draw(st.integers(0, photograph.shape[0] - height))
    left = draw(st.integers(0, photograph.shape[1] - width))
    return np.ascontiguousarray(photograph[top : top + height, left : left + width])


@st.composite
def written_by_pillow(draw: st.DrawFn) -> bytes:
    image = Image.fromarray(draw(pictures()))
    options: dict[str, Any] = {"quality": draw(QUALITIES), "optimize": draw(st.booleans())}
    options["progressive"] = draw(st.booleans())
    kind = draw(st.sampled_from(["colour", "grey", "rgb", "inks"]))
    if kind == "grey":
        image = image.convert("L")
    elif kind == "inks":
        image = image.convert("CMYK")
    elif kind == "rgb":
        options["keep_rgb"] = True
    else:
        options["subsampling"] = draw(st.sampled_from(["4:4:4", "4:2:2", "4:2:0"]))
    if draw(st.booleans()):
        options["restart_marker_blocks"] = draw(st.integers(1, 30))
    if draw(st.integers(0, 4)) == 0:
        # Steps above 255 take 16 bits.
        factor = draw(st.sampled_from([1, 20, 300]))
        options["qtables"] = [[min(1 + factor * at, 32767) for at in range(64)]] * 2
        del options["quality"]
    return _saved(image, **options)


@st.composite
def written_by_turbo(draw: st.DrawFn) -> bytes:
    layout = draw(st.sampled_from(["444", "422", "420", "440", "411"]))
    encoded: bytes = simplejpeg.encode_jpeg(draw(pictures()), quality=draw(QUALITIES), colorsubsampling=layout)
    return encoded


def _saved(image: Image.Image, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, "JPEG", **options)
    return file.getvalue()


@settings(max_examples=150, deadline=None)
@given(data=st.one_of(written_by_pillow(), written_by_turbo()), box=st.tuples(*[st.floats(0, 1)] * 4))
def test_pixels_and_regions_are_those_of_libjpeg_turbo(data: bytes, box: Box) -> None:
    check_whole_and_part(data, box)


@pytest.mark.parametrize("scale", [2, 4, 8])
@settings(max_examples=40, deadline=None)
@given(data=written_by_pillow())
def test_scaled_pixels_are_those_of_libjpeg_turbo(data: bytes, scale: Any) -> None:
    check_scaled(data, scale)


def test_scans_of_one_component_each_are_read() -> None:
    """No encoder at hand writes them, so the scans of three grey files are put into one file."""
    picture = Image.fromarray(PHOTOGRAPHS[1][:50, :70])
    planes = [_saved(plane, quality=80) for plane in picture.convert("YCbCr").split()]
    parts = [_scan(data) for data in planes]
    head = planes[0][: planes[0].index(b"\xff\xc0")]
    frame = b"\xff\xc0" + struct.pack(">HBHHB", 17, 8, 50, 70, 3) + b"".join(bytes([n, 0x11, 0]) for n in (1, 2, 3))
    tables = planes[0][planes[0].index(b"\xff\xc4") : planes[0].index(b"\xff\xda")]
    scans = b"".join(b"\xff\xda" + struct.pack(">HB", 8, 1) + bytes([n + 1, 0, 0, 63, 0]) + parts[n] for n in range(3))
    data = head + frame + tables + scans + b"\xff\xd9"

    np.testing.assert_array_equal(sh.decode_jpeg(data), by_pillow(data))
    np.testing.assert_array_equal(sh.decode_jpeg(data, (30, 40, 9, 9)), by_pillow(data)[30:39, 40:49])


def _scan(data: bytes) -> bytes:
    start = data.index(b"\xff\xda")
    return data[start + 2 + int.from_bytes(data[start + 2 : start + 4]) : data.rindex(b"\xff\xd9")]


def test_any_bytes_and_arrays_of_them_are_taken() -> None:
    data = _saved(Image.fromarray(PHOTOGRAPHS[0][:9, :9]))
    expected = sh.decode_jpeg(data)
    assert expected.flags.writeable
    for other in (bytearray(data), memoryview(data)):
        np.testing.assert_array_equal(sh.decode_jpeg(other), expected)


def test_what_cannot_be_decoded_says_why_and_where() -> None:
    data = _saved(Image.fromarray(PHOTOGRAPHS[0][:64, :64]))
    with pytest.raises(sh.DecodeError, match="unexpected end of data") as caught:
        sh.decode_jpeg(data[:-20])
    assert (caught.value.offset, caught.value.index) == (len(data) - 20, None)
    with pytest.raises(sh.DecodeError, match="is not an image format"):
        sh.decode_jpeg(b"GIF")
    with pytest.raises(sh.DecodeError, match="it is GIF"):
        sh.decode_jpeg(b"GIF89a")
    with pytest.raises(sh.DecodeError, match="does not lie in the image of 64x64"):
        sh.decode_jpeg(data, (0, 0, 65, 1))
    for corner in (-1, 64, 2**31, 2**32 - 1, 2**32, 2**63 - 1):
        for region in ((corner, 0, 1, 1), (0, corner, 1, 1), (corner, corner, 2**32 - 1, 2**32 - 1)):
            with pytest.raises(sh.DecodeError, match="does not lie in the image of 64x64"):
                sh.decode_jpeg(data, region)
    with pytest.raises(ValueError, match="decode_jpeg: scale must be 1, 2, 4 or 8, not 3"):
        sh.decode_jpeg(data, scale=3)  # type: ignore[arg-type]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_applied_where_asked_for(tmp_path: Any, orientation: int) -> None:
    folder = tmp_path / "a"
    folder.mkdir()
    image = Image.fromarray(PHOTOGRAPHS[0][:40, :60])
    exif = image.getexif()
    exif[0x0112] = orientation
    image.save(folder / "x.jpg", exif=exif, quality=95)
    upright = by_pillow((folder / "x.jpg").read_bytes())
    turned = np.asarray(ImageOps.exif_transpose(Image.open(folder / "x.jpg")))
    for apply, expected in ((False, upright), (True, turned)):
        height, width, _ = expected.shape
        chain = [sh.DecodeImage(apply_exif_orientation=apply), sh.CenterCrop((height, width))]
        with sh.Loader(sh.ImageFolder(tmp_path), transforms={"image": chain}, num_workers=0) as loader:
            np.testing.assert_array_equal(next(iter(loader))["image"][0], expected)


def test_a_truncated_file_is_padded_where_asked_for(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "a"
    folder.mkdir()
    data = _saved(Image.fromarray(PHOTOGRAPHS[0][:200, :200]), quality=90)
    (folder / "x.jpg").write_bytes(data[: len(data) * 2 // 3])
    crop = sh.CenterCrop(200)
    with (
        sh.Loader(sh.ImageFolder(tmp_path), transforms={"image": [crop]}, num_workers=1) as loader,
        pytest.raises(sh.DecodeError, match="unexpected end of data at byte"),
    ):
        next(iter(loader))
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    expected = by_pillow((folder / "x.jpg").read_bytes())
    chain = [sh.DecodeImage(truncated="pad"), crop]
    with sh.Loader(sh.ImageFolder(tmp_path), transforms={"image": chain}, num_workers=1) as loader:
        found = next(iter(loader))["image"][0]
    # What was read of the rows is the same; for the rest, Pillow leaves black and libjpeg grey.
    np.testing.assert_array_equal(found[:96], expected[:96])
    assert np.all(found[-1] == 128)


def test_scaled_decode_is_close_and_only_where_asked_for(tmp_path: Any) -> None:
    folder = tmp_path / "a"
    folder.mkdir()
    Image.fromarray(PHOTOGRAPHS[0]).save(folder / "x.jpg", quality=95)
    batches = []
    for scaled in (False, True):
        chain = [sh.DecodeImage(scaled_decode=scaled), sh.Resize((64, 96))]
        with sh.Loader(sh.ImageFolder(tmp_path), transforms={"image": chain}, num_workers=0) as loader:
            batches.append(next(iter(loader))["image"][0].astype(int))
    difference = np.abs(batches[0] - batches[1])
    assert 0 < difference.mean() < 3


def test_options_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match="max_pixels"):
        sh.DecodeImage(max_pixels=0)
    with pytest.raises(ValueError, match="DecodeImage: truncated must be one of 'error', 'pad', not 'guess'"):
        sh.DecodeImage(truncated="guess")  # type: ignore[arg-type]
    labels = sh.Arrays({"x": np.zeros((1, 4, 4, 3), np.uint8)})
    with pytest.raises(ValueError, match="goes with an encoded image"):
        sh.Loader(labels, transforms={"x": [sh.DecodeImage()]}, num_workers=0)


def test_a_frame_of_motion_jpeg_is_pillows() -> None:
    """Such a frame leaves out the Huffman tables, and means those of the standard."""
    data = _saved(Image.fromarray(PHOTOGRAPHS[0][:90, :120]), quality=85)
    bare, at = data[:2], 2
    while data[at + 1] != 0xDA:
        length = int.from_bytes(data[at + 2 : at + 4]) + 2
        bare += b"" if data[at + 1] == 0xC4 else data[at : at + length]
        at += length
    assert at - len(bare) > 400
    bare += data[at:]
    np.testing.assert_array_equal(sh.decode_jpeg(bare), by_pillow(bare))
