"""A batch and the arrays made of it."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, overload

import numpy as np
import numpy.typing as npt

from stokehold import _native
from stokehold.checks import items, shown
from stokehold.outputs import OUTPUTS, Output, is_tensor, turned
from stokehold.rows import DenseRows, SlotRows

__all__ = ["Batch", "Ragged"]


class Ragged(Sequence[Any]):
    """A field whose rows vary in shape: one array for each row, a view of the slot.

    Each array keeps the slot, as those of other fields do, and is made when it is asked for. ``Ragged(rows)`` holds
    other arrays, such as those that a framework has moved to a device.
    """

    __slots__ = ("_rows",)

    def __init__(self, rows: Iterable[Any] = ()) -> None:
        # Whoever walks trees puts anything into the place of arrays, so they are not looked at.
        is_ours = isinstance(rows, SlotRows | DenseRows)
        self._rows: Any = rows if is_ours else items("Ragged: rows", rows, "a sequence of arrays")

    def __len__(self) -> int:
        """Returns the number of rows."""
        return len(self._rows)

    @overload
    def __getitem__(self, row: int) -> Any: ...
    @overload
    def __getitem__(self, row: slice) -> list[Any]: ...
    def __getitem__(self, row: int | slice) -> Any:
        """Returns a row as an array of the loader's ``output``, or a list of them.

        Raises:
            IndexError: The batch has no such row.
        """
        return self._rows[row]

    def turned(self, output: Output) -> Ragged:
        """Returns the same rows as arrays of this library; views where they can be."""
        rows = self._own
        return Ragged([turned(row, output) for row in self._rows] if rows is None else rows.turned(output))

    @property
    def _own(self) -> Any:
        """The rows, where they lie in a slot."""
        return self._rows if isinstance(self._rows, SlotRows | DenseRows) else None

    @property
    def shapes(self) -> list[tuple[int, ...]]:
        """The shape of each row."""
        rows = self._own
        return [tuple(row.shape) for row in self._rows] if rows is None else list(rows.shapes)

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """The first extent of each row, of shape (rows,)."""
        return np.array([shape[0] for shape in self.shapes], dtype=np.int64)

    @property
    def values(self) -> Any:
        """The values of all rows, one after the other: of shape (values, ...), an array of the rows' library.

        It is a view of the slot with a `cut` that pads nothing; else a copy, as there is room between rows.
        """
        if isinstance(self._rows, DenseRows):
            return self._rows.values
        rows = list(self.turned("numpy"))
        joined = np.concatenate(rows) if rows else np.empty(0)
        first = self[0] if rows else joined
        if is_tensor(first):
            return turned(joined, "torch").to(first.device)
        return joined if isinstance(first, np.ndarray) else turned(joined, "jax")

    @property
    def offsets(self) -> npt.NDArray[np.int64]:
        """Where in `values` each row begins, and where the last one ends: of shape (rows + 1,)."""
        if isinstance(self._rows, DenseRows):
            return self._rows.offsets
        return np.concatenate(([0], np.cumsum(self.lengths, dtype=np.int64)))

    def mapped(self, function: Callable[[Any], Any]) -> Ragged:
        """Returns what a function makes of the arrays: of all values together, where they lie one after the other."""
        if isinstance(self._rows, DenseRows):
            return Ragged(DenseRows(function(self._rows.values), self._rows.offsets))
        return Ragged(map(function, self))

    def nested(self) -> Any:
        """Returns a nested tensor of PyTorch's in the layout ``torch.jagged``, over `values` and `offsets`."""
        import torch  # noqa: PLC0415: optional, and slow to import.

        values = turned(self.values, "torch")
        offsets = torch.from_numpy(self.offsets).to(values.device)
        return torch.nested.nested_tensor_from_jagged(values, offsets)

    def padded(self, fill: float = 0, *, shape: Sequence[int] | None = None) -> Any:
        """Returns a copy as one array of the rows' library, each row at the start of its axes.

        Args:
            fill: What stands where a row has nothing.
            shape: The shape of one row of the result; by default the largest extent of each axis in this batch.

        Returns:
            An array of (rows, *shape); `lengths` and `shapes` tell what is filling.

        Raises:
            ValueError: A row does not fit `shape`.
        """
        rows, shapes = list(self.turned("numpy")), self.shapes
        if shape is None:
            shape = [max(extents) for extents in zip(*shapes, strict=True)]
        for at, extents in enumerate(shapes):
            if len(extents) != len(shape) or any(extent > room for extent, room in zip(extents, shape, strict=True)):
                raise ValueError(f"row {at} of shape {extents} does not fit {tuple(shape)}")
        dense = np.full((len(rows), *shape), fill, dtype=rows[0].dtype)
        for row, place in zip(rows, dense, strict=True):
            place[tuple(map(slice, row.shape))] = row
        first = self[0]
        if is_tensor(first):
            import torch  # noqa: PLC0415: optional, and slow to import.

            if dense.dtype.name == "bfloat16":
                return torch.from_numpy(dense.view(np.int16)).view(torch.bfloat16).to(first.device)
            return torch.from_numpy(dense).to(first.device)
        return dense if isinstance(first, np.ndarray) else turned(dense, "jax")

    def __reduce__(self) -> tuple[Any, ...]:
        copied = self.mapped(_copied)
        return Ragged, (copied._rows if isinstance(self._rows, DenseRows) else list(copied),)  # noqa: SLF001 (its own)

    def __repr__(self) -> str:
        return f"Ragged({len(self)} rows of {', '.join(map(str, self.shapes))})"


