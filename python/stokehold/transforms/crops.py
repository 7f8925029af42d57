"""Several crops of one image, as an axis of its field."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from stokehold.transforms.base import Transform

__all__ = ["FiveCrop", "TenCrop"]


@dataclass(frozen=True)
class FiveCrop(Transform):
    """Cuts out the four corners and the centre, as torchvision's ``FiveCrop``.

    Takes (H, W, C) and returns (5, height, width, C), or (5, C, height, width) behind `ToLayout`: top left, top right,
    bottom left, bottom right, centre. The field of a batch is (N, 5, ...), where torchvision gives a tuple to be
    stacked: ``batch["image"].reshape(-1, *shape)`` is a batch for the model, whose results are averaged over 5. Of
    other transforms, only `RandomErasing`, `Normalize`, `ToDtype` and `ToLayout` follow, and are done to all five
    alike. No masks, boxes or keypoints can follow the image.

    Args:
        size: One number for squares, or (height, width). A smaller image is an error of its sample.

    Raises:
        ValueError: A size outside 1 to 65535.
    """

    size: int | Sequence[int]


@dataclass(frozen=True)
class TenCrop(Transform):
    """Cuts out what `FiveCrop` does, and then the same of the mirrored image, as torchvision's ``TenCrop``.

    Takes (H, W, C) and returns (10, height, width, C); see `FiveCrop`.

    Args:
        size: One number for squares, or (height, width). A smaller image is an error of its sample.
        vertical_flip: Whether the image is turned upside down, rather than mirrored left to right; False by default.

    Raises:
        ValueError: A size outside 1 to 65535.
    """

    size: int | Sequence[int]
    vertical_flip: bool = False
