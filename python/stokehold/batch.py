"""A batch and the arrays made of it."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, Literal, TypeAlias, overload

import numpy as np
import numpy.typing as npt

from stokehold import _native

__all__ = ["OUTPUTS", "Batch", "Output", "Ragged"]

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


class Ragged(Sequence[Any]):
    """A field whose rows vary in shape: one array for each row, a view of the slot.

    Each array keeps the slot, as those of other fields do, and is made when it is asked for.
    """

    __slots__ = ("_native", "_output", "_position", "_shapes")

    def __init__(self, native: _native.Batch, position: int, output: Output) -> None:
        self._native = native
        self._position = position
        self._output = output
        self._shapes = [tuple(shape) for shape in native.shapes(position)]

    def __len__(self) -> int:
        """Returns the number of rows."""
        return len(self._shapes)

    @overload
    def __getitem__(self, row: int) -> Any: ...
    @overload
    def __getitem__(self, row: slice) -> list[Any]: ...
    def __getitem__(self, row: int | slice) -> Any:
        """Returns a row as an array of the loader's ``output``, or a list of them.

        Raises:
            IndexError: The batch has no such row.
        """
        if isinstance(row, slice):
            return [self[at] for at in range(*row.indices(len(self)))]
        return OUTPUTS[self._output](self._field(range(len(self))[row]))

    def _field(self, row: int) -> _native.Field:
        return self._native.row(self._position, row)

    @property
    def shapes(self) -> list[tuple[int, ...]]:
        """The shape of each row."""
        return list(self._shapes)

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """The first extent of each row, of shape (rows,)."""
        return np.array([shape[0] for shape in self._shapes], dtype=np.int64)

    def padded(self, fill: float = 0, *, shape: Sequence[int] | None = None) -> Any:
        """Returns a copy as one array of the loader's ``output``, each row at the start of its axes.

        Args:
            fill: What stands where a row has nothing.
            shape: The shape of one row of the result; by default the largest extent of each axis in this batch.

        Returns:
            An array of (rows, *shape); `lengths` and `shapes` tell what is filling.

        Raises:
            ValueError: A row does not fit `shape`.
        """
        rows = [_to_numpy(self._field(row)) for row in range(len(self))]
        if shape is None:
            shape = [max(extents) for extents in zip(*self._shapes, strict=True)]
        for at, extents in enumerate(self._shapes):
            if len(extents) != len(shape) or any(extent > room for extent, room in zip(extents, shape, strict=True)):
                raise ValueError(f"row {at} of shape {extents} does not fit {tuple(shape)}")
        dense = np.full((len(rows), *shape), fill, dtype=rows[0].dtype)
        for row, place in zip(rows, dense, strict=True):
            place[tuple(map(slice, row.shape))] = row
        if self._output == "torch":
            import torch  # noqa: PLC0415: optional, and slow to import.

            if dense.dtype.name == "bfloat16":
                return torch.from_numpy(dense.view(np.int16)).view(torch.bfloat16)
            return torch.from_numpy(dense)
        if self._output == "jax":
            import jax  # noqa: PLC0415: optional, and slow to import.

            return jax.numpy.asarray(dense)
        return dense

    def __repr__(self) -> str:
        return f"Ragged({len(self)} rows of {', '.join(map(str, self._shapes))})"


class Batch(Mapping[str, Any]):
    """One batch: views of a slot in shared memory, by field name.

    A held batch belongs to its holder alone: its arrays may be written to, and never change by themselves. The slot
    goes back to the pool when the batch and every array made of it are gone, in any order among batches; the memory
    stays valid until then, also after the loader is closed.
    """

    __slots__ = ("_arrays", "_native", "_output", "_positions", "_ragged")

    def __init__(
        self, native: _native.Batch, positions: Mapping[str, int], ragged: frozenset[str], output: Output
    ) -> None:
        self._native = native
        self._positions = positions
        self._ragged = ragged
        self._output = output
        self._arrays: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        """Returns a field as an array of the loader's ``output``, its first axis the row; a ragged one as `Ragged`.

        Raises:
            KeyError: There is no such field.
        """
        try:
            return self._arrays[name]
        except KeyError:
            array = self._arrays[name] = self._as(name, self._output)
            return array

    def _as(self, name: str, output: Output) -> Any:
        if name in self._ragged:
            return Ragged(self._native, self._positions[name], output)
        return OUTPUTS[output](self.field(name))

    def __iter__(self) -> Iterator[str]:
        return iter(self._positions)

    def __len__(self) -> int:
        """Returns the number of fields; `rows` is the number of rows."""
        return len(self._positions)

    def __repr__(self) -> str:
        fields = ", ".join(
            f"{name}: {self[name]!r}"
            if name in self._ragged
            else f"{name}: {self.field(name).dtype}{list(self.field(name).shape)}"
            for name in self
        )
        return f"Batch(epoch={self.epoch}, {fields})"

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
            TypeError: The field is ragged: each of its rows is an array of its own.
        """
        try:
            position = self._positions[name]
        except KeyError:
            raise KeyError(f"no field {name!r}; the batch has {', '.join(self._positions)}") from None
        return self._native.field(position)

    def text(self, name: str) -> list[str]:
        """Returns a field of UTF-8 text, a ragged one of ``uint8``, as one string for each row.

        Raises:
            KeyError: There is no such field.
            TypeError: The field is no text.
            UnicodeDecodeError: A row is not UTF-8.
        """
        rows = self._as(name, "numpy") if name in self._ragged else self.field(name)
        if not isinstance(rows, Ragged) or any(row.dtype != np.uint8 or row.ndim != 1 for row in rows):
            raise TypeError(f"field {name!r} is no text: a ragged field of bytes is")
        return [row.tobytes().decode() for row in rows]

    def objects(self, name: str) -> list[Any]:
        """Returns a field of pickled objects, as one object for each row. Each is unpickled here, at its own price.

        Raises:
            KeyError: There is no such field.
            TypeError: The field is no object.
        """
        rows = self._as(name, "numpy") if name in self._ragged else self.field(name)
        if not isinstance(rows, Ragged) or any(row.dtype != np.uint8 or row.ndim != 1 for row in rows):
            raise TypeError(f"field {name!r} is no object: a ragged field of pickles is")
        return [pickle.loads(row) for row in rows]  # noqa: S301 (made by the loader's own workers)

    def numpy(self) -> dict[str, Any]:
        """Returns every field as a NumPy array, a view of the slot (``bfloat16`` needs ``ml_dtypes``)."""
        return {name: self._as(name, "numpy") for name in self}

    def torch(self) -> dict[str, Any]:
        """Returns every field as a ``torch.Tensor`` on the CPU, a view of the slot."""
        return {name: self._as(name, "torch") for name in self}

    def jax(self) -> dict[str, Any]:
        """Returns every field as a ``jax.Array`` on the CPU; a view of the slot where JAX allows it."""
        return {name: self._as(name, "jax") for name in self}