def _copied(value: Any) -> Any:
    """Returns an array in memory of its own."""
    if isinstance(value, Ragged):
        return value.mapped(_copied)
    if is_tensor(value):
        return value.clone()
    return value.copy() if isinstance(value, np.ndarray) else value


class Facts(NamedTuple):
    """What is known of a batch beside its fields."""

    rows: int
    epoch: int
    indices: list[int]
    repeats: list[int]
    """The rows that are not valid."""
    spans: list[tuple[int, int, int]] | None = None
    """With a cut, where each row begins among the values, how many it has, and its number in its row."""
    values: int = 0
    """With a cut, how many values a field has, padding included."""
    variant: int | None = None
    """Which variant it has, where batches have one of several."""


def _mask(told: Facts | _native.Batch) -> npt.NDArray[np.bool_]:
    """Returns which rows are valid."""
    mask = np.ones(told.rows, np.bool_)
    mask[told.repeats] = False
    return mask


class SlotFields(Mapping[str, Any]):
    """The fields of a batch, as they lie in a slot: an array for each, made when it is first asked for.

    The one without a position, if there is one, is the mask of the valid rows.
    """

    __slots__ = ("_arrays", "_output", "_positions", "_ragged", "native")

    def __init__(
        self, native: _native.Batch, positions: Mapping[str, int | None], ragged: frozenset[str], output: Output
    ) -> None:
        self.native = native
        self._positions = positions
        self._ragged = ragged
        self._output = output
        self._arrays: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        try:
            return self._arrays[name]
        except KeyError:
            array = self._arrays[name] = self.turned(name, self._output)
            return array

    def __iter__(self) -> Iterator[str]:
        return iter(self._positions)

    def __len__(self) -> int:
        return len(self._positions)

    def is_ragged(self, name: str) -> bool:
        """Tells whether the rows of a field vary."""
        return name in self._ragged

    def turned(self, name: str, output: Output) -> Any:
        """Returns a field as an array of this library."""
        position = self._positions[name]
        if position is None:
            return turned(_mask(self.native), output)
        if name in self._ragged:
            native = self.native
            is_apart = native.is_ragged(position)
            return Ragged((SlotRows if is_apart else DenseRows.of)(native, position, output))
        return OUTPUTS[output](self.native.field(position))

    def field(self, name: str) -> Any:
        """Returns a field itself."""
        position = self._positions[name]
        return _mask(self.native) if position is None else self.native.field(position)


def _by_name(fields: Any) -> dict[str, Any]:
    try:
        return dict(fields)
    except (TypeError, ValueError):
        raise TypeError(f"Batch: fields must be a mapping of names to arrays, not {shown(fields)}") from None


