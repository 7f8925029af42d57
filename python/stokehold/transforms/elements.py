"""How an image is decoded, and what becomes of its elements once its pixels are where they belong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias

from stokehold.checks import as_truth, shown
from stokehold.transforms.arguments import DTypeLike
from stokehold.transforms.base import Transform, as_plain, listed, number, unsent

__all__ = [
    "IMAGENET_MEAN",
    "IMAGENET_STD",
    "DecodeImage",
    "Layout",
    "Mode",
    "Normalize",
    "RandomErasing",
    "ToDtype",
    "ToLayout",
]

Layout: TypeAlias = Literal["HWC", "CHW"]
"""The place of the channel axis: last, or first."""


Mode: TypeAlias = Literal["RGB", "L", "LA", "RGBA", "unchanged"]
"""The channels of decoded pixels: Pillow's names, or those that each file has."""


IMAGENET_MEAN: Final = (0.485, 0.456, 0.406)
"""The mean of ImageNet's pixels in [0, 1], red, green, blue."""


IMAGENET_STD: Final = (0.229, 0.224, 0.225)
"""The standard deviation of ImageNet's pixels in [0, 1], red, green, blue."""


@dataclass(frozen=True)
class DecodeImage(Transform):
    """Says how encoded images are decoded. It stands first in the list; without it, the defaults hold.

    Args:
        scaled_decode: Whether a JPEG or a WebP that is reduced anyway may be decoded to 1/2, 1/4 or 1/8 of its size,
            never below what is asked for. Faster where photographs are much larger than that; the pixels are slightly
            others.
        truncated: What becomes of a JPEG that ends too early: ``"error"``, as in Pillow, or ``"pad"``, which fills what
            is missing, mostly with grey, as libjpeg does. A marker inside the pixels is damage, not an early end.
        apply_exif_orientation: Whether images are turned as their EXIF orientation says, or XMP's where EXIF has none,
            as by Pillow's ``ImageOps.exif_transpose``; False, as in torchvision. A TIFF is turned in any case, as in
            Pillow.
        max_pixels: The most pixels an image may have. A larger one is refused by its header, before memory is taken.
            178,956,970 by default, as in Pillow.
        corrupt: What becomes of a damaged file that can be decoded all the same: ``"decode"``, as Pillow and libjpeg do
            it, counted in ``stats()`` as ``damaged_images``, or ``"error"``. Examples are a JPEG with bits that are no
            Huffman code or with restart markers missing, and a PNG with a wrong checksum or without its end. Damage is
            noticed where a file is read: a crop may leave it out.
        mode: Which channels the pixels have, with the meaning of Pillow's modes and torchvision's ``ImageReadMode``:
            ``"RGB"`` (the default), ``"L"`` (grey), ``"LA"``, ``"RGBA"``, or ``"unchanged"`` for those of each file, of
            a palette those of its colours; CMYK is RGB. Alpha is dropped and not blended, an alpha that a file lacks is
            opaque, grey is repeated, and colours become grey as by Pillow's ``convert("L")``, for every format.
        dtype: ``"uint8"`` (the default), ``"uint16"`` or ``"float32"``. A dtype that is deeper than a file holds the
            file's numbers as they are: the white of 8 bits is 255 in any dtype. Of 16 bits, ``"uint8"`` holds the
            high byte, as Pillow does for colours (its ``convert`` cuts 16-bit grey off at 255). TIFF files of
            floats and of signed or 32-bit integers need ``"float32"``; with another dtype they are bad samples.
        channels: With ``"unchanged"``, how many channels every file has, 1 to 4; a file with others is a bad sample.
            None, the default, leaves them open: then the field is ragged in height, width and channels, and its
            `capacity`, where the transforms fix no size, counts values: height times width times channels.

    Read are JPEG, PNG, WebP, GIF, BMP, PNM and TIFF; docs/formats.md lists the kinds of each. A kind that is not read
    is an error that names it.

    What a file has beyond the mode and the dtype is counted in ``Loader.stats()``: images in ``"dropped_alpha"`` and
    ``"dropped_colour"``, in ``"reduced_depth"`` those of 16 bits whose low byte was dropped, and in ``"widened_depth"``
    those whose numbers lie in a deeper dtype, where white is another number.

    Raises:
        ValueError: A `truncated`, `corrupt`, `mode` or `dtype` that is none of these, a `max_pixels` below 1, or
            `channels` outside 1 to 4 or with another mode. On a field that is no encoded image, or behind another
            transform, the loader raises it.
    """

    scaled_decode: bool = False
    truncated: Literal["error", "pad"] = "error"
    apply_exif_orientation: bool = False
    max_pixels: int = 178_956_970
    corrupt: Literal["decode", "error"] = "decode"
    mode: Mode = "RGB"
    dtype: Literal["uint8", "uint16", "float32"] | DTypeLike = "uint8"
    channels: int | None = None


