"""Brightness, colour, blur."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from stokehold.transforms.base import Transform

__all__ = [
    "ColorJitter",
    "GaussianBlur",
    "Grayscale",
    "RandomAdjustSharpness",
    "RandomAutocontrast",
    "RandomEqualize",
    "RandomGrayscale",
    "RandomInvert",
    "RandomPosterize",
    "RandomSolarize",
]


@dataclass(frozen=True)
class ColorJitter(Transform):
    """Changes brightness, contrast, saturation and hue in random order, as torchvision's ``ColorJitter``.

    Takes and returns ``uint8`` (H, W, C). Alpha, the last of 2 or 4 channels, stays as it is. Images of one channel
    have neither saturation nor hue; with two, asking for either is an error of the loader.

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


@dataclass(frozen=True)
class Grayscale(Transform):
    """Converts an image to shades of grey, as torchvision's ``Grayscale`` does with Pillow's images.

    Takes ``uint8`` (H, W, C) and returns ``uint8`` (H, W, num_output_channels). The shades are those of Pillow's mode
    "L", so that grey stays as it is. (Those of torchvision's kernels for tensors, whose weights add up to 0.9999, are
    lower by one for most greys.) Alpha is dropped.

    Args:
        num_output_channels: 1 by default, or 3 for three equal channels.

    Raises:
        ValueError: Another number of channels.
    """

    num_output_channels: int = 1


@dataclass(frozen=True)
class RandomGrayscale(Transform):
    """Converts an image to shades of grey with probability `p`, as torchvision's ``RandomGrayscale``.

    Takes and returns ``uint8`` (H, W, C): the three colours become equal, to the shades of `Grayscale`; alpha stays.

    Args:
        p: The probability, 0.1 by default.

    Raises:
        ValueError: A probability outside 0 to 1.
    """

    p: float = 0.1


@dataclass(frozen=True)
class GaussianBlur(Transform):
    """Blurs an image by a Gaussian of random width, as torchvision's ``GaussianBlur``.

    Takes and returns (H, W, C), of which every channel is blurred. The edges are continued by reflection, so half of
    the kernel must be smaller than the image; otherwise it is an error of the sample.

    Args:
        kernel_size: The number of taps, odd: one for both directions, or (width, height).
        sigma: The bounds of the standard deviation in pixels, or one number; (0.1, 2.0) by default.

    Raises:
        ValueError: An even number of taps, or bounds that are not positive or not in order.
    """

    kernel_size: int | Sequence[int]
    sigma: float | Sequence[float] = (0.1, 2.0)


@dataclass(frozen=True)
class RandomInvert(Transform):
    """Makes a negative of an image with probability `p`, as torchvision's ``RandomInvert``.

    Takes and returns ``uint8`` (H, W, C). Alpha, the last of 2 or 4 channels, stays as it is.

    Args:
        p: The probability, 0.5 by default; 1 for all images.

    Raises:
        ValueError: A probability outside 0 to 1.
    """

    p: float = 0.5


@dataclass(frozen=True)
class RandomPosterize(Transform):
    """Keeps the highest bits of each value with probability `p`, as torchvision's ``RandomPosterize``.

    Takes and returns ``uint8`` (H, W, C). Alpha, the last of 2 or 4 channels, stays as it is.

    Args:
        bits: How many bits are kept, 0 to 8.
        p: The probability, 0.5 by default; 1 for all images.

    Raises:
        ValueError: Bits outside 0 to 8, or a probability outside 0 to 1.
    """

    bits: int
    p: float = 0.5


@dataclass(frozen=True)
class RandomSolarize(Transform):
    """Makes a negative of the values from a threshold on with probability `p`, as torchvision's ``RandomSolarize``.

    Takes and returns ``uint8`` (H, W, C). Alpha, the last of 2 or 4 channels, stays as it is.

    Args:
        threshold: The least value that is inverted, 0 to 255.
        p: The probability, 0.5 by default; 1 for all images.

    Raises:
        ValueError: A threshold outside 0 to 255, or a probability outside 0 to 1.
    """

    threshold: float
    p: float = 0.5


@dataclass(frozen=True)
class RandomAutocontrast(Transform):
    """Spreads the values of each channel over 0 to 255 with probability `p`, as torchvision's ``RandomAutocontrast``.

    Takes and returns ``uint8`` (H, W, C). Alpha, the last of 2 or 4 channels, stays as it is.

    Args:
        p: The probability, 0.5 by default; 1 for all images.

    Raises:
        ValueError: A probability outside 0 to 1.
    """

    p: float = 0.5


@dataclass(frozen=True)
class RandomEqualize(Transform):
    """Makes all values of each channel about as frequent with probability `p`, as torchvision's ``RandomEqualize``.

    Takes and returns ``uint8`` (H, W, C). Alpha, the last of 2 or 4 channels, stays as it is.

    Args:
        p: The probability, 0.5 by default; 1 for all images.

    Raises:
        ValueError: A probability outside 0 to 1.
    """

    p: float = 0.5


@dataclass(frozen=True)
class RandomAdjustSharpness(Transform):
    """Sharpens or smooths an image with probability `p`, as torchvision's ``RandomAdjustSharpness``.

    Takes and returns ``uint8`` (H, W, C). Alpha, the last of 2 or 4 channels, stays as it is, and so do the outermost
    pixels.

    Args:
        sharpness_factor: 0 for a smoothed image, 1 for the image as it is, 2 for one that is as much sharper.
        p: The probability, 0.5 by default; 1 for all images.

    Raises:
        ValueError: A negative factor, or a probability outside 0 to 1.
    """

    sharpness_factor: float
    p: float = 0.5
