"""Loaders as frameworks take them, with stokehold's workers."""

from __future__ import annotations

from typing import Any

from torch.utils.data import BatchSampler, IterableDataset
from torch.utils.data import DataLoader as TorchDataLoader

import stokehold as sh
from stokehold.torch.loader import DataLoader
from stokehold.torch.native import NativeLoader
from stokehold.torch.pooled import Batches, PoolLoader

__all__ = ["adopt"]

WRAPPERS = ("base_dataloader", "_dataloader")
"""Where the loaders of Accelerate and Ray Train keep the plain one that they have built."""


def adopt(loader: Any) -> Any:
    """Returns a loader as PyTorch's are, with stokehold's workers.

    A `stokehold.Loader` becomes a `PoolLoader`, for frameworks that ask for a ``torch.utils.data.DataLoader``; so does
    what `from_torchvision` returns::

        loader = accelerator.prepare(adopt(sh.Loader(source, batch_size=64, output="torch")))

    A loader of PyTorch becomes one with the same arguments. Accelerate, the Trainer of Transformers and Ray Train build
    a plain PyTorch loader from the attributes of the one that they are given, and wrap it; so this goes around what
    they return::

        loader = adopt(accelerator.prepare(loader))


        class Trainer(transformers.Trainer):
            def get_train_dataloader(self):
                return adopt(super().get_train_dataloader())

    Args:
        loader: A `stokehold.Loader` with ``output="torch"``; a ``DataLoader`` of PyTorch or a ``StatefulDataLoader`` of
            torchdata; or a wrapper around one, as Accelerate and Ray Train make it, in which the loader is replaced.

    Returns:
        A new loader; a wrapper itself, changed. A ``DataLoader`` of stokehold's as it is.

    Raises:
        TypeError: This is no such loader.
        ValueError: A `stokehold.Loader` gives arrays of another library.
    """
    if isinstance(loader, NativeLoader):
        return PoolLoader(Batches(loader.loader, loader.given))
    if isinstance(loader, sh.Loader):
        if loader.output != "torch":
            raise ValueError(f'adopt: the Loader must be made with output="torch", not {loader.output!r}')
        return PoolLoader(Batches(loader))
    for name in WRAPPERS:
        inner = vars(loader).get(name) if hasattr(loader, "__dict__") else None
        if isinstance(inner, TorchDataLoader):
            setattr(loader, name, adopt(inner))
            return loader
    if isinstance(loader, DataLoader) or isinstance(getattr(loader, "dataset", None), Batches):
        return loader
    if type(loader) is TorchDataLoader:
        return DataLoader(**_arguments(loader))
    if type(loader).__module__ == "torchdata.stateful_dataloader.stateful_dataloader":
        from stokehold.torch.stateful import StatefulDataLoader  # noqa: PLC0415 (torchdata is optional)

        return StatefulDataLoader(**_arguments(loader), snapshot_every_n_steps=loader.snapshot_every_n_steps)
    raise TypeError(
        f"adopt: loader: {type(loader).__name__} is neither PyTorch's DataLoader nor a wrapper around one, nor a "
        "stokehold.Loader"
    )


def _arguments(loader: TorchDataLoader[Any]) -> dict[str, Any]:
    """Returns the arguments that make such a loader, with its own samplers."""
    names = ["num_workers", "collate_fn", "pin_memory", "timeout", "worker_init_fn", "multiprocessing_context"]
    names += ["generator", "persistent_workers", "in_order"]
    if loader.num_workers > 0:
        names += ["prefetch_factor"]
    if isinstance(loader.dataset, IterableDataset):
        names += ["batch_size", "drop_last"]
    elif loader.batch_size is None and loader.batch_sampler is not None:
        names += ["batch_sampler"]
    elif type(loader.batch_sampler) is BatchSampler or loader.batch_sampler is None:
        names += ["batch_size", "drop_last", "sampler"]
    else:
        names += ["batch_sampler"]
    return {"dataset": loader.dataset} | {name: getattr(loader, name) for name in names if hasattr(loader, name)}