def _erased(value: object) -> list[float] | None:
    """Returns the values of erased pixels; none stands for random ones."""
    if isinstance(value, str):
        if value != "random":
            raise ValueError(f"must be numbers or 'random', not {value!r}")
        return None
    return listed(value, number, single=True)


def _inplace() -> Any:  # noqa: ANN401 (a field of a dataclass)
    """Returns the argument ``inplace``, which changes nothing: all is done in place."""

    def check(transform: Any) -> None:  # noqa: ANN401 (one that has it)
        if as_truth(transform.inplace) is None:
            raise TypeError(f"must be True or False, not {shown(transform.inplace)}")

    return field(default=False, repr=False, compare=False, metadata=unsent(check))


@dataclass(frozen=True)
class RandomErasing(Transform):
    """Replaces a random box by a value, with probability `p`, as torchvision's ``RandomErasing``.

    Takes any image of the chain and keeps its shape and dtype. What stands before it, among `Normalize`, `ToDtype` and
    `ToLayout`, has been done to the image, so `value` is in the units that has left: 0 to 255, 0 to 1 or normalised.

    Args:
        p: The probability, 0.5 by default.
        scale: The bounds of the box's area, as a fraction of the image's; (0.02, 0.33) by default.
        ratio: The bounds of the box's height over width; (0.3, 3.3) by default.
        value: One value, one per channel, or ``"random"`` for normally distributed ones, which need a floating-point
            dtype; 0 by default.
        inplace: torchvision's argument, which changes nothing here.

    Raises:
        ValueError: A probability or an area outside 0 to 1, ratios that are not positive, bounds that are not in
            order, or an unknown word. Values that do not suit the image are found when the loader is made.
    """

    p: float = 0.5
    scale: Sequence[float] = (0.02, 0.33)
    ratio: Sequence[float] = (0.3, 3.3)
    value: float | Sequence[float] | Literal["random"] = field(default=0.0, metadata=as_plain(_erased))
    inplace: bool = _inplace()


@dataclass(frozen=True)
class Normalize(Transform):
    """Subtracts `mean` and divides by `std` by channel, as torchvision's ``Normalize``.

    A ``uint8`` or ``uint16`` image is first scaled to [0, 1], which is what ``ToDtype("float32", scale=True)``
    does, and becomes ``float32``; a floating-point image is not scaled, and its dtype is kept. The shape stays.

    Args:
        mean: One value per channel, or one for all.
        std: One value per channel, or one for all; none is zero.
        inplace: torchvision's argument, which changes nothing here.

    Raises:
        ValueError: Lists of different lengths, a zero in `std`, or values that are not finite. A
            number of values that does not suit the image is found when the loader is made.
    """

    mean: Sequence[float]
    std: Sequence[float]
    inplace: bool = _inplace()


@dataclass(frozen=True)
class ToDtype(Transform):
    """Converts the elements of an image, as torchvision's v2 ``ToDtype``. The shape stays.

    Takes ``uint8``, ``uint16`` and ``float32``. A ``float32`` image does not become one of integers, nor ``uint16`` one
    of a smaller integer: decode with the dtype wanted.

    Args:
        dtype: NumPy's name of the dtype, or ``"bfloat16"``; or the dtype itself, of NumPy or PyTorch.
        scale: Whether 0 to 255, or 0 to 65535 of ``uint16``, becomes 0 to 1, False by default; for floating-point
            dtypes only. Values that are floating-point already stay.

    Raises:
        ValueError: An unknown dtype, or ``scale=True`` with one that is not floating-point.
    """

    dtype: DTypeLike
    scale: bool = False


@dataclass(frozen=True)
class ToLayout(Transform):
    """Moves the channel axis of an image: ``"CHW"`` is what torchvision's ``ToTensor`` gives.

    Args:
        layout: ``"HWC"``, (H, W, C), which images have at first, or ``"CHW"``, (C, H, W).

    Raises:
        ValueError: Another layout.
    """

    layout: Layout
