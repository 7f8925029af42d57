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
from stokehold.batch import Batch
from stokehold.loader import FieldSpec, Loader
from stokehold.sources import Arrays, ImageFolder
from stokehold.transforms import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    AutoAugment,
    CenterCrop,
    ColorJitter,
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
    "CenterCrop",
    "ColorJitter",
    "DecodeError",
    "FieldSpec",
    "GaussianBlur",
    "Grayscale",
    "ImageFolder",
    "Loader",
    "Normalize",
    "Pad",
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
    "SlotsExhaustedError",
    "ToDtype",
    "ToLayout",
    "Transform",
    "TrivialAugmentWide",
    "WorkerError",
    "__version__",
]
