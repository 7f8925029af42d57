"""What is done to boxes and keypoints once they have followed their image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from stokehold.transforms.base import Transform

__all__ = ["BoxFormat", "ClampBoundingBoxes", "ClampKeyPoints", "ConvertBoundingBoxFormat", "SanitizeBoundingBoxes"]

BoxFormat: TypeAlias = Literal["XYXY", "XYWH", "CXCYWH"]
"""The numbers of a box, in pixels: left, top, right, bottom; left, top, width, height; or the centre, width, height."""


@dataclass(frozen=True)
class ClampBoundingBoxes(Transform):
    """Cuts boxes off where their image ends, as torchvision's ``ClampBoundingBoxes``.

    Crops, paddings and rotations do so by themselves, as torchvision's; this is for boxes that reach out of the image
    from the beginning.
    """


@dataclass(frozen=True)
class ClampKeyPoints(Transform):
    """Moves keypoints that lie outside of their image to its nearest pixel, as torchvision's ``ClampKeyPoints``."""


@dataclass(frozen=True)
class SanitizeBoundingBoxes(Transform):
    """Removes boxes that are too small or reach out of their image, as torchvision's ``SanitizeBoundingBoxes``.

    Args:
        min_size: The least width and height, in pixels; 1 by default.
        min_area: The least area, in pixels; 1 by default.
        labels: The fields with one entry for each box, which lose the same entries: ``("labels",)`` by default.

    Raises:
        ValueError: A size or an area below 1. Fields that do not go with the boxes are found when the loader is made.
    """

    min_size: float = 1.0
    min_area: float = 1.0
    labels: Sequence[str] = ("labels",)


@dataclass(frozen=True)
class ConvertBoundingBoxFormat(Transform):
    """Writes boxes as other numbers, as torchvision's ``ConvertBoundingBoxFormat``.

    Args:
        format: What the batch is to hold: ``"XYXY"``, ``"XYWH"`` or ``"CXCYWH"``.

    Raises:
        ValueError: The format is none of these.
    """

    format: BoxFormat
