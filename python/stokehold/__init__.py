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
from stokehold.loader import FieldSpec, Loader
from stokehold.sources import Arrays, CocoDetection, ImageFolder, Images, Lists, Masks, Table
from stokehold.transforms import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    CenterCrop,
    Normalize,
    RandomHorizontalFlip,
    RandomResizedCrop,
    Resize,
    ToDtype,
    ToLayout,
    Transform,
)

__all__ = [
    "IMAGENET_MEAN",
    "IMAGENET_STD",
    "Arrays",
    "Batch",
    "CenterCrop",
    "CocoDetection",
    "DecodeError",
    "FieldSpec",
    "ImageFolder",
    "Images",
    "Lists",
    "Loader",
    "Masks",
    "Normalize",
    "Ragged",
    "RandomHorizontalFlip",
    "RandomResizedCrop",
    "Resize",
    "SlotsExhaustedError",
    "Table",
    "ToDtype",
    "ToLayout",
    "Transform",
    "WorkerError",
    "__version__",
]
