"""Transforms, under torchvision's names and with its defaults.

A transform here is a description: the work is done by the workers, in Rust. The geometry
(`Resize`, `CenterCrop`, `RandomResizedCrop`, `RandomHorizontalFlip`) takes ``uint8`` images of
shape (H, W, 3), (H, W, 1) or (H, W) and stands before `Normalize`, `ToDtype` and `ToLayout`.

    >>> transforms = [RandomResizedCrop(224), RandomHorizontalFlip(), Normalize(IMAGENET_MEAN, IMAGENET_STD)]
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal, TypeAlias

from stokehold import _native

__all__ = [
    "IMAGENET_MEAN",
    "IMAGENET_STD",
    "CenterCrop",
    "DecodeImage",
    "Interpolation",
    "Layout",
    "Normalize",
    "RandomHorizontalFlip",
    "RandomResizedCrop",
    "Resize",
    "ToDtype",
    "ToLayout",
    "Transform",
]

Interpolation: TypeAlias = Literal["nearest", "bilinear", "bicubic", "lanczos"]
"""A resize filter; all but ``nearest`` are antialiased."""

Layout: TypeAlias = Literal["HWC", "CHW"]
"""The place of the channel axis: last, or first."""

IMAGENET_MEAN: Final = (0.485, 0.456, 0.406)
"""The mean of ImageNet's pixels in [0, 1], red, green, blue."""

IMAGENET_STD: Final = (0.229, 0.224, 0.225)
"""The standard deviation of ImageNet's pixels in [0, 1], red, green, blue."""


class Transform:
    """The base of all transforms. A transform is checked when it is made, and does not change."""

    def __post_init__(self) -> None:
        try:
            description = json.dumps(self.spec(), allow_nan=False)
        except (TypeError, OverflowError) as error:
            raise TypeError(f"{type(self).__name__}: {error}") from None
        except ValueError as error:
            raise ValueError(f"{type(self).__name__}: {error}") from None
        _native.check_transform(description)

    def spec(self) -> dict[str, Any]:
        """Returns the transform as plain data, the form in which it is sent to the workers."""
        raise NotImplementedError


@dataclass(frozen=True)
class DecodeImage(Transform):
    """Says how encoded images are decoded. It stands first in the list; without it, the defaults hold.

    Args:
        scaled_decode: Whether a JPEG that is reduced anyway may be decoded to 1/2, 1/4 or 1/8 of its size, never below
            what is asked for. Faster where photographs are much larger than that; the pixels are slightly others.
        truncated: What becomes of a JPEG that ends too early: ``"error"``, as in Pillow, or ``"pad"``, which fills what
            is missing, mostly with grey, as libjpeg does.
        apply_exif_orientation: Whether images are turned as their EXIF orientation says; False, as in torchvision.
        max_pixels: The most pixels an image may have. A larger one is refused by its header, before memory is taken.
            178,956,970 by default, as in Pillow.

    Raises:
        ValueError: A `truncated` that is neither, or a `max_pixels` below 1. On a field that is no encoded image, or
            behind another transform, the loader raises it.
    """

    scaled_decode: bool = False
    truncated: Literal["error", "pad"] = "error"
    apply_exif_orientation: bool = False
    max_pixels: int = 178_956_970

    def spec(self) -> dict[str, Any]:
        """Returns the transform as plain data."""
        return {"op": "DecodeImage", **asdict(self)}


@dataclass(frozen=True)
class Resize(Transform):
    """Resizes an image, as torchvision's ``Resize`` with ``antialias=True``.

    Takes ``uint8`` (H, W, C) and returns ``uint8`` (h, w, C).

    Args:
        size: One number for the shorter side, which keeps the aspect ratio, or (height, width).
            With one number the result has no fixed size; end with `CenterCrop` or alike.
        interpolation: The filter, ``"bilinear"`` by default.
        max_size: With one number as size, the longest that the longer side may become.

    Raises:
        ValueError: A size outside 1 to 65535, an unknown filter, or a ``max_size`` that is not
            greater than ``size`` or comes with (height, width).
    """

    size: int | Sequence[int]
    interpolation: Interpolation = "bilinear"
    max_size: int | None = None

    def spec(self) -> dict[str, Any]:
        """Returns the transform as plain data."""
        return {
            "op": "Resize",
            "size": _sizes(self.size),
            "interpolation": self.interpolation,
            "max_size": self.max_size,
        }


