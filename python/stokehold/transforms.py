"""Transforms, under torchvision's names and with its defaults.

A transform here is a description: the work is done by the workers, in Rust. All but `RandomErasing`,
`Normalize`, `ToDtype` and `ToLayout` take ``uint8`` images of shape (H, W, 3), (H, W, 1) or (H, W) and
stand before those four. Crops, flips and paddings that follow each other cost one pass over the pixels, or
none. Pixels are those of torchvision's v2 kernels for ``uint8`` tensors; resizing is Pillow's.

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
    "AutoAugment",
    "CenterCrop",
    "ColorJitter",
    "DecodeImage",
    "GaussianBlur",
    "Grayscale",
    "Interpolation",
    "Layout",
    "Normalize",
    "Pad",
    "PaddingMode",
    "RandAugment",
    "RandomAffine",
    "RandomCrop",
    "RandomErasing",
    "RandomGrayscale",
    "RandomHorizontalFlip",
    "RandomResizedCrop",
    "RandomRotation",
    "RandomVerticalFlip",
    "Resize",
    "ToDtype",
    "ToLayout",
    "Transform",
    "TrivialAugmentWide",
]

Interpolation: TypeAlias = Literal["nearest", "nearest-exact", "bilinear", "bicubic", "lanczos"]
"""A resize filter; all but ``nearest`` are antialiased.

