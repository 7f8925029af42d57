"""WebP files, whole and in part, beside Pillow's pixels."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import stokehold as sh

Image = pytest.importorskip("PIL.Image")

KINDS: dict[str, dict[str, Any]] = {
    "lossy": {"quality": 60},
    "strong": {"quality": 5, "method": 6},
    "lossless": {"lossless": True},
    "exact": {"lossless": True, "exact": True},
}
"""What Pillow is told to write each with."""
SIZES = [(1, 1), (2, 3), (16, 16), (17, 33), (63, 40), (129, 70)]
"""(width, height)"""


def picture(width: int, height: int, channels: int) -> npt.NDArray[np.uint8]:
    """Smooth colours with noise on them, so that neighbours differ and every block has something to filter."""
    random = np.random.default_rng(width * 1000 + height)
    y, x = np.mgrid[0:height, 0:width]
    planes = [128 + 100 * np.sin((x * (1 + at) + y * (3 - at)) / 9) for at in range(channels)]
    return np.clip(np.stack(planes, -1) + random.normal(0, 25, (height, width, channels)), 0, 255).astype(np.uint8)


def encoded(pixels: npt.NDArray[np.uint8], **options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "WEBP", **options)
    return buffer.getvalue()


FILES: dict[str, bytes] = {
    f"{width}x{height} {channels} {kind}": encoded(picture(width, height, channels), **options)
    for width, height in SIZES
    for channels in (3, 4)
    for kind, options in KINDS.items()
}


def by_pillow(data: bytes, mode: str) -> npt.NDArray[np.uint8]:
    return np.asarray(Image.open(io.BytesIO(data)).convert(mode))


def read(files: list[bytes], transforms: list[sh.Transform], **options: Any) -> list[npt.NDArray[Any]]:
    """Returns each file as a batch of one."""
    table = sh.Table({"image": sh.Images(files)})
    with sh.Loader(
        table, batch_size=1, num_workers=0, shuffle=False, transforms={"image": transforms}, **options
    ) as loader:
        return [
            np.asarray(batch["image"][0]).copy() if isinstance(batch["image"], sh.Ragged) else batch["image"][0].copy()
            for batch in loader
        ]


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_pixels_are_those_of_pillow(mode: Any) -> None:
    found = read(list(FILES.values()), [sh.DecodeImage(mode=mode)], capacity={"image": 129 * 70})
    for (name, data), pixels in zip(FILES.items(), found, strict=True):
        assert np.array_equal(pixels, by_pillow(data, mode)), name


def test_a_part_has_the_pixels_of_the_whole() -> None:
    """Every parity of both corners, and every distance to the edges that libwebp's filters reach over."""
    data = [data for name, data in FILES.items() if name.startswith("63x40")]
    for size in ((9, 12), (10, 31), (39, 62)):
        # Many draws of one file each.
        parts = read(data * 60, [sh.RandomCrop(size)])
        for at, part in enumerate(parts):
            whole = by_pillow(data[at % len(data)], "RGB")
            windows = np.lib.stride_tricks.sliding_window_view(whole, (*size, 3)).reshape(-1, *size, 3)
            assert (windows == part).all(axis=(1, 2, 3)).any(), (at, size)


def test_the_first_image_of_an_animation() -> None:
    frames = [Image.fromarray(picture(40, 30, 4)), Image.fromarray(picture(40, 30, 4)[::-1].copy())]
    options: dict[str, Any]
    for options in ({"lossless": True}, {"quality": 70}, {"minimize_size": True}):
        buffer = io.BytesIO()
        frames[0].save(buffer, "WEBP", save_all=True, append_images=frames[1:], duration=50, **options)
        data = buffer.getvalue()
        (found,) = read([data], [sh.DecodeImage(mode="RGBA")], capacity={"image": 1200})
        assert np.array_equal(found, by_pillow(data, "RGBA"))


def test_an_image_smaller_than_its_canvas_leaves_it_transparent() -> None:
    image = encoded(picture(10, 6, 4), lossless=True)
    frame = b"".join([*(number.to_bytes(3, "little") for number in (2, 4, 9, 5, 50)), b"\0", image[12:]])
    # Pillow writes an extended header where there is alpha.
    frame = frame[:16] + image[image.index(b"VP8L") :]
    chunks = [
        (b"VP8X", bytes([0x12, 0, 0, 0]) + (19).to_bytes(3, "little") + (29).to_bytes(3, "little")),
        (b"ANIM", bytes(6)),
        (b"ANMF", frame),
    ]
    body = b"WEBP" + b"".join(
        name + len(data).to_bytes(4, "little") + data + b"\0" * (len(data) % 2) for name, data in chunks
    )
    data = b"RIFF" + len(body).to_bytes(4, "little") + body
    (found,) = read([data], [sh.DecodeImage(mode="RGBA")], capacity={"image": 600})
    assert np.array_equal(found, by_pillow(data, "RGBA"))
    assert np.array_equal(found[8:14, 4:14], by_pillow(image, "RGBA"))
    assert found.any(axis=2).sum() <= 60


def test_a_file_that_is_cut_is_a_bad_sample() -> None:
    data = FILES["63x40 3 lossy"]
    for len_ in (20, len(data) // 2, len(data) - 2):
        with pytest.raises(sh.DecodeError, match=r"as WebP: unexpected end of data"):
            read([data[:len_]], [], capacity={"image": 63 * 40})


@pytest.mark.parametrize("options", [{"quality": 90}, {"lossless": True}])
@pytest.mark.parametrize("channels", [3, 4])
def test_a_scaled_decode_is_close_and_only_where_asked_for(channels: int, options: dict[str, Any]) -> None:
    y, x = np.mgrid[0:389, 0:517]
    planes = [128 + 100 * np.sin((x * (1 + at) + y * (3 - at)) / 90) for at in range(channels)]
    data = encoded(np.stack(planes, -1).astype(np.uint8), **options)
    mode: Any = "RGB" if channels == 3 else "RGBA"
    last: sh.Transform
    for last in (sh.Resize((64, 96)), sh.RandomResizedCrop(30, scale=(0.05, 0.6))):
        whole, scaled = (
            np.stack(read([data] * 40, [sh.DecodeImage(mode=mode, scaled_decode=may), last])).astype(int)
            for may in (False, True)
        )
        difference = np.abs(whole - scaled)
        # A region begins a pixel of the file earlier at most, which is 4 in the steepest direction of the steepest
        # channel, and its own reduction takes means where `Resize` interpolates.
        assert 0 < difference.mean() < 3
        assert difference.mean(axis=(1, 2, 3)).max() < 4
