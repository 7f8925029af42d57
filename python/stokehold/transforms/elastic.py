"""Displacements of pixels that change smoothly over an image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from stokehold.transforms.base import Fill, Transform
from stokehold.transforms.geometry import Interpolation

__all__ = ["ElasticTransform"]


@dataclass(frozen=True)
class ElasticTransform(Transform):
    """Moves pixels by random distances that change smoothly over the image, as torchvision's ``ElasticTransform``.

    Takes and returns (H, W, C). The distances are uniform noise, smoothed by a Gaussian whose edges are continued by
    reflection: an image whose edge is 4 `sigma` or less is an error of its sample. Masks follow by the nearest pixel.
    Boxes and keypoints follow as torchvision's do, by the distance at the pixel where they lie, taken the other way:
    about, not exactly.

    Args:
        alpha: How far pixels are moved, 50.0 by default; or (across, down).
        sigma: The standard deviation of the Gaussian in pixels, 5.0 by default; or (across, down). 0 for no smoothing.
        interpolation: ``"bilinear"`` by default, or ``"nearest"``.
        fill: What lies outside the image; see `RandomRotation`.

    Raises:
        ValueError: A negative `sigma`, or one that is 0 in one direction only, a number beyond 10^6, or another filter.
    """

    alpha: float | Sequence[float] = 50.0
    sigma: float | Sequence[float] = 5.0
    interpolation: Interpolation = "bilinear"
    fill: Fill | None = 0
