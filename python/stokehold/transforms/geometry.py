"""Crops, flips, borders, sizes, rotations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Literal, TypeAlias

from stokehold.checks import as_truth, shown
from stokehold.transforms.base import Fill, Transform, as_plain, listed, unsent

__all__ = [
    "CenterCrop",
    "Interpolation",
    "Pad",
    "PaddingMode",
    "RandomAffine",
    "RandomCrop",
    "RandomHorizontalFlip",
    "RandomPerspective",
    "RandomResizedCrop",
    "RandomRotation",
    "RandomVerticalFlip",
    "Resize",
]

Interpolation: TypeAlias = Literal["nearest", "nearest-exact", "bilinear", "bicubic", "lanczos"] | Enum
"""A resize filter, in a word or as torchvision's ``InterpolationMode``; all but ``nearest`` are antialiased.

``nearest`` is Pillow's, the pixel at whose centre one looks, which torchvision calls ``nearest-exact`` where it resizes
tensors; here both names mean that.
"""


PaddingMode: TypeAlias = Literal["constant", "edge", "reflect", "symmetric"]
"""What a border is made of: the fill, the nearest pixel, or the image mirrored without or with its edge."""


def _antialias(transform: Any) -> None:  # noqa: ANN401 (one that resizes)
    """Checks that torchvision would do what is done here."""
    given = transform.antialias
    truth = as_truth(given)
    if given is not None and not truth and (truth is None or "nearest" not in transform.interpolation):
        what = "True: what is made smaller is always antialiased, but for interpolation='nearest'"
        raise (TypeError if truth is None else ValueError)(f"must be {what}; not {shown(given)}")


def antialiased() -> Any:  # noqa: ANN401 (a field of a dataclass)
    """Returns the argument ``antialias``."""
    return field(default=True, repr=False, compare=False, metadata=unsent(_antialias))


@dataclass(frozen=True)
class Resize(Transform):
    """Resizes an image, as torchvision's ``Resize`` with ``antialias=True``.

    Takes (H, W, C) and returns (h, w, C).

    Args:
        size: One number for the shorter side, which keeps the aspect ratio, or (height, width).
            With one number the result has no fixed size; end with `CenterCrop` or alike.
        interpolation: The filter, ``"bilinear"`` by default.
        max_size: With one number as size, the longest that the longer side may become.
        antialias: True, as torchvision has it. False is for ``"nearest"`` alone, where it changes nothing.

    Raises:
        ValueError: A size outside 1 to 65535, an unknown filter, or a ``max_size`` that is not
            greater than ``size`` or comes with (height, width).
    """

    size: int | Sequence[int]
    interpolation: Interpolation = "bilinear"
    max_size: int | None = None
    antialias: bool | None = antialiased()


@dataclass(frozen=True)
class CenterCrop(Transform):
    """Cuts out the centre of an image, as torchvision's ``CenterCrop``; a smaller image is padded with zeros.

    Takes (H, W, C) and returns (height, width, C).

    Args:
        size: One number for a square, or (height, width).

    Raises:
        ValueError: A size outside 1 to 65535.
    """

    size: int | Sequence[int]


@dataclass(frozen=True)
class RandomResizedCrop(Transform):
    """Cuts out a random box and resizes it, as torchvision's ``RandomResizedCrop`` with ``antialias=True``.

    Takes (H, W, C) and returns (height, width, C).

    Args:
        size: One number for a square, or (height, width).
        scale: The bounds of the box's area, as a fraction of the image's; (0.08, 1.0) by default.
        ratio: The bounds of the box's width over height; (3/4, 4/3) by default.
        interpolation: The filter, ``"bilinear"`` by default.
        antialias: As for `Resize`.

    Raises:
        ValueError: A size outside 1 to 65535, bounds that are not positive or not in order, or an
            unknown filter.
    """

    size: int | Sequence[int]
    scale: Sequence[float] = (0.08, 1.0)
    ratio: Sequence[float] = (3.0 / 4.0, 4.0 / 3.0)
    interpolation: Interpolation = "bilinear"
    antialias: bool | None = antialiased()


@dataclass(frozen=True)
class RandomHorizontalFlip(Transform):
    """Mirrors an image left to right with probability `p`, as torchvision's ``RandomHorizontalFlip``.

    Takes and returns (H, W, C).

    Args:
        p: The probability, 0.5 by default.

    Raises:
        ValueError: A probability outside 0 to 1.
    """

    p: float = 0.5


@dataclass(frozen=True)
class RandomVerticalFlip(Transform):
    """Mirrors an image upside down with probability `p`, as torchvision's ``RandomVerticalFlip``.

    Takes and returns (H, W, C).

    Args:
        p: The probability, 0.5 by default.

    Raises:
        ValueError: A probability outside 0 to 1.
    """

    p: float = 0.5


def _border(padding: object) -> list[int]:
    """Returns the numbers of a border; no number stands for none."""
    return [] if padding is None else listed(padding, single=True)


@dataclass(frozen=True)
class RandomCrop(Transform):
    """Cuts out a box of fixed size at a random place, as torchvision's ``RandomCrop``.

    Takes (H, W, C) and returns (height, width, C). An image that is smaller, after it has been
    padded, is an error of its sample.

    Args:
        size: One number for a square, or (height, width).
        padding: A border that is added before: one number for all sides, (left and right, top and bottom), or (left,
            top, right, bottom); none by default.
        pad_if_needed: Whether an image that is smaller is padded by what it lacks, on both sides; False by default.
        fill: The value of a constant border, in the units of the image (0 to 255 where it is ``uint8``), or one per
            channel; 0 by default. Or such by field, as ``{"image": 0, "mask": 255}``: a mask without one of its own has
            the image's where that is one value, 0 to 255, else 0.
        padding_mode: What the border is made of, ``"constant"`` by default. Where torchvision refuses to mirror a
            border wider than the image, the mirroring is repeated, as NumPy's ``pad`` does.

    Raises:
        ValueError: A size or a padding outside its range, another number of them, or an unknown mode.
    """

    size: int | Sequence[int]
    padding: int | Sequence[int] | None = field(default=None, metadata=as_plain(_border))
    pad_if_needed: bool = False
    fill: Fill = 0
    padding_mode: PaddingMode = "constant"


@dataclass(frozen=True)
class Pad(Transform):
    """Adds a border to an image, as torchvision's ``Pad``.

    Takes (H, W, C) and returns (H + top + bottom, W + left + right, C).

    Args:
        padding: The border in pixels: one number for all sides, (left and right, top and bottom), or (left, top, right,
            bottom); not negative.
        fill: The value of a constant border, in the units of the image (0 to 255 where it is ``uint8``), or one per
            channel; 0 by default. Or such by field, as ``{"image": 0, "mask": 255}``: a mask without one of its own has
            the image's where that is one value, 0 to 255, else 0.
        padding_mode: What the border is made of, ``"constant"`` by default; see `RandomCrop`.

    Raises:
        ValueError: A padding outside 0 to 65535, another number of them, or an unknown mode.
    """

    padding: int | Sequence[int]
    fill: Fill = 0
    padding_mode: PaddingMode = "constant"


@dataclass(frozen=True)
class RandomRotation(Transform):
    """Rotates an image by a random angle, as torchvision's ``RandomRotation``.

    Takes (H, W, C) and returns the same shape, or with `expand` one that depends on the angle; end then with
    `CenterCrop` or alike.

    Args:
        degrees: A number ``x`` for an angle between ``-x`` and ``x``, or its bounds; anticlockwise.
        interpolation: ``"nearest"`` by default, or ``"bilinear"``.
        expand: Whether the result grows to hold the whole image; False by default.
        center: The fixed point (x, y), in pixels from the upper left corner; the centre by default.
        fill: What lies outside the image, in its units (0 to 255 where it is ``uint8``), or one value per channel; 0 by
            default. With ``"bilinear"``, `None`
            is black too, but weighs the mixed edge once instead of twice, as torchvision does.

    Raises:
        ValueError: A negative single angle, bounds that are not in order, or another filter.
    """

    degrees: float | Sequence[float]
    interpolation: Interpolation = "nearest"
    expand: bool = False
    center: Sequence[float] | None = None
    fill: Fill | None = 0


@dataclass(frozen=True)
class RandomAffine(Transform):
    """Rotates, moves, scales and shears an image at random, as torchvision's ``RandomAffine``.

    Takes and returns (H, W, C).

    Args:
        degrees: A number ``x`` for an angle between ``-x`` and ``x``, or its bounds; clockwise.
        translate: The largest moves (across, down), as fractions of width and height; none by default.
        scale: The bounds of the factor; none by default.
        shear: A number ``x`` for an angle between ``-x`` and ``x`` across, or its two bounds, or four, the last two
            for the angle down; none by default.
        interpolation: ``"nearest"`` by default, or ``"bilinear"``.
        fill: What lies outside the image; see `RandomRotation`.
        center: The fixed point (x, y), in pixels from the upper left corner; the centre by default.

    Raises:
        ValueError: A negative single angle, a translation outside 0 to 1, a factor that is not positive, bounds that
            are not in order, or another filter.
    """

    degrees: float | Sequence[float]
    translate: Sequence[float] | None = None
    scale: Sequence[float] | None = None
    shear: float | Sequence[float] | None = None
    interpolation: Interpolation = "nearest"
    fill: Fill | None = 0
    center: Sequence[float] | None = None


@dataclass(frozen=True)
class RandomPerspective(Transform):
    """Shows an image from another point of view, as torchvision's ``RandomPerspective``.

    Takes and returns (H, W, C). Where the corners that were drawn span no area, as with tiny images and a
    `distortion_scale` near 1, the image stays as it is; torchvision raises an error.

    Args:
        distortion_scale: How far a corner moves at most: a fraction, 0 to 1, of half the width and of half the height;
            0.5 by default.
        p: The probability, 0.5 by default.
        interpolation: ``"bilinear"`` by default, or ``"nearest"``.
        fill: What lies outside the image; see `RandomRotation`.

    Raises:
        ValueError: A scale or a probability outside 0 to 1, or another filter.
    """

    distortion_scale: float = 0.5
    p: float = 0.5
    interpolation: Interpolation = "bilinear"
    fill: Fill | None = 0
