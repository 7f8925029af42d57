"""What a function among transforms takes, and what it takes to seed generators for it.

    python benches/functions/measure.py

Each figure is the least of several rounds, in one process (``num_workers=0``): microseconds a sample more than the same
transforms without the function.
"""

from __future__ import annotations

import importlib.util
import random
import time
import timeit
from collections.abc import Sequence
from functools import partial
from typing import Any, Final

import numpy as np

import stokehold as sh
from stokehold.user.generators import reseeder

ROUNDS: Final = 9
SAMPLES: Final = 1024


def same(value: Any) -> Any:
    """Does nothing."""
    return value


class Holds:
    """A function with something of its own."""

    def __init__(self, held: Any) -> None:
        self.held = held

    def __call__(self, array: Any) -> Any:
        """Does nothing."""
        return array


def sample_seconds(source: sh.Arrays, transforms: Any, **options: Any) -> float:
    """Returns the seconds that a sample takes."""
    best = float("inf")
    with sh.Loader(source, batch_size=64, num_workers=0, transforms=transforms, **options) as loader:
        for _ in range(ROUNDS):
            begun = time.perf_counter()
            for _batch in loader:
                pass
            best = min(best, (time.perf_counter() - begun) / SAMPLES)
    return best


def calls() -> None:
    """Prints what calls take."""
    flip = sh.RandomHorizontalFlip()
    for edge in (8, 224):
        source = sh.Arrays({"image": np.zeros((SAMPLES, edge, edge, 3), np.uint8)})
        native = sample_seconds(source, {"image": [flip]})
        chains: Sequence[tuple[str, Any, dict[str, Any]]] = [
            ("a function", {"image": [flip, same]}, {}),
            ('a function, rng="worker"', {"image": [flip, same]}, {"rng": "worker"}),
            ('two functions, rng="worker"', {"image": [flip, same, same]}, {"rng": "worker"}),
            ('a function before the flip, rng="worker"', {"image": [same, flip]}, {"rng": "worker"}),
            ("a Map", [{"image": [flip]}, sh.Map(same)], {}),
        ]
        print(f"{edge} x {edge} x 3, {native * 1e6:.1f} us without")
        for what, transforms, options in chains:
            more = sample_seconds(source, transforms, **options) - native
            print(f"  {what}: {more * 1e6:.1f} us more")


def seeds() -> None:
    """Prints what it takes to seed generators."""
    held: dict[str, Any] = {
        "np.random.Generator": np.random.default_rng(0),
        "np.random.RandomState": np.random.RandomState(0),
        "random.Random": random.Random(0),  # noqa: S311 (no secret)
    }
    if importlib.util.find_spec("torch"):
        import torch  # noqa: PLC0415 (only where it is installed)

        held["torch.Generator"] = torch.Generator()
    if importlib.util.find_spec("albumentations"):
        import albumentations  # noqa: PLC0415 (likewise)

        parts = [albumentations.RandomCrop(20, 20), albumentations.HorizontalFlip(), albumentations.RandomRotate90()]
        held["albumentations.Compose of three"] = albumentations.Compose(parts)
    for name, generator in held.items():
        seed = partial(reseeder(Holds(generator)) or same, 12345)
        seconds = min(timeit.repeat(seed, number=500, repeat=ROUNDS)) / 500
        print(f"seeding {name}: {seconds * 1e6:.1f} us")


if __name__ == "__main__":
    calls()
    seeds()