``nearest`` is Pillow's, the pixel at whose centre one looks, which torchvision calls ``nearest-exact`` where it resizes
tensors; here both names mean that.
"""

PaddingMode: TypeAlias = Literal["constant", "edge", "reflect", "symmetric"]
"""What a border is made of: the fill, the nearest pixel, or the image mirrored without or with its edge."""

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
class RandomVerticalFlip(Transform):
    """Mirrors an image upside down with probability `p`, as torchvision's ``RandomVerticalFlip``.

    Takes and returns ``uint8`` (H, W, C).

    Args:
        p: The probability, 0.5 by default.

    Raises:
        ValueError: A probability outside 0 to 1.
    """

    p: float = 0.5

    def spec(self) -> dict[str, Any]:
        """Returns the transform as plain data."""
        return {"op": "RandomVerticalFlip", "p": float(self.p)}


@dataclass(frozen=True)
class RandomCrop(Transform):
    """Cuts out a box of fixed size at a random place, as torchvision's ``RandomCrop``.

    Takes ``uint8`` (H, W, C) and returns ``uint8`` (height, width, C). An image that is smaller, after it has been
    padded, is an error of its sample.

    Args:
        size: One number for a square, or (height, width).
        padding: A border that is added before: one number for all sides, (left and right, top and bottom), or (left,
            top, right, bottom); none by default.
        pad_if_needed: Whether an image that is smaller is padded by what it lacks, on both sides; False by default.
        fill: The value of a constant border, 0 to 255, or one per channel; 0 by default.
        padding_mode: What the border is made of, ``"constant"`` by default. Where torchvision refuses to mirror a
            border wider than the image, the mirroring is repeated, as NumPy's ``pad`` does.

    Raises:
        ValueError: A size or a padding outside its range, another number of them, or an unknown mode.
    """

    size: int | Sequence[int]
    padding: int | Sequence[int] | None = None
    pad_if_needed: bool = False
    fill: int | Sequence[int] = 0
    padding_mode: PaddingMode = "constant"

    def spec(self) -> dict[str, Any]:
        """Returns the transform as plain data."""
        return {
            "op": "RandomCrop",
            "size": _sizes(self.size),
            "padding": [] if self.padding is None else _sizes(self.padding),
            "pad_if_needed": self.pad_if_needed,
            "fill": _sizes(self.fill),
            "padding_mode": self.padding_mode,
        }


@dataclass(frozen=True)
class Pad(Transform):
    """Adds a border to an image, as torchvision's ``Pad``.

    Takes ``uint8`` (H, W, C) and returns ``uint8`` (H + top + bottom, W + left + right, C).

    Args:
        padding: The border in pixels: one number for all sides, (left and right, top and bottom), or (left, top, right,
            bottom); not negative.
        fill: The value of a constant border, 0 to 255, or one per channel; 0 by default.
        padding_mode: What the border is made of, ``"constant"`` by default; see `RandomCrop`.

    Raises:
        ValueError: A padding outside 0 to 65535, another number of them, or an unknown mode.
    """

    padding: int | Sequence[int]
    fill: int | Sequence[int] = 0
    padding_mode: PaddingMode = "constant"

    def spec(self) -> dict[str, Any]:
        """Returns the transform as plain data."""
        return {
            "op": "Pad",
            "padding": _sizes(self.padding),
            "fill": _sizes(self.fill),
            "padding_mode": self.padding_mode,
        }


@dataclass(frozen=True)
class ColorJitter(Transform):
    """Changes brightness, contrast, saturation and hue in random order, as torchvision's ``ColorJitter``.

    Takes and returns ``uint8`` (H, W, C). Images of one channel have neither saturation nor hue.

    Args:
        brightness: A number ``x`` for a factor between ``max(0, 1 - x)`` and ``1 + x``, or the factor's bounds; none by
            default.
        contrast: Likewise.
        saturation: Likewise.
        hue: A number ``x`` for a shift between ``-x`` and ``x``, or the shift's bounds, within -0.5 to 0.5 of the full
            circle; none by default.

    Raises:
        ValueError: Negative factors, a hue outside its range, or bounds that are not in order.
    """

    brightness: float | Sequence[float] | None = None
    contrast: float | Sequence[float] | None = None
    saturation: float | Sequence[float] | None = None
    hue: float | Sequence[float] | None = None

    def spec(self) -> dict[str, Any]:
        """Returns the transform as plain data."""
        return {
            "op": "ColorJitter",
            "brightness": _bounds(self.brightness),
            "contrast": _bounds(self.contrast),
            "saturation": _bounds(self.saturation),
            "hue": _bounds(self.hue),
        }


@dataclass(frozen=True)
class Grayscale(Transform):
    """Converts an image to shades of grey, as torchvision's ``Grayscale``.

    Takes ``uint8`` (H, W, C) and returns ``uint8`` (H, W, num_output_channels).

    Args:
        num_output_channels: 1 by default, or 3 for three equal channels.

    Raises:
        ValueError: Another number of channels.
    """

    num_output_channels: int = 1

    def spec(self) -> dict[str, Any]:
        """Returns the transform as plain data."""
        return {"op": "Grayscale", "num_output_channels": self.num_output_channels}


@dataclass(frozen=True)
class RandomGrayscale(Transform):
    """Converts an image to shades of grey with probability `p`, as torchvision's ``RandomGrayscale``.

    Takes and returns ``uint8`` (H, W, C): the three channels become equal.

    Args:
        p: The probability, 0.1 by default.

    Raises:
        ValueError: A probability outside 0 to 1.
    """

    p: float = 0.1

    def spec(self) -> dict[str, Any]:
        """Returns the transform as plain data."""
        return {"op": "RandomGrayscale", "p": float(self.p)}


@dataclass(frozen=True)
class GaussianBlur(Transform):
    """Blurs an image by a Gaussian of random width, as torchvision's ``GaussianBlur``.

    Takes and returns ``uint8`` (H, W, C). The edges are continued by reflection, so half of the kernel must be smaller
    than the image; otherwise it is an error of the sample.

    Args:
        kernel_size: The number of taps, odd: one for both directions, or (width, height).
        sigma: The bounds of the standard deviation in pixels, or one number; (0.1, 2.0) by default.

    Raises:
        ValueError: An even number of taps, or bounds that are not positive or not in order.
    """

    kernel_size: int | Sequence[int]
    sigma: float | Sequence[float] = (0.1, 2.0)

    def spec(self) -> dict[str, Any]:
        """Returns the transform as plain data."""
        return {"op": "GaussianBlur", "kernel_size": _sizes(self.kernel_size), "sigma": _bounds(self.sigma)}


@dataclass(frozen=True)
class RandomRotation(Transform):
    """Rotates an image by a random angle, as torchvision's ``RandomRotation``.

    Takes ``uint8`` (H, W, C) and returns the same shape, or with `expand` one that depends on the angle; end then with
    `CenterCrop` or alike.

    Args:
        degrees: A number ``x`` for an angle between ``-x`` and ``x``, or its bounds; anticlockwise.
        interpolation: ``"nearest"`` by default, or ``"bilinear"``.
        expand: Whether the result grows to hold the whole image; False by default.
        center: The fixed point (x, y), in pixels from the upper left corner; the centre by default.
        fill: What lies outside the image, 0 to 255, or one value per channel; 0 by default. With ``"bilinear"``, `None`
            is black too, but weighs the mixed edge once instead of twice, as torchvision does.

    Raises:
        ValueError: A negative single angle, bounds that are not in order, or another filter.
    """

    degrees: float | Sequence[float]
    interpolation: Interpolation = "nearest"
    expand: bool = False
    center: Sequence[float] | None = None
    fill: int | Sequence[int] | None = 0

    def spec(self) -> dict[str, Any]:
        """Returns the transform as plain data."""
        return {
            "op": "RandomRotation",
            "degrees": _bounds(self.degrees),
            "interpolation": self.interpolation,
            "expand": self.expand,
            "center": _bounds(self.center),
            "fill": _fill(self.fill),
        }


@dataclass(frozen=True)
class RandomAffine(Transform):
    """Rotates, moves, scales and shears an image at random, as torchvision's ``RandomAffine``.

    Takes and returns ``uint8`` (H, W, C).

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
    fill: int | Sequence[int] | None = 0
    center: Sequence[float] | None = None

    def spec(self) -> dict[str, Any]:
        """Returns the transform as plain data."""
        return {
            "op": "RandomAffine",
            "degrees": _bounds(self.degrees),
            "translate": _bounds(self.translate),
            "scale": _bounds(self.scale),
            "shear": _bounds(self.shear),
            "interpolation": self.interpolation,
            "fill": _fill(self.fill),
            "center": _bounds(self.center),
        }


