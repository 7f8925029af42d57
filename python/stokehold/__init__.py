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

import importlib
from typing import Final

from stokehold._native import DecodeError, SlotsExhaustedError, WorkerError, __version__

_HOMES: Final = {
    "adapters": ("Albumentations", "TorchVision"),
    "array_files": ("Npy", "Npz", "Safetensors"),
    "arrow.hugging_face": ("HuggingFace",),
    "arrow.ipc": ("Arrow",),
    "audio": ("Audio", "Waveform"),
    "batch": ("Batch", "Ragged"),
    "coco": ("CocoDetection",),
    "cut": ("Cut",),
    "cuts": ("Buckets", "Packing", "TokenBudget"),
    "encoded": ("Images", "Masks"),
    "image_folder": ("ImageFolder",),
    "images": ("decode_jpeg",),
    "lists": ("BoundingBoxes", "KeyPoints", "Lists"),
    "loader": ("FieldSpec", "Loader", "freeze_support"),
    "manifest.files": ("Csv", "JsonLines"),
    "manifest.kinds": (
        "BoxColumn",
        "KeyPointColumn",
        "LabelColumn",
        "ListColumn",
        "ManifestColumn",
        "MultiLabelColumn",
        "NumberColumn",
        "PathColumn",
        "TextColumn",
    ),
    "mds": ("Mds",),
    "mix": ("BatchTransform", "CutMix", "MixUp"),
    "multi_scale": ("MultiScale",),
    "orders.base": ("Order",),
    "orders.curriculum": ("Curriculum",),
    "orders.explicit": ("Explicit",),
    "orders.mixture": ("Mixture",),
    "orders.repeated": ("Repeated",),
    "orders.weighted": ("Weighted",),
    "parquet": ("Parquet",),
    "sources": ("Source", "concat"),
    "table": ("Arrays", "Table"),
    "tf_record": ("Feature", "TFRecord"),
    "token_bin": ("TokenBin",),
    "transforms.base": ("Transform",),
    "transforms.calls": ("Call", "Map"),
    "transforms.chats": ("ChatTemplate",),
    "transforms.color": (
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
    ),
    "transforms.composed": ("Compose", "RandomApply", "RandomChoice", "RandomOrder"),
    "transforms.crops": ("FiveCrop", "TenCrop"),
    "transforms.detection": ("Mosaic", "RandomIoUCrop", "RandomShortestSize", "RandomZoomOut", "ScaleJitter"),
    "transforms.elastic": ("ElasticTransform",),
    "transforms.elements": (
        "DecodeImage",
        "IMAGENET_MEAN",
        "IMAGENET_STD",
        "Layout",
        "Mode",
        "Normalize",
        "RandomErasing",
        "ToDtype",
        "ToLayout",
    ),
    "transforms.geometry": (
        "CenterCrop",
        "Interpolation",
        "Pad",
        "PaddingMode",
        "RandomAffine",
        "RandomCrop",
        "RandomHorizontalFlip",
        "RandomPerspective",
        "RandomResizedCrop",
        "RandomRotation",
        "RandomVerticalFlip",
        "Resize",
    ),
    "transforms.places": (
        "BoxFormat",
        "ClampBoundingBoxes",
        "ClampKeyPoints",
        "ConvertBoundingBoxFormat",
        "SanitizeBoundingBoxes",
    ),
    "transforms.policies": ("AugMix", "AutoAugment", "RandAugment", "TrivialAugmentWide"),
    "transforms.sound": ("AmplitudeToDB", "FrequencyMasking", "MelSpectrogram", "Spectrogram", "TimeMasking"),
    "transforms.tokens": ("TokenOutput", "Tokenize"),
    "transforms.views": ("View",),
    "user.streams": ("WorkerInfo", "get_worker_info"),
    "web_dataset": ("Member", "WebDataset"),
    "windows": ("Windows",),
}
"""The public names of each module, which is imported when one of them is first asked for: a coordinator that runs
code of users, whose first batch somebody waits for, needs few of them."""

_HOME: Final = {name: module for module, names in _HOMES.items() for name in names}
_MODULES: Final = {module.partition(".")[0] for module in _HOMES}

__all__ = ["DecodeError", "SlotsExhaustedError", "WorkerError", "__version__", *_HOME]  # noqa: PLE0604


def __getattr__(name: str) -> object:
    if name in _HOME:
        value = getattr(importlib.import_module(f"stokehold.{_HOME[name]}"), name)
    elif name in _MODULES:
        value = importlib.import_module(f"stokehold.{name}")
    else:
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULES, *__all__})
