"""Datasets whose samples a function of the user changes as a whole."""

from __future__ import annotations

import dataclasses
import json
import random
from collections.abc import Iterator, Mapping, Sequence
from types import SimpleNamespace
from typing import Any, Self

from stokehold import _native
from stokehold.user.code import Rng
from stokehold.user.functions import Function, as_mapping

__all__ = ["Mapped", "MappedStream", "NativeSamples"]


class NativeSamples:
    """Samples of a source of stokehold's, with what transforms make of their fields, as arrays by name.

    It is opened where it is first asked for: once before workers are forked, so that they share the index.
    """

    def __init__(
        self, description: Mapping[str, Any], memory: Sequence[Any], functions: Sequence[Function], rng: Rng
    ) -> None:
        self.description = json.dumps(description, allow_nan=False)
        self.memory = memory
        self.code = SimpleNamespace(functions=functions, rng=rng, dataset=self)
        self._opened: _native.Pipeline | None = None

    def open(self) -> _native.Pipeline:
        """Returns what makes the samples."""
        if self._opened is None:
            self._opened = _native.Pipeline(self.description, self.memory, self.code)
        return self._opened

    def __len__(self) -> int:
        return len(self.open())

    def sample_of_epoch(self, index: int, epoch: int, seed: int | None = None) -> dict[str, Any]:
        """Returns a sample, with the random crops and so on that it has in this epoch; `seed` is that of its draws."""
        return self.open().sample(index, epoch, seed)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_opened": None}


class Mapped:
    """A dataset whose samples go through functions, from a dict of fields to another one."""

    def __init__(self, samples: Any, functions: Sequence[Function], names: Sequence[str] | None, rng: Rng) -> None:
        self.samples = samples
        self.functions = list(functions)
        self.names = names
        self.rng = rng
        self.draws_others = False
        """Whether samples are put together with others before the functions get them."""

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> Any:
        return self.sample_of_epoch(index, 0)

    def sample_of_epoch(self, index: int, epoch: int, seed: int | None = None) -> Mapping[str, Any]:
        """Returns a sample of an epoch as the functions give it; `seed` is that of its draws, by default the loader's.

        Raises:
            TypeError: A function gives something else than a dict.
        """
        if isinstance(self.samples, NativeSamples):
            return self._changed(self.samples.sample_of_epoch(index, epoch, seed))
        return self.changed(self.samples[index])

    def changed(self, sample: Any) -> Mapping[str, Any]:
        """Returns what the functions make of a sample of the dataset.

        Raises:
            TypeError: A function gives something else than a dict.
        """
        return self._changed(_named(sample, self.names))

    def _changed(self, sample: Mapping[str, Any]) -> Mapping[str, Any]:
        for function in self.functions:
            if self.rng == "sample" and function.reseed is not None:
                # The generators that it is drawn from are those of the sample.
                function.reseed(random.getrandbits(63))
            try:
                sample = as_mapping(function.function(sample))
            except Exception as error:
                error.add_note(f"in Map({function.name})")
                raise
        return sample


class MappedStream:
    """A dataset that is iterated, whose samples go through functions."""

    def __init__(self, mapped: Mapped) -> None:
        self.mapped = mapped

    def set_epoch(self, epoch: int) -> None:
        """Tells the dataset the epoch, where it wants to know."""
        if callable(getattr(self.mapped.samples, "set_epoch", None)):
            self.mapped.samples.set_epoch(epoch)

    def __iter__(self) -> Iterator[Mapping[str, Any]]:
        return _Changing(self.mapped)


class _Changing:
    """Goes over a dataset; that a function raises does not end it."""

    def __init__(self, mapped: Mapped) -> None:
        self.mapped = mapped
        self.samples = iter(mapped.samples)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Mapping[str, Any]:
        return self.mapped.changed(next(self.samples))


def _named(sample: Any, names: Sequence[str] | None) -> dict[str, Any]:
    """Returns a sample as a dict of its fields."""
    if isinstance(sample, Mapping):
        return dict(sample)
    if isinstance(sample, tuple) and hasattr(sample, "_fields"):
        return dict(zip(sample._fields, sample, strict=True))
    if dataclasses.is_dataclass(sample) and not isinstance(sample, type):
        return {each.name: getattr(sample, each.name) for each in dataclasses.fields(sample)}
    items = list(sample) if isinstance(sample, tuple | list) else [sample]
    if names is not None and len(names) != len(items):
        raise ValueError(f"fields names {len(names)} items ({', '.join(names)}), and a sample has {len(items)}")
    return dict(zip(names or map(str, range(len(items))), items, strict=True))
