"""Images by themselves, without a loader."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

from stokehold import _native

__all__ = ["decode_jpeg"]


def decode_jpeg(
    data: bytes | bytearray | memoryview,
    region: tuple[int, int, int, int] | None = None,
    scale: Literal[1, 2, 4, 8] = 1,
) -> npt.NDArray[np.uint8]:
    """Decodes a JPEG, or a part of one.

    Baseline files, which most are, give the pixels of libjpeg-turbo with its defaults, bit for bit. Progressive and
    CMYK files are decoded by another decoder, whose pixels may differ by a few units. Other threads run meanwhile.

    Args:
        data: The file's bytes.
        region: (top, left, height, width) of the part that is wanted; the whole by default. What lies outside takes
            little time (above and beside) or none (below).
        scale: By how much the image is made smaller: 1, 2, 4 or 8. The region counts pixels of the smaller image,
            whose height and width are those of the file divided by this and rounded up.

    Returns:
        The pixels, ``uint8`` of shape (height, width, 3): red, green, blue. Grey is repeated.

    Raises:
        DecodeError: The bytes are no JPEG, or a broken one; ``offset`` says where. Or the region does not lie in the
            image, or the scale is another.
    """
    height, width, pixels = _native.decode_jpeg(data if isinstance(data, bytes) else bytes(data), region, scale)
    return np.frombuffer(pixels, dtype=np.uint8).reshape(height, width, 3)