@dataclass(frozen=True)
class CenterCrop(Transform):
    """Cuts out the centre of an image, as torchvision's ``CenterCrop``; a smaller image is padded with zeros.

    Takes ``uint8`` (H, W, C) and returns ``uint8`` (height, width, C).

    Args:
        size: One number for a square, or (height, width).

    Raises:
        ValueError: A size outside 1 to 65535.
    """

    size: int | Sequence[int]

    def spec(self) -> dict[str, Any]:
        """Returns the transform as plain data."""
        return {"op": "CenterCrop", "size": _sizes(self.size)}


@dataclass(frozen=True)
class RandomResizedCrop(Transform):
    """Cuts out a random box and resizes it, as torchvision's ``RandomResizedCrop`` with ``antialias=True``.

    Takes ``uint8`` (H, W, C) and returns ``uint8`` (height, width, C).

    Args:
        size: One number for a square, or (height, width).
        scale: The bounds of the box's area, as a fraction of the image's; (0.08, 1.0) by default.
        ratio: The bounds of the box's width over height; (3/4, 4/3) by default.
        interpolation: The filter, ``"bilinear"`` by default.

    Raises:
        ValueError: A size outside 1 to 65535, bounds that are not positive or not in order, or an
            unknown filter.
    """

    size: int | Sequence[int]
    scale: Sequence[float] = (0.08, 1.0)
    ratio: Sequence[float] = (3.0 / 4.0, 4.0 / 3.0)
    interpolation: Interpolation = "bilinear"

    def spec(self) -> dict[str, Any]:
        """Returns the transform as plain data."""
        return {
            "op": "RandomResizedCrop",
            "size": _sizes(self.size),
            "scale": _numbers(self.scale),
            "ratio": _numbers(self.ratio),
            "interpolation": self.interpolation,
        }


@dataclass(frozen=True)
class RandomHorizontalFlip(Transform):
    """Mirrors an image left to right with probability `p`, as torchvision's ``RandomHorizontalFlip``.

    Takes and returns ``uint8`` (H, W, C).

    Args:
        p: The probability, 0.5 by default.

    Raises:
        ValueError: A probability outside 0 to 1.
    """

    p: float = 0.5

    def spec(self) -> dict[str, Any]:
        """Returns the transform as plain data."""
        return {"op": "RandomHorizontalFlip", "p": float(self.p)}


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

    def spec(self) -> dict[str, Any]:
        """Returns the transform as plain data."""
        return {"op": "Normalize", "mean": _numbers(self.mean), "std": _numbers(self.std)}


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

    def spec(self) -> dict[str, Any]:
        """Returns the transform as plain data."""
        return {"op": "ToDtype", "dtype": self.dtype, "scale": self.scale}


@dataclass(frozen=True)
class ToLayout(Transform):
    """Moves the channel axis of an image: ``"CHW"`` is what torchvision's ``ToTensor`` gives.

    Args:
        layout: ``"HWC"``, (H, W, C), which images have at first, or ``"CHW"``, (C, H, W).

    Raises:
        ValueError: Another layout.
    """

    layout: Layout

    def spec(self) -> dict[str, Any]:
        """Returns the transform as plain data."""
        return {"op": "ToLayout", "layout": self.layout}


def _sizes(size: int | Sequence[int]) -> list[int]:
    return list(size) if isinstance(size, Sequence) else [size]


def _numbers(values: Sequence[float]) -> list[float]:
    return [float(value) for value in values]
