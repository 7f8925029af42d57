"""What `decode_jpeg` gives of a file, beside Pillow."""

from __future__ import annotations

import io
from typing import Literal

import numpy as np
import numpy.typing as npt
from PIL import Image

import stokehold as sh

Box = tuple[float, float, float, float]
"""Where a part begins, down and across, and how far it reaches of what is left: shares of the image."""


def by_pillow(data: bytes) -> npt.NDArray[np.uint8]:
    """Returns a file's pixels, red, green and blue."""
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def check_whole_and_part(data: bytes, box: Box) -> None:
    """Asserts that the whole and a part of it have Pillow's pixels."""
    expected = by_pillow(data)
    height, width, _ = expected.shape
    top, left = int(box[0] * (height - 1)), int(box[1] * (width - 1))
    high, wide = 1 + int(box[2] * (height - top - 1)), 1 + int(box[3] * (width - left - 1))
    np.testing.assert_array_equal(sh.decode_jpeg(data), expected)
    part = sh.decode_jpeg(data, (top, left, high, wide))
    np.testing.assert_array_equal(part, expected[top : top + high, left : left + wide])


def check_scaled(data: bytes, scale: Literal[1, 2, 4, 8]) -> None:
    """Asserts that the image made smaller while it is decoded has Pillow's pixels."""
    image = Image.open(io.BytesIO(data))
    whole, size = image.size, (-(-image.width // scale), -(-image.height // scale))
    image.draft(image.mode, size)
    # An image smaller than a block may have the size of one that is scaled by more than Pillow's `draft` takes for it.
    taken = min(whole[0] // size[0], whole[1] // size[1])
    if image.size != size or taken < scale:
        return
    np.testing.assert_array_equal(sh.decode_jpeg(data, scale=scale), np.asarray(image.convert("RGB")))
