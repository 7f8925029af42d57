"""The libraries whose arrays a batch gives."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, Final, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from stokehold import _native

__all__ = ["OUTPUTS", "Output", "is_tensor", "turned"]

Output: TypeAlias = Literal["numpy", "torch", "jax"]
"""The library whose arrays a batch gives."""


def _to_numpy(field: _native.Field) -> npt.NDArray[Any]:
    array: npt.NDArray[Any] = np.asarray(field)
    if field.dtype == "bfloat16":
        import ml_dtypes  # noqa: PLC0415: NumPy has no bfloat16 of its own; this package comes with JAX.

        return array.view(ml_dtypes.bfloat16)
    return array


def _to_torch(field: _native.Field) -> Any:
    import torch  # noqa: PLC0415: optional, and slow to import.

    return torch.from_dlpack(field)


def _to_jax(field: _native.Field) -> Any:
    import jax  # noqa: PLC0415: optional, and slow to import.

    return jax.dlpack.from_dlpack(field)


OUTPUTS: Final[dict[Output, Callable[[_native.Field], Any]]] = {
    "numpy": _to_numpy,
    "torch": _to_torch,
    "jax": _to_jax,
}


def is_tensor(value: object) -> bool:
    """Tells whether a value is a tensor of PyTorch's."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def turned(value: Any, output: Output) -> Any:
    """Returns an array of any library as one of this one."""
    if output == "numpy":
        return np.asarray(value.cpu() if is_tensor(value) else value)
    if output == "torch":
        import torch  # noqa: PLC0415: optional, and slow to import.

        return torch.as_tensor(value)
    import jax  # noqa: PLC0415: optional, and slow to import.

    return jax.numpy.asarray(value.numpy(force=True) if is_tensor(value) else value)