class Batch(Mapping[str, Any]):
    """One batch: views of a slot in shared memory, by field name.

    A held batch belongs to its holder alone: its arrays may be written to, and never change by themselves. The slot
    goes back to the pool when the batch and every array made of it are gone, in any order among batches; the memory
    stays valid until then, also after the loader is closed.

    It is a tree as a dict of its arrays is one: ``Batch({"x": array})`` is how frameworks rebuild it when they move,
    join or gather arrays, and PyTorch's, JAX's and optree's functions for trees walk through it. A batch that is
    pickled, or copied by `copy.deepcopy`, becomes copies.
    """

    __slots__ = ("_facts", "_fields")

    def __init__(self, fields: Mapping[str, Any] | Iterable[tuple[str, Any]] = (), facts: Facts | None = None) -> None:
        # In the place of arrays there may be anything.
        self._fields: SlotFields | dict[str, Any] = fields if isinstance(fields, SlotFields) else _by_name(fields)
        self._facts = facts

    def __getitem__(self, name: str) -> Any:
        """Returns a field as an array of the loader's ``output``, its first axis the row; a ragged one as `Ragged`.

        Raises:
            KeyError: There is no such field.
        """
        try:
            return self._fields[name]
        except KeyError:
            raise self._no_field(name) from None

    def _turned(self, name: str, output: Output) -> Any:
        if isinstance(self._fields, SlotFields):
            return self._fields.turned(name, output)
        value = self[name]
        return value.turned(output) if isinstance(value, Ragged) else turned(value, output)

    def _no_field(self, name: object) -> KeyError:
        return KeyError(f"no field {name!r}; the batch has {', '.join(self._fields)}")

    def __iter__(self) -> Iterator[str]:
        return iter(self._fields)

    def __len__(self) -> int:
        """Returns the number of fields; `rows` is the number of rows."""
        return len(self._fields)

    def __repr__(self) -> str:
        facts = self._known()
        parts = [f"{name}: {self._described(name)}" for name in self]
        return f"Batch({', '.join(parts if facts is None else [f'epoch={facts.epoch}', *parts])})"

    def _described(self, name: str) -> str:
        fields = self._fields
        value = fields.field(name) if isinstance(fields, SlotFields) and not fields.is_ragged(name) else self[name]
        has_shape = hasattr(value, "dtype") and hasattr(value, "shape")
        return f"{value.dtype}{list(value.shape)}" if has_shape else repr(value)

    def _known(self) -> Facts | None:
        if not isinstance(self._fields, SlotFields):
            return self._facts
        native = self._fields.native
        return Facts(
            native.rows, native.epoch, native.indices, native.repeats, native.spans, native.values, native.variant
        )

    def _told(self, name: str, advice: str = "ask the one that the loader gave") -> Facts | _native.Batch:
        told = self._fields.native if isinstance(self._fields, SlotFields) else self._facts
        if told is None:
            raise AttributeError(f"this batch was made of arrays, and has no {name}: {advice}")
        return told

    @property
    def rows(self) -> int:
        """The number of rows: ``batch_size``, or less at the end of an epoch; with a `cut`, the number of samples."""
        if self._facts is None and not isinstance(self._fields, SlotFields):
            return len(next(iter(self.values()), ()))
        return self._told("rows").rows

    @property
    def epoch(self) -> int:
        """The epoch that the batch belongs to.

        Raises:
            AttributeError: The batch was made of arrays.
        """
        return self._told("epoch").epoch

    @property
    def indices(self) -> npt.NDArray[np.int64]:
        """The index of each row's sample in the source, of shape (rows,); -1 where a cut by lengths has left one out.

        Raises:
            AttributeError: The batch was made of arrays.
        """
        return np.array(self._told("indices").indices, dtype=np.int64)

    @property
    def valid(self) -> npt.NDArray[np.bool_]:
        """Which rows count, of shape (rows,): False where a sample comes again.

        It does so to even out the ranks (``even="pad"``), or in place of a bad sample (``on_error="skip"`` and
        ``"replace"``); with a `cut` by lengths, that one's span is left as padding. The samples of valid rows, of
        all ranks together, are each sample of the epoch that can be read, once. What walks through trees, and rebuilds
        a batch, keeps its arrays alone: for a mask that goes along with them, name one by the loader's ``valid_field``.

        Raises:
            AttributeError: The batch was made of arrays.
        """
        return _mask(self._told("valid", 'ask the one that the loader gave, or its field valid_field="..."'))

    @property
    def variant(self) -> int:
        """Which variant the batch has, of those of a `MultiScale`, from 0 on.

        Raises:
            AttributeError: The loader has no such `cut`, or the batch was made of arrays.
        """
        variant = self._told("variant").variant
        if variant is None:
            raise AttributeError("this batch has no variant: its loader's cut is no MultiScale")
        return variant

    def _spans(self, name: str) -> npt.NDArray[np.int64]:
        """Returns where each row begins among the values of fields that are cut, and how many it has."""
        spans = self._told(name).spans
        if spans is None:
            raise AttributeError(f"this batch has no {name}: its loader has no cut by lengths")
        return np.array(spans, np.int64).reshape(-1, 3)

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """With a `cut` by lengths: how many values each sample has in the batch, of shape (rows,).

        Raises:
            AttributeError: The loader has no cut by lengths, or the batch was made of arrays.
        """
        return self._spans("lengths")[:, 1]

    @property
    def cu_seqlens(self) -> npt.NDArray[np.int32]:
        """With a `cut` by lengths: where each sample begins among a field's values, ``field.reshape(-1, ...)``.

        Between samples there may be padding, which then is a sequence of its own; the last number is that of all
        values. So it is what flash-attention's functions for sequences of other lengths take, which attend to nothing
        beyond a sequence. It is of shape (sequences + 1,).

        Raises:
            AttributeError: As for `lengths`.
        """
        spans = self._spans("cu_seqlens")
        ends = spans[:, 0] + spans[:, 1]
        total = self._told("cu_seqlens").values
        return np.unique(np.concatenate(([0], spans[:, 0], ends, [total]))).astype(np.int32)

    @property
    def max_seqlen(self) -> int:
        """With a `cut` by lengths: the longest sequence of `cu_seqlens`.

        Raises:
            AttributeError: As for `lengths`.
        """
        return int(np.diff(self.cu_seqlens).max(initial=0))

    def field(self, name: str) -> Any:
        """Returns a field itself, for any library that takes DLPack, the array interface or the buffer protocol.

        Raises:
            KeyError: There is no such field.
            TypeError: The field is ragged: each of its rows is an array of its own.
        """
        if not isinstance(self._fields, SlotFields):
            return self[name]
        try:
            return self._fields.field(name)
        except KeyError:
            raise self._no_field(name) from None

    def text(self, name: str) -> list[str]:
        """Returns a field of UTF-8 text, a ragged one of ``uint8``, as one string for each row.

        Raises:
            KeyError: There is no such field.
            TypeError: The field is no text.
            UnicodeDecodeError: A row is not UTF-8.
        """
        return [row.tobytes().decode() for row in self._bytes(name, "text: a ragged field of bytes is")]

    def objects(self, name: str) -> list[Any]:
        """Returns a field of pickled objects, as one object for each row. Each is unpickled here, at its own price.

        A row whose sample was left out has None.

        Raises:
            KeyError: There is no such field.
            TypeError: The field is no object.
        """
        rows = self._bytes(name, "object: a ragged field of pickles is")
        return [pickle.loads(row) if row.size else None for row in rows]  # noqa: S301 (made by the loader's own workers)

    def _bytes(self, name: str, what: str) -> Ragged:
        rows = self[name]
        rows = rows.turned("numpy") if isinstance(rows, Ragged) else rows
        if not isinstance(rows, Ragged) or any(row.dtype != np.uint8 or row.ndim != 1 for row in rows):
            raise TypeError(f"field {name!r} is no {what}")
        return rows

    def to(self, device: Any, *, non_blocking: bool = False) -> Batch:
        """Returns a batch of tensors on a device of PyTorch; those that are there already are the same.

        Args:
            device: As `torch.Tensor.to` takes it.
            non_blocking: Whether it may return before the copies are done, as far as memory is pinned. Keep this batch
                until they are: its slot may be filled again once it is gone.
        """
        return self._mapped(lambda tensor: tensor.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> Batch:
        """Returns a batch of tensors that are copies in pinned memory, from which a GPU copies faster."""
        return self._mapped(lambda tensor: tensor.pin_memory())

    def _mapped(self, function: Callable[[Any], Any]) -> Batch:
        def of(value: Any) -> Any:
            return value.mapped(function) if isinstance(value, Ragged) else function(value)

        return Batch({name: of(array) for name, array in self.torch().items()}, self._known())

    def __copy__(self) -> Batch:
        return Batch(self._fields, self._facts)

    def __reduce__(self) -> tuple[Any, ...]:
        return Batch, ({name: _copied(array) for name, array in self.items()}, self._known())

    def numpy(self) -> dict[str, Any]:
        """Returns every field as a NumPy array, a view of the slot (``bfloat16`` needs ``ml_dtypes``)."""
        return {name: self._turned(name, "numpy") for name in self}

    def torch(self) -> dict[str, Any]:
        """Returns every field as a ``torch.Tensor``, a view of the slot."""
        return {name: self._turned(name, "torch") for name in self}

    def jax(self) -> dict[str, Any]:
        """Returns every field as a ``jax.Array``; a view of the slot where JAX allows it."""
        return {name: self._turned(name, "jax") for name in self}
