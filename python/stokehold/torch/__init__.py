"""PyTorch's ``DataLoader``, with workers that write batches into shared memory that is used again.

    >>> from stokehold.torch import DataLoader
    >>> loader = DataLoader(range(10), batch_size=4)

What goes in, what comes out, in which order and with which random numbers are those of
``torch.utils.data.DataLoader``, of which this is a subclass. `StatefulDataLoader` is torchdata's in the same way.
"""

from typing import TYPE_CHECKING, Any

from stokehold.torch.adopt import adopt
from stokehold.torch.loader import DataLoader
from stokehold.torch.native import NativeLoader, from_torchvision
from stokehold.torch.pooled import PoolLoader
from stokehold.torch.sampler import DistributedSampler

if TYPE_CHECKING:
    from stokehold.torch.stateful import StatefulDataLoader

__all__ = [
    "DataLoader",
    "DistributedSampler",
    "NativeLoader",
    "PoolLoader",
    "StatefulDataLoader",
    "adopt",
    "from_torchvision",
]


def __getattr__(name: str) -> Any:
    if name == "StatefulDataLoader":
        from stokehold.torch.stateful import StatefulDataLoader  # noqa: PLC0415 (torchdata is optional)

        return StatefulDataLoader
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
