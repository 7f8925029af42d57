"""Images by themselves, without a loader."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Final, Literal, TypeAlias, get_args

import numpy as np
import numpy.typing as npt

from stokehold import _native
from stokehold.checks import as_integer, items, shown, whole

__all__ = ["decode_jpeg"]

Scale: TypeAlias = Literal[1, 2, 4, 8]


def decode_jpeg(
    data: bytes | bytearray | memoryview,
    region: Sequence[int] | None = None,
    scale: Scale = 1,
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
            where. Or the region does not lie in the image.
        TypeError: An argument is of another type; `data` is a path, for example.
        ValueError: A region that is not four numbers, or one of them that no image can have; or another scale. An `out`
            of another shape or dtype, or one that is not C-contiguous and writable.
    """
    if not isinstance(data, bytes):
        data = _bytes(data)
    box = None
    if region is not None:
        numbers = items("decode_jpeg: region", region, _REGION)
        if len(numbers) != len(_REGION.split(", ")):
            raise ValueError(f"decode_jpeg: region must be {_REGION}, not {shown(region)}")
        # A corner may be anywhere, and then is not in the image.
        top, left = (whole(f"decode_jpeg: region[{at}]", numbers[at], -(2**63), 2**63 - 1) for at in (0, 1))
        height, width = (whole(f"decode_jpeg: region[{at}]", numbers[at]) for at in (2, 3))
        box = (top, left, height, width)
    shrinks = as_integer(scale)
    if shrinks is None or shrinks not in get_args(Scale):
        kind = TypeError if shrinks is None else ValueError
        raise kind(f"decode_jpeg: scale must be 1, 2, 4 or 8, not {shown(scale)}")
    height, width, pixels = _native.decode_jpeg(data, box, shrinks, out)
    if out is not None:
        return out
    return np.frombuffer(pixels, dtype=np.uint8).reshape(height, width, 3)


_REGION: Final = "(top, left, height, width)"


def _bytes(data: object) -> bytes:
    if isinstance(data, str | os.PathLike):
        raise TypeError(
            "decode_jpeg: data must be the bytes of a file, not its path: read the contents, "
            f"Path({shown(os.fspath(data))}).read_bytes()"
        )
    try:
        return bytes(memoryview(data))  # type: ignore[arg-type]
    except TypeError:
        raise TypeError(f"decode_jpeg: data must be the bytes of a file, not {shown(data)}") from None