@dataclass(frozen=True)
class RandAugment(Transform):
    """Applies operations drawn from fourteen, all of one magnitude, as torchvision's ``RandAugment``.

    Takes and returns ``uint8`` (H, W, C).

    Args:
        num_ops: How many operations follow each other, 2 by default.
        magnitude: Which of the magnitudes they have, 9 by default.
        num_magnitude_bins: How many magnitudes there are, 31 by default.
        interpolation: ``"nearest"`` by default, or ``"bilinear"``.
        fill: What lies outside the image, 0 to 255, or one value per channel; black by default.

    Raises:
        ValueError: A magnitude that is not less than the number of them, fewer than 2 of them, or another filter.
    """

    num_ops: int = 2
    magnitude: int = 9
    num_magnitude_bins: int = 31
    interpolation: Interpolation = "nearest"
    fill: int | Sequence[int] | None = None

    def spec(self) -> dict[str, Any]:
        """Returns the transform as plain data."""
        return {
            "op": "RandAugment",
            "num_ops": self.num_ops,
            "magnitude": self.magnitude,
            "num_magnitude_bins": self.num_magnitude_bins,
            "interpolation": self.interpolation,
            "fill": _fill(self.fill),
        }


@dataclass(frozen=True)
class TrivialAugmentWide(Transform):
    """Applies one of fourteen operations with a random magnitude, as torchvision's ``TrivialAugmentWide``.

    Takes and returns ``uint8`` (H, W, C).

    Args:
        num_magnitude_bins: How many magnitudes there are, 31 by default.
        interpolation: ``"nearest"`` by default, or ``"bilinear"``.
        fill: What lies outside the image, 0 to 255, or one value per channel; black by default.

    Raises:
        ValueError: Fewer than 2 magnitudes, or another filter.
    """

    num_magnitude_bins: int = 31
    interpolation: Interpolation = "nearest"
    fill: int | Sequence[int] | None = None

    def spec(self) -> dict[str, Any]:
        """Returns the transform as plain data."""
        return {
            "op": "TrivialAugmentWide",
            "num_magnitude_bins": self.num_magnitude_bins,
            "interpolation": self.interpolation,
            "fill": _fill(self.fill),
        }


@dataclass(frozen=True)
class AutoAugment(Transform):
    """Applies two operations of a published policy, as torchvision's ``AutoAugment``.

    Takes and returns ``uint8`` (H, W, C).

    Args:
        policy: The data set for which the policy was found: ``"imagenet"``, which is the default, ``"cifar10"`` or
            ``"svhn"``.
        interpolation: ``"nearest"`` by default, or ``"bilinear"``.
        fill: What lies outside the image, 0 to 255, or one value per channel; black by default.

    Raises:
        ValueError: An unknown policy, or another filter.
    """

    policy: Literal["imagenet", "cifar10", "svhn"] = "imagenet"
    interpolation: Interpolation = "nearest"
    fill: int | Sequence[int] | None = None

    def spec(self) -> dict[str, Any]:
        """Returns the transform as plain data."""
        return {
            "op": "AutoAugment",
            "policy": self.policy,
            "interpolation": self.interpolation,
            "fill": _fill(self.fill),
        }


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
    value: float | Sequence[float] | Literal["random"] = 0.0

    def spec(self) -> dict[str, Any]:
        """Returns the transform as plain data."""
        if isinstance(self.value, str) and self.value != "random":
            raise ValueError(f"value must be numbers or 'random', not {self.value!r}")
        return {
            "op": "RandomErasing",
            "p": float(self.p),
            "scale": _numbers(self.scale),
            "ratio": _numbers(self.ratio),
            "value": None if isinstance(self.value, str) else _bounds(self.value),
        }


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


def _bounds(values: float | Sequence[float] | None) -> list[float] | None:
    if values is None:
        return None
    return _numbers(values) if isinstance(values, Sequence) else [float(values)]


def _fill(fill: int | Sequence[int] | None) -> list[int] | None:
    return None if fill is None else _sizes(fill)
