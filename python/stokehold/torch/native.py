"""torchvision's image folders, read and transformed without Python."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from enum import Enum
from typing import Any, Final, Self

import numpy as np
import torch

import stokehold as sh
from stokehold import transforms as native
from stokehold.ranks import Ranks

__all__ = ["NativeLoader", "from_torchvision"]

SAME: Final = (
    "AutoAugment",
    "CenterCrop",
    "ColorJitter",
    "GaussianBlur",
    "Grayscale",
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
    "ToDtype",
    "TrivialAugmentWide",
)
"""Transforms whose arguments have the same names here and there."""

TO_TENSOR: Final = ("ToImage", "PILToTensor", "ToTensor", "ToPureTensor")


def from_torchvision(dataset: Any, batch_size: int = 1, *, shuffle: bool = False, **options: Any) -> NativeLoader:
    """Returns a loader of the images of a torchvision dataset whose decoding and transforms are native.

    Pixels differ from torchvision's within the tolerances of `stokehold.transforms`, and random transforms draw from a
    generator of their own: batches are a function of the seed, the epoch and the index.

    Args:
        dataset: A torchvision ``ImageFolder``, or a ``torch.utils.data.Subset`` of one, whose ``transform`` is made of
            transforms that stokehold has too, and which has no ``target_transform`` and no loader of its own.
        batch_size: The rows of a batch.
        shuffle: Whether each epoch has an order of its own.
        **options: Further arguments of `stokehold.Loader`: ``num_workers``, ``drop_last``, ``seed``, ... By default
            the seed is drawn from PyTorch's generator; with several ranks, which must have the same one, it is 0, as
            that of PyTorch's ``DistributedSampler``.

    Returns:
        A loader of batches ``[images, labels]``, as PyTorch's would collate them; with ``valid_field``, its mask behind
        them.

    Raises:
        ValueError: Something about the dataset has no native counterpart; the message says what.
    """
    folder, indices = dataset, None
    while isinstance(folder, torch.utils.data.Subset):
        indices = folder.indices if indices is None else [folder.indices[index] for index in indices]
        folder = folder.dataset
    for name in ("samples", "transform", "loader"):
        if not hasattr(folder, name):
            raise ValueError(
                f"from_torchvision: dataset must be an ImageFolder of torchvision, or a Subset of one: "
                f"{type(folder).__name__} is no torchvision ImageFolder: it has no `{name}`"
            )
    if getattr(folder, "target_transform", None) is not None:
        raise ValueError("target_transform has no native counterpart: change the labels in the training loop")
    if getattr(folder.loader, "__module__", "") != "torchvision.datasets.folder":
        raise ValueError("the dataset has a loader of its own, which has no native counterpart")
    samples = folder.samples if indices is None else [folder.samples[index] for index in indices]
    table = sh.Table(
        {
            "image": sh.Images([path for path, _ in samples]),
            "label": np.array([label for _, label in samples], np.int64),
        }
    )
    seed, is_drawn = options.pop("seed", None), False
    if seed is None:
        ranks = Ranks.given(options.get("rank"), options.get("world_size")) or Ranks.found(may_come=True)
        is_drawn = ranks.world_size == 1
        # Generators of ranks may differ, and then they would cut different orders.
        seed = int(torch.empty((), dtype=torch.int64).random_()) if is_drawn else 0
    chain = list(_converted(folder.transform))
    return NativeLoader(
        sh.Loader(
            table,
            batch_size=batch_size,
            shuffle=shuffle,
            seed=seed,
            transforms={"image": chain},
            output="torch",
            **options,
        ),
        is_drawn=is_drawn,
    )


class NativeLoader:
    """Batches ``[images, labels]`` of the `stokehold.Loader` at `loader`. Each ``iter`` begins the next epoch."""

    def __init__(self, loader: sh.Loader, *, is_drawn: bool = False) -> None:
        self.loader = loader
        self._is_drawn = is_drawn
        """Whether the seed was drawn, which is no other rank's."""

    def __len__(self) -> int:
        """Returns the number of batches of an epoch."""
        return len(self.loader)

    def __iter__(self) -> Iterator[list[torch.Tensor]]:
        return map(self.given, self.loader)

    def given(self, batch: sh.Batch) -> list[torch.Tensor]:
        """Returns a batch of `loader` as a list.

        Raises:
            RuntimeError: The ranks draw from different orders.
        """
        ranks = self.loader.ranks
        if self._is_drawn and ranks.world_size > 1:
            raise RuntimeError(
                f"from_torchvision: this became one of {ranks.world_size} ranks ({ranks.by}) after the seed was drawn, "
                "which each has for itself: pass seed=, the same on all of them"
            )
        return list(batch.values())

    def __getattr__(self, name: str) -> Any:
        """Returns what the loader has beyond this, such as `set_epoch`."""
        if name == "loader":
            raise AttributeError(name)
        return getattr(self.loader, name)

    def state_dict(self) -> dict[str, Any]:
        """Returns where the epoch is."""
        return self.loader.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on from there, with any number of workers."""
        self.loader.load_state_dict(state)

    def close(self) -> None:
        """Ends the workers."""
        self.loader.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _converted(transform: Any) -> Iterator[sh.Transform]:
    """Yields the native counterparts of a chain, which ends with the channels first."""
    steps = list(_flat(transform))
    if not any(type(step).__name__ in TO_TENSOR for step in steps):
        raise ValueError("the transform leaves images that cannot be batched: add ToTensor, or ToImage and ToDtype")
    for step in steps:
        name = type(step).__name__
        if not type(step).__module__.startswith("torchvision.transforms") or (
            name not in {*SAME, *TO_TENSOR, "ConvertImageDtype"}
        ):
            raise ValueError(f"{name} has no native counterpart; use stokehold.torch.DataLoader for this dataset")
        if not getattr(step, "antialias", True):
            raise ValueError(f"{name} without antialias has no native counterpart")
        if name == "ToTensor":
            yield sh.ToDtype("float32", scale=True)
        elif name == "ConvertImageDtype":
            yield sh.ToDtype(_plain(step.dtype), scale=True)
        elif name in SAME:
            kind = getattr(native, name)
            yield kind(**{field.name: _argument(name, field.name, step) for field in fields(kind)})
    yield sh.ToLayout("CHW")


def _flat(transform: Any) -> Iterator[Any]:
    if type(transform).__name__ == "Compose":
        for step in transform.transforms:
            yield from _flat(step)
    elif transform is not None:
        yield transform


def _argument(transform: str, name: str, step: Any) -> Any:
    value = _plain(getattr(step, name))
    # torchvision's own form of the word.
    return "random" if (transform, name, value) == ("RandomErasing", "value", None) else value


def _plain(value: Any) -> Any:
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, torch.dtype):
        return str(value).removeprefix("torch.")
    return value
