"""Transforms, under torchvision's names and with its defaults.

A transform here is a description: the work is done by the workers, in Rust. All but `RandomErasing`,
`Normalize`, `ToDtype` and `ToLayout` take ``uint8`` images of shape (H, W, 3), (H, W, 1) or (H, W) and
stand before those four. Crops, flips and paddings that follow each other cost one pass over the pixels, or
none. Pixels are those of torchvision's v2 kernels for ``uint8`` tensors; resizing is Pillow's.

Masks, boxes and keypoints of a `Table` take the geometry of their image, with the same draws, and only what changes no
geometry of their own: `ToDtype` for masks; `ClampBoundingBoxes`, `SanitizeBoundingBoxes` and
`ConvertBoundingBoxFormat` for boxes; `ClampKeyPoints` for keypoints.

    >>> transforms = [RandomResizedCrop(224), RandomHorizontalFlip(), Normalize(IMAGENET_MEAN, IMAGENET_STD)]
"""

from stokehold.transforms.base import Transform
from stokehold.transforms.color import ColorJitter, GaussianBlur, Grayscale, RandomGrayscale
from stokehold.transforms.elements import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    DecodeImage,
    Layout,
    Normalize,
    RandomErasing,
    ToDtype,
    ToLayout,
)
from stokehold.transforms.geometry import (
    CenterCrop,
    Interpolation,
    Pad,
    PaddingMode,
    RandomAffine,
    RandomCrop,
    RandomHorizontalFlip,
    RandomResizedCrop,
    RandomRotation,
    RandomVerticalFlip,
    Resize,
)
from stokehold.transforms.places import (
    BoxFormat,
    ClampBoundingBoxes,
    ClampKeyPoints,
    ConvertBoundingBoxFormat,
    SanitizeBoundingBoxes,
)
from stokehold.transforms.policies import AutoAugment, RandAugment, TrivialAugmentWide

__all__ = [
    "IMAGENET_MEAN",
    "IMAGENET_STD",
    "AutoAugment",
    "BoxFormat",
    "CenterCrop",
    "ClampBoundingBoxes",
    "ClampKeyPoints",
    "ColorJitter",
    "ConvertBoundingBoxFormat",
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
    "SanitizeBoundingBoxes",
    "ToDtype",
    "ToLayout",
    "Transform",
    "TrivialAugmentWide",
]
