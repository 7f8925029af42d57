"""A data-loader worker pool for deep learning.

Forked workers read, decode and transform samples straight into tensor slots in shared memory; the training loop gets
NumPy, PyTorch or JAX views of the slot, with no pickle and no copy.

    >>> import stokehold as sh
    >>> loader = sh.Loader(
    ...     sh.ImageFolder("train"), batch_size=64, shuffle=True, num_workers=2,
    ...     transforms={"image": [sh.RandomResizedCrop(224), sh.RandomHorizontalFlip()]},
    ... )
    >>> for batch in loader:
    ...     batch["image"], batch["label"]
"""

from stokehold._native import DecodeError, SlotsExhaustedError, WorkerError, __version__
from stokehold.batch import Batch, Ragged
from stokehold.columns import BoundingBoxes, Images, KeyPoints, Lists, Masks
from stokehold.images import decode_jpeg
from stokehold.loader import FieldSpec, Loader
from stokehold.mix import BatchTransform, CutMix, MixUp, RandomChoice
from stokehold.sources import ImageFolder
from stokehold.table import Arrays, CocoDetection, Table
from stokehold.transforms import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    AutoAugment,
    CenterCrop,
    ClampBoundingBoxes,
    ClampKeyPoints,
    ColorJitter,
    ConvertBoundingBoxFormat,
    DecodeImage,
    GaussianBlur,
    Grayscale,
    Normalize,
    Pad,
    RandAugment,
    RandomAffine,
    RandomCrop,
    RandomErasing,
    RandomGrayscale,
    RandomHorizontalFlip,
    RandomResizedCrop,
    RandomRotation,
    RandomVerticalFlip,
    Resize,
    SanitizeBoundingBoxes,
    ToDtype,
    ToLayout,
    Transform,
    TrivialAugmentWide,
)

__all__ = [
    "IMAGENET_MEAN",
    "IMAGENET_STD",
    "Arrays",
    "AutoAugment",
    "Batch",
    "BatchTransform",
    "BoundingBoxes",
    "CenterCrop",
    "ClampBoundingBoxes",
    "ClampKeyPoints",
    "CocoDetection",
    "ColorJitter",
    "ConvertBoundingBoxFormat",
    "CutMix",
    "DecodeError",
    "DecodeImage",
    "FieldSpec",
    "GaussianBlur",
    "Grayscale",
    "ImageFolder",
    "Images",
    "KeyPoints",
    "Lists",
    "Loader",
    "Masks",
    "MixUp",
    "Normalize",
    "Pad",
    "Ragged",
    "RandAugment",
    "RandomAffine",
    "RandomChoice",
    "RandomCrop",
    "RandomErasing",
    "RandomGrayscale",
    "RandomHorizontalFlip",
    "RandomResizedCrop",
    "RandomRotation",
    "RandomVerticalFlip",
    "Resize",
    "SanitizeBoundingBoxes",
    "SlotsExhaustedError",
    "Table",
    "ToDtype",
    "ToLayout",
    "Transform",
    "TrivialAugmentWide",
    "WorkerError",
    "__version__",
    "decode_jpeg",
]
