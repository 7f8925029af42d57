"""Where samples come from, and how sources are combined."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from stokehold import _native
from stokehold.checks import items, mapping, numpy_dtype, printing, shown, text
from stokehold.copied import copied
from stokehold.selection import indices_of, masked, parts_of

__all__ = ["Source", "concat"]

Predicate: TypeAlias = Callable[[Any], object]


class Source:
    """The base of all sources: anything that a `Loader` can load from.

    Sources are combined without copies of samples: `select`, `filter` and `split` take some, `with_columns` adds
    fields, and `concat`, or ``+``, puts sources one after the other. Errors name samples as the source does that they
    are from. Random draws are keyed by the index in the source that a loader has. A loader's state is of one selection,
    and is not resumed with another.
    """

    counters: Mapping[str, int] = MappingProxyType({})
    """What of its description the source passed over or filled in, and how often."""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "__init__" in vars(cls):
            cls.__init__ = printing(cls.__init__)  # type: ignore[method-assign]

    @property
    def native(self) -> _native.Source:
        """The source as the core has it."""
        what = "a source of your own is a dataset: give it __getitem__ and __len__"
        raise NotImplementedError(f"{type(self).__name__}: {what}")

    def data(self) -> tuple[dict[str, Any], list[npt.NDArray[np.uint8]]]:
        """Returns the source as plain data, and the pieces of memory that it lies in."""
        described, memory = self.native.parts()
        spec: dict[str, Any] = json.loads(described)
        return spec, [np.frombuffer(piece, np.uint8) for piece in memory]

    def __len__(self) -> int:
        samples, _, _ = self.native.describe()
        return samples

    @property
    def lengths(self) -> Sequence[int]:
        """How many samples each source has, of those that `concat` has put one after the other."""
        return [len(self)]

    @property
    def class_names(self) -> Mapping[str, Sequence[str]]:
        """For each field of labels that have names, the names of its classes, in the order of their numbers."""
        return {}

    @property
    def classes(self) -> list[str]:
        """The names of the classes, in the order of their numbers; empty where labels have no names.

        Raises:
            AttributeError: Several fields have classes: ask `class_names`.
        """
        if len(self.class_names) > 1:
            listed = ", ".join(f"`{name}`" for name in self.class_names)
            raise AttributeError(f"the fields {listed} have classes of their own: ask class_names")
        return list(next(iter(self.class_names.values()), []))

    def values(self, field: str) -> npt.NDArray[Any] | list[Any]:
        """Returns what a field is of all samples, as the source has it, before any transform.

        An array for numbers and arrays, with a row for each sample; a list for what varies: of ``str`` for texts, of
        ``bytes``, of arrays. No image is decoded. Where values lie in files, all of them are read.

        Raises:
            ValueError: There is no such field, or it is one of images, masks or segmentations.
        """
        ours = {each["name"]: each for each in json.loads(self.native.fields)}
        if text("values: field", field, "the name of a field") not in ours:
            raise ValueError(f"values: field must be one of {', '.join(map(repr, ours))}, not {shown(field)}")
        data, ends = self.native.values(field)
        spec = ours[field]
        kind, dtype, shape = spec["kind"], spec.get("dtype", "float32"), spec.get("shape", [4])
        if kind in {"tensor", "label"}:
            # The label of an image folder says nothing of its dtype.
            array = np.frombuffer(data, "int64") if kind == "label" else np.frombuffer(data, numpy_dtype(dtype))
            return array.reshape(-1, *shape) if kind == "tensor" else array
        runs = [data[start:end] for start, end in zip([0, *ends], ends, strict=False)]
        if kind == "text":
            return [run.decode() for run in runs]
        if kind in {"list", "bounding_boxes", "key_points"}:
            return [np.frombuffer(run, numpy_dtype(dtype)).reshape(-1, *shape) for run in runs]
        if kind == "bytes":
            return runs
        raise ValueError(f"values: the field `{field}` is a {kind}, which workers make")

    def select(self, indices: slice | Sequence[int] | Sequence[bool] | npt.NDArray[Any]) -> Source:
        """Returns the samples of these indices, in their order; one may come several times.

        Args:
            indices: A range or a slice, a sequence or an array of whole numbers, or of booleans, one for each sample.

        Raises:
            TypeError: They are something else.
            ValueError: There are none, one is negative or out of range, or there are more or fewer booleans than
                samples.
        """
        count = len(self)
        chosen = indices_of(indices, count)
        native = self.native.select(count, chosen)
        return _Combined(native, [len(chosen)], [self], self.class_names, f"{self!r}.select({len(chosen)} of {count})")

    def filter(self, which: Predicate | Sequence[bool] | npt.NDArray[np.bool_], field: str | None = None) -> Source:
        """Returns the samples for which something is true.

        Args:
            which: A boolean for each sample; or a function, which is called here with the value that `values` has of
                the field for each sample: ``source.filter(lambda label: label < 10, "label")``.
            field: The field, for a function.

        Raises:
            TypeError: There is a function and no field, or no function and a field; or no booleans.
            ValueError: It is true for no sample, or there are more or fewer booleans than samples.
        """
        if callable(which):
            if field is None:
                raise TypeError("filter: a function needs the field whose values it gets: filter(which, 'label')")
            return self.select(masked("which", [bool(which(value)) for value in self.values(field)], len(self)))
        if field is not None:
            raise TypeError(f"filter: field = {shown(field)} goes with a function, and which is {shown(which)}")
        return self.select(masked("which", which, len(self)))

    def split(self, sizes: Sequence[float], seed: int = 0) -> list[Source]:
        """Returns disjoint parts of random samples: ``train, valid = source.split([0.9, 0.1])``.

        Which samples a part has depends on the seed and on the number of samples alone; they keep their order.

        Args:
            sizes: What share of the samples each part has, 1 together; or the number of samples of each, which are all
                together. Shares are rounded down, and the first parts get what is left, one sample each.
            seed: 0 to 2**64 - 1.

        Raises:
            TypeError: A size is no number, or the seed no whole one.
            ValueError: Sizes do not add up, or a part would have no sample.
        """
        return [self.select(part) for part in parts_of(sizes, seed, len(self))]

    def with_columns(self, columns: Mapping[str, Any]) -> Source:
        """Returns the samples with more fields, whose rows are in the order of the samples.

        Args:
            columns: The columns by field name, as a `Table` takes them. Masks, boxes and keypoints may follow an image
                of this source.

        Raises:
            ValueError: A field has that name already, or there are more or fewer rows than samples; or as for `Table`.
        """
        ours = json.loads(self.native.fields)
        images = {each["name"] for each in ours if each["kind"] == "image"}
        columns = mapping("with_columns: columns", columns, "a mapping of names to columns")
        if not columns:
            raise ValueError("with_columns: columns: with_columns needs at least one column")
        native, rows = copied(columns, images=images, owner="with_columns: columns")
        if rows != len(self):
            raise ValueError(f"with_columns: the columns have {rows} rows, and the source {len(self)} samples")
        names = ", ".join(columns)
        name = f"{self!r}.with_columns({names})"
        return _Combined(self.native.join(native), self.lengths, [self], self.class_names, name)

    def __add__(self, other: object) -> Source:
        """Returns the samples of this source and then those of another one; see `concat`."""
        if not isinstance(other, Source):
            return NotImplemented
        return concat([self, other])


class _Combined(Source):
    """What is made of other sources."""

    def __init__(
        self,
        native: _native.Source,
        lengths: Sequence[int],
        sources: Sequence[Source],
        class_names: Mapping[str, Sequence[str]],
        name: str,
    ) -> None:
        self._native = native
        self._lengths = list(lengths)
        self._name = name
        # What some of them have written out lasts as long as they do.
        self._sources = tuple(sources)
        self._class_names = class_names
        self.counters = sum((Counter(source.counters) for source in sources), Counter())

    @property
    def native(self) -> _native.Source:
        """The source as the core has it."""
        return self._native

    @property
    def class_names(self) -> Mapping[str, Sequence[str]]:
        """For each field of labels that have names, the names of its classes, in the order of their numbers."""
        return self._class_names

    @property
    def lengths(self) -> Sequence[int]:
        """How many samples each source has, of those that `concat` has put one after the other."""
        return self._lengths

    def __len__(self) -> int:
        return sum(self._lengths)

    def __repr__(self) -> str:
        return self._name


def concat(sources: Sequence[Source]) -> Source:
    """Returns the samples of several sources, one after the other.

    Args:
        sources: At least one. All have the same fields, of the same kinds, dtypes and shapes, in the same order; those
            that vary in length get room for the longest. Classes are the same too: give a `LabelColumn` those of all.

    Raises:
        TypeError: One is no source of stokehold's.
        ValueError: There is none, or fields or classes differ; what differs is named.
    """
    given = items("concat: sources", sources, "a sequence of sources")
    if not given:
        raise ValueError("concat: sources must be at least one source to concatenate")
    for at, source in enumerate(given):
        if not isinstance(source, Source):
            what = "a dataset of Python goes to a Loader as it is" if hasattr(source, "__getitem__") else shown(source)
            kind = f"{type(source).__name__} (sources[{at}]): {what}"
            raise TypeError(f"concat: source {at} must be a source of stokehold's, not {kind}")
    native = _native.Source.concat([source.native for source in given])
    first = given[0].class_names
    for at, source in enumerate(given):
        for field in {*first, *source.class_names}:
            one, other = (list(names.get(field, ())) for names in (first, source.class_names))
            if one != other:
                raise ValueError(
                    f"concat: source {at} has other classes of `{field}` than source 0: {_difference(other, one)}; "
                    "LabelColumn(classes=[...]) gives labels the classes of all"
                )
    name = " + ".join(map(repr, given))
    lengths = [length for source in given for length in source.lengths]
    return _Combined(native, lengths, given, first, f"({name})")


def _difference(one: Sequence[str], other: Sequence[str]) -> str:
    same = next((at for at, both in enumerate(zip(one, other, strict=False)) if both[0] != both[1]), None)
    if same is None:
        return f"{len(one)} of them, not {len(other)}"
    return f"class {same} is {one[same]!r}, not {other[same]!r}"


def described_path(path: Path) -> str | list[int]:
    """Returns a path for JSON: as a text, or as its bytes where these are no UTF-8."""
    encoded = os.fsencode(path)
    try:
        return encoded.decode()
    except UnicodeDecodeError:
        return list(encoded)
