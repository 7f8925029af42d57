"""Augmentations that choose among others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from stokehold.transforms.base import Fill, Transform
from stokehold.transforms.geometry import Interpolation

__all__ = ["AugMix", "AutoAugment", "RandAugment", "TrivialAugmentWide"]


@dataclass(frozen=True)
class RandAugment(Transform):
    """Applies operations drawn from fourteen, all of one magnitude, as torchvision's ``RandAugment``.

    Takes and returns ``uint8`` (H, W, C). Colours change as in `ColorJitter`; alpha, the last of 2 or 4 channels, takes
    the geometry alone.

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
    fill: Fill | None = None


@dataclass(frozen=True)
class TrivialAugmentWide(Transform):
    """Applies one of fourteen operations with a random magnitude, as torchvision's ``TrivialAugmentWide``.

    Takes and returns ``uint8`` (H, W, C). Colours change as in `ColorJitter`; alpha, the last of 2 or 4 channels, takes
    the geometry alone.

    Args:
        num_magnitude_bins: How many magnitudes there are, 31 by default.
        interpolation: ``"nearest"`` by default, or ``"bilinear"``.
        fill: What lies outside the image, 0 to 255, or one value per channel; black by default.

    Raises:
        ValueError: Fewer than 2 magnitudes, or another filter.
    """

    num_magnitude_bins: int = 31
    interpolation: Interpolation = "nearest"
    fill: Fill | None = None


@dataclass(frozen=True)
class AutoAugment(Transform):
    """Applies two operations of a published policy, as torchvision's ``AutoAugment``.

    Takes and returns ``uint8`` (H, W, C). Colours change as in `ColorJitter`; alpha, the last of 2 or 4 channels, takes
    the geometry alone.

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
    fill: Fill | None = None


@dataclass(frozen=True)
class AugMix(Transform):
    """Mixes an image with what several chains of operations make of it, as torchvision's ``AugMix``.

    Takes and returns ``uint8`` (H, W, C). Colours change as in `ColorJitter`; alpha, the last of 2 or 4 channels, takes
    the geometry, and is mixed. How much is left of the image itself is drawn from Beta(alpha, alpha), and what the rest
    is made of from a Dirichlet distribution; sums are cut off to whole numbers.

    Args:
        severity: From how many of the 10 magnitudes an operation's is drawn, from the weakest on; 3 by default.
        mixture_width: How many chains, 3 by default.
        chain_depth: How many operations each has; where this is not positive, as by default, 1 to 3, drawn.
        alpha: The parameter of the two distributions, 1.0 by default.
        all_ops: Whether brightness, colour, contrast and sharpness are among the operations; True by default.
        interpolation: ``"bilinear"`` by default, or ``"nearest"``.
        fill: What lies outside the image, 0 to 255, or one value per channel; black by default.

    Raises:
        ValueError: A severity outside 1 to 10, no chains, more than 100 of them or operations of one, an `alpha` that
            is not positive, or another filter.
    """

    severity: int = 3
    mixture_width: int = 3
    chain_depth: int = -1
    alpha: float = 1.0
    all_ops: bool = True
    interpolation: Interpolation = "bilinear"
    fill: Fill | None = None
