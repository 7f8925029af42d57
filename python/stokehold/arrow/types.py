"""Which types of Arrow become fields, and of which kind."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np

__all__ = [
    "Hint",
    "Leaf",
    "Shape",
    "damage",
    "dtype_of",
    "is_bytes",
    "is_list",
    "leaves",
    "pyarrow",
    "refusal",
    "varying_shape",
]

Shape: TypeAlias = tuple[int | None, ...]

FILE_COLUMNS = ("bytes", "path")
"""The columns of a struct that stands for a file."""


class Hint(NamedTuple):
    """What features say of a column beyond its type."""

    kind: Literal["image", "bytes", "plain", "refused"] = "plain"
    shape: Shape | None = None
    names: Sequence[str] = ()
    reason: str = ""


class Leaf(NamedTuple):
    """A column, or a column within structs."""

    steps: tuple[str, ...]
    type: Any
    """Its type; of extensions, that of their storage."""
    extension: str
    hint: Hint | None

    @property
    def name(self) -> str:
        """The column's name."""
        return ".".join(self.steps)


def pyarrow() -> Any:
    """Returns the package, which only these sources need.

    Raises:
        ImportError: It is not installed.
    """
    try:
        import pyarrow as pa  # noqa: PLC0415  # Most do without.
        import pyarrow.ipc  # noqa: PLC0415
    except ImportError as error:
        raise ImportError("Arrow files need the package pyarrow: pip install 'stokehold[arrow]'") from error
    return pa


def damage() -> tuple[type[BaseException], ...]:
    """Returns what pyarrow raises where data are damaged."""
    return (pyarrow().ArrowException, OSError, ValueError, TypeError, LookupError, ArithmeticError, MemoryError)


def leaves(schema: Any, hints: Mapping[str, Hint], whole: Sequence[str]) -> dict[str, Leaf]:
    """Returns all columns of a schema by name; those of `whole` are structs that stand for files."""
    found: dict[str, Leaf] = {}
    for field in schema:
        for leaf in _below(field, (), hints, whole):
            if leaf.name in found:
                raise ValueError(f"has two columns `{leaf.name}`")
            found[leaf.name] = leaf
    return found


def _below(field: Any, above: tuple[str, ...], hints: Mapping[str, Hint], whole: Sequence[str]) -> Iterator[Leaf]:
    pa = pyarrow()
    steps = (*above, field.name)
    name = ".".join(steps)
    kind, extension = field.type, ""
    if isinstance(kind, pa.BaseExtensionType):
        kind, extension = kind.storage_type, kind.extension_name
    elif field.metadata and b"ARROW:extension:name" in field.metadata:
        extension = field.metadata[b"ARROW:extension:name"].decode(errors="replace")
    hint = hints.get(name)
    is_whole = name in whole or (hint is not None and hint.kind != "plain")
    if pa.types.is_struct(kind) and not extension and not is_whole and kind.num_fields:
        for at in range(kind.num_fields):
            yield from _below(kind.field(at), steps, hints, whole)
    else:
        yield Leaf(steps, kind, extension, hint)


def refusal(leaf: Leaf, shape: Shape | None) -> str | None:
    """Returns why a column cannot become a field, or None where it can."""
    pa = pyarrow()
    kind = leaf.type
    if leaf.hint is not None and leaf.hint.kind == "refused":
        return leaf.hint.reason
    if leaf.extension and leaf.hint is None:
        return f"is of the extension type `{leaf.extension}`, of which it is not known what it means"
    if pa.types.is_struct(kind):
        return _refused_struct(leaf)
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    is_single = is_bytes(kind) or pa.types.is_fixed_size_binary(kind) or dtype_of(kind) is not None
    return None if is_single else _refused_list(leaf, shape)


def _refused_struct(leaf: Leaf) -> str | None:
    columns = {leaf.type.field(at).name: leaf.type.field(at).type for at in range(leaf.type.num_fields)}
    if "bytes" in columns and is_bytes(columns["bytes"]):
        return None
    listed = ", ".join(f"`{leaf.name}.{name}`" for name in columns)
    return f"is a struct without the bytes of a file; its columns are {listed or 'none'}"


def _refused_list(leaf: Leaf, shape: Shape | None) -> str | None:
    number, fixed = varying_shape(leaf.type)
    if dtype_of(number) is None or 0 in fixed:
        return f"is a {leaf.type}; what is read are numbers, booleans, times, texts, bytes and lists of numbers"
    depth, kind = 0, leaf.type
    while is_list(kind):
        kind, depth = kind.value_type, depth + 1
    if depth > 1 and (shape is None or len(shape) < depth):
        hint = ", ".join(["None", *["..."] * (depth - 1)])
        return f"is a {leaf.type}, whose lengths are not known: give shapes={{{leaf.name!r}: ({hint})}}"
    return None


def is_bytes(kind: Any) -> bool:
    """Tells whether values are texts or bytes of any length."""
    types = pyarrow().types
    tests = ("is_binary", "is_string", "is_large_binary", "is_large_string", "is_binary_view", "is_string_view")
    return any(getattr(types, test, lambda _: False)(kind) for test in tests)


def is_list(kind: Any) -> bool:
    """Tells whether values are lists of any length."""
    types = pyarrow().types
    return bool(types.is_list(kind) or types.is_large_list(kind))


def dtype_of(kind: Any) -> Any:
    """Returns the dtype that values of a type become, or None where they are no single numbers.

    Dates, timestamps, durations and times of day are ``int64``, in the unit of the type: days for ``date32``.
    """
    types = pyarrow().types
    if types.is_boolean(kind):
        return np.dtype(np.bool_)
    if types.is_integer(kind) or types.is_floating(kind):
        return np.dtype(kind.to_pandas_dtype())
    if types.is_temporal(kind) and not types.is_interval(kind):
        return np.dtype(np.int64)
    return None


def varying_shape(kind: Any) -> tuple[Any, tuple[int, ...]]:
    """Returns the type of the numbers in lists, and the shape that the type itself gives to a list's entry."""
    types = pyarrow().types
    while is_list(kind):
        kind = kind.value_type
    shape: tuple[int, ...] = ()
    while types.is_fixed_size_list(kind):
        kind, shape = kind.value_type, (*shape, kind.list_size)
    return kind, shape
