"""A batch and the arrays made of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from stokehold import _native

__all__ = ["OUTPUTS", "Batch", "Output"]

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


class Batch(Mapping[str, Any]):
    """One batch: views of a slot in shared memory, by field name.

    A held batch belongs to its holder alone: its arrays may be written to, and never change by themselves. The slot
    goes back to the pool when the batch and every array made of it are gone, in any order among batches; the memory
    stays valid until then, also after the loader is closed.
    """

    __slots__ = ("_arrays", "_native", "_output", "_positions")

    def __init__(self, native: _native.Batch, positions: Mapping[str, int], output: Output) -> None:
        self._native = native
        self._positions = positions
        self._output = output
        self._arrays: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        """Returns a field as an array of the loader's ``output``; its first axis is the row.

        Raises:
            KeyError: There is no such field.
        """
        try:
            return self._arrays[name]
        except KeyError:
            array = self._arrays[name] = OUTPUTS[self._output](self.field(name))
            return array

    def __iter__(self) -> Iterator[str]:
        return iter(self._positions)

    def __len__(self) -> int:
        """Returns the number of fields; `rows` is the number of rows."""
        return len(self._positions)

    def __repr__(self) -> str:
        fields = ", ".join(f"{name}: {field.dtype}{list(field.shape)}" for name, field in self._fields())
        return f"Batch(epoch={self.epoch}, {fields})"

    def _fields(self) -> Iterator[tuple[str, _native.Field]]:
        return ((name, self.field(name)) for name in self)

    @property
    def rows(self) -> int:
        """The number of rows: ``batch_size``, or less at the end of an epoch."""
        return self._native.rows

    @property
    def epoch(self) -> int:
        """The epoch that the batch belongs to."""
        return self._native.epoch

    @property
    def indices(self) -> npt.NDArray[np.int64]:
        """The index of each row's sample in the source, of shape (rows,)."""
        return np.array(self._native.indices, dtype=np.int64)

    def field(self, name: str) -> _native.Field:
        """Returns a field itself, for any library that takes DLPack, the array interface or the buffer protocol.

        Raises:
            KeyError: There is no such field.
        """
        try:
            return self._native.field(self._positions[name])
        except KeyError:
            raise KeyError(f"no field {name!r}; the batch has {', '.join(self._positions)}") from None

    def numpy(self) -> dict[str, npt.NDArray[Any]]:
        """Returns every field as a NumPy array, a view of the slot (``bfloat16`` needs ``ml_dtypes``)."""
        return {name: _to_numpy(field) for name, field in self._fields()}

    def torch(self) -> dict[str, Any]:
        """Returns every field as a ``torch.Tensor`` on the CPU, a view of the slot."""
        return {name: _to_torch(field) for name, field in self._fields()}

    def jax(self) -> dict[str, Any]:
        """Returns every field as a ``jax.Array`` on the CPU; a view of the slot where JAX allows it."""
        return {name: _to_jax(field) for name, field in self._fields()}
