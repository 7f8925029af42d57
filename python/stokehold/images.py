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
    *,
    out: npt.NDArray[np.uint8] | None = None,
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
        out: An array for the pixels, writable, C-contiguous, ``uint8`` of just their shape; a new one by default. While
            it is written, other threads must not use it. After an error its content is anything.

    Returns:
        The pixels, ``uint8`` of shape (height, width, 3): red, green, blue. Grey is repeated. This is `out` where that
        was given.

    Raises:
        DecodeError: The bytes are no JPEG, or a broken one that libjpeg-turbo does not read either; ``offset`` says
            where. Or the region does not lie in the image, or the scale is another.
        TypeError: An `out` that is no NumPy array.
        ValueError: An `out` of another shape or dtype, or one that is not C-contiguous and writable.
        OverflowError: A number of the region, or a scale, that no image can have: negative, or above 2^32.
    """
    data = data if isinstance(data, bytes) else bytes(data)
    height, width, pixels = _native.decode_jpeg(data, region, scale, out)
    if out is not None:
        return out
    return np.frombuffer(pixels, dtype=np.uint8).reshape(height, width, 3)
