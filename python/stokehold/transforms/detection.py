"""Sizes and crops for the detection of objects, which boxes, masks and keypoints follow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from stokehold.transforms.base import Fill, Transform, as_plain, listed
from stokehold.transforms.geometry import Interpolation, antialiased

__all__ = ["Mosaic", "RandomIoUCrop", "RandomShortestSize", "RandomZoomOut", "ScaleJitter"]


@dataclass(frozen=True)
class Mosaic(Transform):
    """Puts the images of four samples together: that of the row, and three that are drawn from the whole source.

    It stands before all other transforms of an image but `DecodeImage`, and gives an image of twice the `size`, around
    a random point of which the four images lie, upper left first, each with one corner. An image is made as large as
    fits into `size`; the point is drawn between a quarter and three quarters of the result. Follow it with a
    `RandomAffine`, a `RandomCrop` to `size` or alike. This is YOLOv4's augmentation with YOLOX's numbers.

    The boxes of all four follow, clipped where their image ends, and those of which too little is to be seen are
    dropped, with their `labels`. So do keypoints (one that another image covers, or that lies beyond the result, gets
    COCO's visibility 0 if it has any) and masks, though no segmentations. All other fields are those of the row's own
    sample, as are ``batch.indices``. A field of lists that does not go with the boxes is refused.

    Which samples, and where: a function of seed, epoch and index, so the bytes are the same for any number of workers
    and after a resumption. A sample takes the reading and decoding of four; one that cannot be read makes all that
    have it bad ones (`on_error`), and the error names it. Rows have room for four times the boxes, unless ``capacity``
    says otherwise. Iterable datasets are refused.

    Args:
        size: One number for a square, or (height, width).
        fill: What no image covers, 114 by default; one value, or one per channel.
        mask_fill: The index of what no image covers in masks, 0 by default.
        min_size: The least width and height of what is to be seen of a box, in pixels of the result; 2 by default.
        min_visible: The least part of a box's area that is to be seen; 0.1 by default.
        interpolation: The filter, ``"bilinear"`` by default; masks are resized by the nearest pixel.
        labels: The fields with one entry for each box: ``("labels",)`` by default. Without boxes it means nothing.
        p: The probability, 1.0 by default. With less, images that stay as they are have no fixed size.

    Raises:
        ValueError: A size outside 1 to 16384, a negative `min_size`, a part or a probability outside 0 to 1, or an
            unknown filter.
    """

    size: int | Sequence[int]
    fill: float | Sequence[float] = 114
    mask_fill: int = 0
    min_size: float = 2.0
    min_visible: float = 0.1
    interpolation: Interpolation = "bilinear"
    labels: Sequence[str] = ("labels",)
    p: float = 1.0


@dataclass(frozen=True)
class ScaleJitter(Transform):
    """Resizes an image to a random multiple of the size that fits, as torchvision's v2 ``ScaleJitter``.

    The factor is ``min(target_size[1] / H, target_size[0] / W)`` times a number drawn from `scale_range`. (The order is
    torchvision's: the first of `target_size` is held against the width.) Takes (H, W, C) and returns an image without a
    fixed size, of at least one pixel; end with `RandomCrop`, `CenterCrop` or alike, or give its ``capacity``.

    Args:
        target_size: The size to fit into, two numbers.
        scale_range: The bounds of the factor, (0.1, 2.0) by default.
        interpolation: The filter, ``"bilinear"`` by default.
        antialias: As for `Resize`.

    Raises:
        ValueError: A size outside 1 to 65535, bounds that are not positive or not in order, or an unknown filter.
    """

    target_size: Sequence[int]
    scale_range: Sequence[float] = (0.1, 2.0)
    interpolation: Interpolation = "bilinear"
    antialias: bool | None = antialiased()


def _sizes(sizes: object) -> list[int]:
    """Returns sizes to choose from; one number is one."""
    return listed(sizes, single=True)


@dataclass(frozen=True)
class RandomShortestSize(Transform):
    """Resizes an image's shorter side to one of several sizes, as torchvision's v2 ``RandomShortestSize``.

    Takes (H, W, C) and returns an image without a fixed size, of at least one pixel; end with `RandomCrop`,
    `CenterCrop` or alike, or give its ``capacity``.

    Args:
        min_size: The sizes to choose from, or one.
        max_size: The longest that the longer side may become; None by default.
        interpolation: The filter, ``"bilinear"`` by default.
        antialias: As for `Resize`.

    Raises:
        ValueError: No size, or one outside 1 to 65535, or an unknown filter.
    """

    min_size: int | Sequence[int] = field(metadata=as_plain(_sizes))
    max_size: int | None = None
    interpolation: Interpolation = "bilinear"
    antialias: bool | None = antialiased()


@dataclass(frozen=True)
class RandomZoomOut(Transform):
    """Puts an image somewhere in a larger one with probability `p`, as torchvision's v2 ``RandomZoomOut``.

    Takes (H, W, C) and returns an image without a fixed size; end with `Resize` to two sizes or alike, or give its
    ``capacity``.

    Args:
        fill: What the larger one is made of, 0 by default; see `Pad`.
        side_range: How many times as wide and as high it is, (1.0, 4.0) by default.
        p: The probability, 0.5 by default.

    Raises:
        ValueError: Bounds below 1 or not in order, or a probability outside 0 to 1.
    """

    fill: Fill = 0
    side_range: Sequence[float] = (1.0, 4.0)
    p: float = 0.5


@dataclass(frozen=True)
class RandomIoUCrop(Transform):
    """Cuts out a random box by its overlap with the bounding boxes, as torchvision's v2 ``RandomIoUCrop`` (SSD's crop).

    An overlap is drawn from `sampler_options`, then up to `trials` boxes, until one has the centre of a bounding box in
    it and overlaps one of those by that much (intersection over union); else another overlap is drawn. One field of
    `BoundingBoxes` must follow the image. Those of them whose centre is cut off become zeros, as torchvision's:
    `SanitizeBoundingBoxes` in the transforms of the boxes removes them, with their labels. Masks and keypoints follow
    the crop. An image without boxes stays as it is. So does one for which 200 overlaps did not do,
    where torchvision goes on for ever.

    Takes (H, W, C) and returns an image without a fixed size; end with `Resize` to two sizes or alike, or give its
    ``capacity``.

    Args:
        min_scale: The least width and height, as fractions of the image's; 0.3 by default.
        max_scale: The largest, 1.0 by default.
        min_aspect_ratio: The least width over height, 0.5 by default.
        max_aspect_ratio: The largest, 2.0 by default.
        sampler_options: The overlaps; 1.0 or more leaves the image as it is. None is [0.0, 0.1, 0.3, 0.5, 0.7, 0.9,
            1.0].
        trials: How many boxes are tried, 40 by default.

    Raises:
        ValueError: Bounds that are not positive or not in order, a scale above 1, no overlaps or a negative one, or
            trials outside 1 to 1000. Boxes that are not there are found when the loader is made.
    """

    min_scale: float = 0.3
    max_scale: float = 1.0
    min_aspect_ratio: float = 0.5
    max_aspect_ratio: float = 2.0
    sampler_options: Sequence[float] | None = None
    trials: int = 40

    def spec(self) -> dict[str, object]:
        """Returns the transform as plain data, the form in which it is sent to the workers."""
        return {name: value for name, value in super().spec().items() if value is not None}
