"""How an image is decoded, and what becomes of its elements once its pixels are where they belong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

from stokehold.transforms.base import Transform, as_plain, listed, number

__all__ = [
    "IMAGENET_MEAN",
    "IMAGENET_STD",
    "DecodeImage",
    "Layout",
    "Normalize",
    "RandomErasing",
    "ToDtype",
    "ToLayout",
]

Layout: TypeAlias = Literal["HWC", "CHW"]
"""The place of the channel axis: last, or first."""


IMAGENET_MEAN: Final = (0.485, 0.456, 0.406)
"""The mean of ImageNet's pixels in [0, 1], red, green, blue."""


IMAGENET_STD: Final = (0.229, 0.224, 0.225)
"""The standard deviation of ImageNet's pixels in [0, 1], red, green, blue."""


@dataclass(frozen=True)
class DecodeImage(Transform):
    """Says how encoded images are decoded. It stands first in the list; without it, the defaults hold.

    Args:
        scaled_decode: Whether a JPEG that is reduced anyway may be decoded to 1/2, 1/4 or 1/8 of its size, never below
            what is asked for. Faster where photographs are much larger than that; the pixels are slightly others.
        truncated: What becomes of a JPEG that ends too early: ``"error"``, as in Pillow, or ``"pad"``, which fills what
            is missing, mostly with grey, as libjpeg does. A marker inside the pixels is damage, not an early end.
        apply_exif_orientation: Whether images are turned as their EXIF orientation says; False, as in torchvision.
        max_pixels: The most pixels an image may have. A larger one is refused by its header, before memory is taken.
            178,956,970 by default, as in Pillow.
        corrupt: What becomes of a damaged file that can be decoded all the same: ``"decode"``, as Pillow and libjpeg do
            it, counted in ``stats()`` as ``damaged_images``, or ``"error"``. Examples are a JPEG with bits that are no
            Huffman code or with restart markers missing, and a PNG with a wrong checksum or without its end. Damage is
            noticed where a file is read: a crop may leave it out.

    Raises:
        ValueError: A `truncated` or `corrupt` that is neither, or a `max_pixels` below 1. On a field that is no encoded image, or
            behind another transform, the loader raises it.
    """

    scaled_decode: bool = False
    truncated: Literal["error", "pad"] = "error"
    apply_exif_orientation: bool = False
    max_pixels: int = 178_956_970
    corrupt: Literal["decode", "error"] = "decode"


def _erased(value: object) -> list[float] | None:
    """Returns the values of erased pixels; none stands for random ones."""
    if isinstance(value, str):
        if value != "random":
            raise ValueError(f"must be numbers or 'random', not {value!r}")
        return None
    return listed(value, number, single=True)


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

    Raises:
        ValueError: A probability or an area outside 0 to 1, ratios that are not positive, bounds that are not in
            order, or an unknown word. Values that do not suit the image are found when the loader is made.
    """

    p: float = 0.5
    scale: Sequence[float] = (0.02, 0.33)
    ratio: Sequence[float] = (0.3, 3.3)
    value: float | Sequence[float] | Literal["random"] = field(default=0.0, metadata=as_plain(_erased))


@dataclass(frozen=True)
class Normalize(Transform):
    """Subtracts `mean` and divides by `std` by channel, as torchvision's ``Normalize``.

    A ``uint8`` image is first scaled to [0, 1], which is what ``ToDtype("float32", scale=True)``
    does, and becomes ``float32``; a floating-point dtype set before is kept. The shape stays.

    Args:
        mean: One value per channel, or one for all.
        std: One value per channel, or one for all; none is zero.

    Raises:
        ValueError: Lists of different lengths, a zero in `std`, or values that are not finite. A
            number of values that does not suit the image is found when the loader is made.
    """

    mean: Sequence[float]
    std: Sequence[float]


@dataclass(frozen=True)
class ToDtype(Transform):
    """Converts the elements of a ``uint8`` image, as torchvision's v2 ``ToDtype``. The shape stays.

    Args:
        dtype: NumPy's name of the dtype, or ``"bfloat16"``.
        scale: Whether 0 to 255 becomes 0 to 1, False by default; for floating-point dtypes only.

    Raises:
        ValueError: An unknown dtype, or ``scale=True`` with one that is not floating-point.
    """

    dtype: str
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
