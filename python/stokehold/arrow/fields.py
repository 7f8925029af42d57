"""Fields of a table, each made of a column of Arrow's."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np

from stokehold.arrow.building import Builder, FixedBuilder, RunsBuilder
from stokehold.arrow.chunks import NULL, Fixed, fixed, nulls_of, of_shape, runs
from stokehold.arrow.files import Encoded, FilesBuilder, spec_of
from stokehold.arrow.types import Leaf, Shape, dtype_of, is_bytes, is_list, leaves, pyarrow, refusal, varying_shape
from stokehold.audio import Waveform
from stokehold.columns import field_name

__all__ = ["Choice", "Field", "Fill", "Nulls", "fields_of"]

Fill: TypeAlias = bool | int | float | str | bytes
Nulls: TypeAlias = Literal["error", "fill", "mask"]


class Choice(NamedTuple):
    """What a user has asked for."""

    owner: str
    columns: Sequence[str] | Mapping[str, str] | None
    images: Sequence[str]
    audio: Mapping[str, Waveform]
    shapes: Mapping[str, Shape]
    nulls: Nulls
    fill: Mapping[str, Fill]
    root: str | None


class Field(NamedTuple):
    """A field that is being made."""

    leaf: Leaf
    builder: Builder
    add: Callable[[Any, Any], None]
    """Takes the next rows, as an array, and which of them are within structs that are null, if any is."""

    def take(self, batch: Any) -> None:
        """Takes the rows of a record batch."""
        array = batch.column(batch.schema.get_field_index(self.leaf.steps[0]))
        missing = None
        for step in self.leaf.steps[1:]:
            array = _storage(array)
            if (nulls := nulls_of(array)) is not None:
                missing = nulls if missing is None else missing | nulls
            array = array.field(step)
        self.add(_storage(array), missing)


def fields_of(choice: Choice, schema: Any, hints: Mapping[str, Any]) -> dict[str, Field]:
    """Returns the fields that were asked for, with no rows yet.

    Raises:
        ValueError: A column is not there, or cannot become a field; or an argument names no field.
    """
    columns = choice.columns
    renamed = columns if isinstance(columns, Mapping) else None if columns is None else {name: name for name in columns}
    if columns is not None and len(renamed or {}) < len(columns):
        raise ValueError(f"{choice.owner}: columns has a name more than once: {list(columns)}")
    whole = [name if renamed is None else renamed.get(name, name) for name in (*choice.images, *choice.audio)]
    if renamed is not None:
        # A struct that is asked for by its own name stands for a file.
        whole += list(renamed.values())
    try:
        found = leaves(schema, hints, whole)
    except ValueError as error:
        raise ValueError(f"{choice.owner}: the schema {error}") from error
    wanted = {name: name for name in found} if renamed is None else renamed
    for argument, given in (
        ("images", choice.images),
        ("audio", choice.audio),
        ("shapes", choice.shapes),
        ("fill", choice.fill),
    ):
        for name in given:
            if name not in wanted:
                raise ValueError(f"{choice.owner}: {argument} names `{name}`, and the fields are {', '.join(wanted)}")
    fields = {}
    for name, column in wanted.items():
        if column not in found:
            raise ValueError(f"{choice.owner}: there is no column `{column}`; there are {', '.join(found)}")
        fields[field_name(name)] = _field(name, found[column], choice)
    return fields


def _field(name: str, leaf: Leaf, choice: Choice) -> Field:
    shape = choice.shapes.get(name, leaf.hint.shape if leaf.hint else None)
    if (reason := refusal(leaf, shape)) is not None:
        raise ValueError(f"{choice.owner}: column `{leaf.name}` {reason}; leave it out by columns=[...]")
    pa = pyarrow()
    fills = choice.nulls != "error" or name in choice.fill
    fill = choice.fill.get(name)
    is_image = name in choice.images or (leaf.hint is not None and leaf.hint.kind == "image")
    encoded: Encoded | None = choice.audio.get(name, "image" if is_image else None)
    if pa.types.is_struct(leaf.type):
        files = FilesBuilder(leaf.name, encoded, choice.root)
        return Field(leaf, files, files.add)
    is_dictionary = pa.types.is_dictionary(leaf.type)
    kind = leaf.type.value_type if is_dictionary else leaf.type
    if is_bytes(kind) or pa.types.is_fixed_size_binary(kind):
        return _bytes_field(leaf, kind, (fills and encoded is None, fill), encoded)
    if encoded is not None:
        file = "image" if is_image else "audio"
        raise ValueError(f"{choice.owner}: column `{leaf.name}` is a {leaf.type}, and no {file} file")
    return _numbers_field(name, leaf, shape, (fills, fill), choice.owner)


def _bytes_field(leaf: Leaf, kind: Any, policy: tuple[bool, Fill | None], encoded: Encoded | None) -> Field:
    is_text = "string" in str(kind)
    if is_text and encoded is not None:
        files = "image" if encoded == "image" else "audio"
        argument = "images" if encoded == "image" else "audio"
        raise ValueError(f"{argument}: column `{leaf.name}` is a {leaf.type}, which holds no {files} files")
    spec = {"kind": "text"} if is_text else spec_of(encoded)
    fills, fill = policy
    if not isinstance(fill, str | bytes | None):
        raise TypeError(f"fill of `{leaf.name}`, a {leaf.type}, must be a text or bytes, not {type(fill).__name__}")
    filling = fill.encode() if isinstance(fill, str) else fill or b""
    builder = RunsBuilder(leaf.name, fills, spec, filling)
    return Field(leaf, builder, lambda array, missing: builder.add(runs(array, missing=missing)))


def _numbers_field(name: str, leaf: Leaf, shape: Shape | None, policy: tuple[bool, Fill | None], owner: str) -> Field:
    pa = pyarrow()
    fills, fill = policy
    kind = leaf.type.value_type if pa.types.is_dictionary(leaf.type) else leaf.type
    depth = 0
    while is_list(kind):
        kind, depth = kind.value_type, depth + 1
    number, tail = varying_shape(kind)
    dtype = dtype_of(number)
    filling = _number(f"{owner}: fill of `{name}`", fill, dtype) if fills else None
    given = shape if shape is not None else (*[None] * depth, *tail)
    if len(given) != depth + len(tail) or given[depth:] != tail or None in given[1:]:
        raise ValueError(
            f"{owner}: shapes of `{name}` is {given}, which column `{leaf.name}`, a {leaf.type}, cannot have"
        )
    if depth == 0:
        plain = FixedBuilder(leaf.name, fills)
        return Field(leaf, plain, lambda array, missing: plain.add(fixed(array, filling, missing)))
    entry = [extent for extent in given[1:] if extent is not None]
    if given[0] is None:
        spec = {"kind": "list", "dtype": dtype.name, "shape": entry}
        lists = RunsBuilder(leaf.name, fills, spec)
        return Field(leaf, lists, lambda array, missing: lists.add(runs(array, entry, filling, missing)))
    rows = FixedBuilder(leaf.name, fills)
    whole = [given[0], *entry]

    def add(array: Any, missing: Any) -> None:
        values, faults, _ = of_shape(runs(array, entry, filling, missing), dtype, whole)
        if filling is not None and (nulls := faults == NULL).any():
            values = np.where(nulls.reshape(-1, *[1] * len(whole)), filling, values)
        rows.add(Fixed(values, faults))

    return Field(leaf, rows, add)


def _number(what: str, fill: Fill | None, dtype: np.dtype[Any]) -> Any:
    """Returns what stands for a null number."""
    if fill is None:
        return dtype.type(0)
    if isinstance(fill, str | bytes):
        raise TypeError(f"{what} must be a number, not {type(fill).__name__}")
    with np.errstate(all="ignore"):
        value = np.asarray(fill).astype(dtype)
    # Fractions are rounded to a dtype of fractions.
    is_held = np.isfinite(value) >= np.isfinite(fill) if dtype.kind == "f" else value == fill
    if not is_held:
        raise ValueError(f"{what} is {fill!r}, which {dtype} does not hold")
    return value[()]


def _storage(array: Any) -> Any:
    return array.storage if isinstance(array.type, pyarrow().BaseExtensionType) else array
