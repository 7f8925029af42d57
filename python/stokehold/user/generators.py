"""Generators of random numbers that objects have of their own: no seed of a global generator reaches them."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Iterator, Mapping
from types import ModuleType
from typing import Any, Final, TypeAlias

import numpy as np

__all__ = ["Reseeder", "reseeder"]

Reseeder: TypeAlias = Callable[[int], None]
"""Seeds generators."""

DEPTH: Final = 8
"""How deep generators are looked for in what a function consists of."""
MOST: Final = 10_000
"""How many objects are looked at."""
LEAVES: Final = (str, bytes, int, float, complex, bool, type(None), np.ndarray, type, ModuleType)
"""What has no generators in it."""


def reseeder(function: object) -> Reseeder | None:
    """Returns what seeds all generators that a function has of its own: attributes, items, closures, bound objects.

    None where it has none, which is what functions that draw from global generators are.
    """
    seeds = list(_seeds(function))
    if not seeds:
        return None

    def reseed(seed: int) -> None:
        for at, each in enumerate(seeds):
            each((seed + at * 0x9E3779B97F4A7C15) % 2**64)

    return reseed


def _seeds(function: object) -> Iterator[Reseeder]:
    seen: set[int] = set()
    layer = [function]
    for _ in range(DEPTH):
        below: list[object] = []
        for value in layer:
            if id(value) in seen or isinstance(value, LEAVES) or len(seen) > MOST:
                continue
            seen.add(id(value))
            found = _seed(value)
            if found is not None:
                yield found
            else:
                below.extend(_parts(value))
        layer = below


def _seed(value: Any) -> Reseeder | None:
    """Returns what seeds an object that is a generator, or that keeps some and can be told a seed."""
    torch: Any = sys.modules.get("torch")
    if isinstance(value, np.random.Generator):
        value = value.bit_generator
    if isinstance(value, np.random.BitGenerator):
        return _bit_generator(value)
    if isinstance(value, np.random.RandomState):
        return lambda seed: value.seed(seed % 2**32)
    if isinstance(value, random.Random):
        return value.seed
    if torch is not None and isinstance(value, torch.Generator):
        return lambda seed: value.manual_seed(seed % 2**63) and None
    # Albumentations: a composition tells its parts.
    tell = getattr(value, "set_random_seed", None)
    if callable(tell) and type(value).__module__.partition(".")[0].startswith("albumentations"):
        return lambda seed: tell(seed % 2**32)
    return None


def _bit_generator(generator: np.random.BitGenerator) -> Reseeder:
    kind: Any = type(generator)

    def seed_it(seed: int) -> None:
        # The object stays: others may hold it.
        generator.state = kind(seed).state

    return seed_it


def _parts(value: Any) -> Iterator[object]:
    """Yields what a value consists of."""
    if isinstance(value, Mapping):
        yield from value.values()
    elif isinstance(value, list | tuple | set | frozenset):
        yield from value
    attributes = getattr(value, "__dict__", None)
    if isinstance(attributes, Mapping):
        yield from attributes.values()
    for name in ("__self__", "__func__", "__wrapped__", "func", "args", "keywords", "__defaults__", "__kwdefaults__"):
        part = getattr(value, name, None)
        if part is not None and callable(value):
            yield part
    for cell in getattr(value, "__closure__", None) or ():
        try:
            yield cell.cell_contents
        except ValueError:  # Nothing is in it yet.
            continue
