"""No argument of anything public lets a Rust panic out: what cannot work is an error of Python."""

from __future__ import annotations

import inspect
import io
import itertools
import random
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import stokehold as sh
from stokehold import _native

NUMBERS: list[Any] = [
    *(
        0,
        1,
        -1,
        2,
        255,
        256,
        2**31 - 1,
        2**31,
        2**32 - 1,
        2**32,
        2**53 + 1,
        2**63 - 1,
        2**63,
        2**64,
        -(2**31),
        -(2**63),
        10**40,
    ),
    *(0.0, -0.0, 0.5, -0.5, 1e-320, 1e-30, 1e30, 1e308, -1e308, float("nan"), float("inf"), float("-inf")),
]
OTHERS: list[Any] = [None, True, "", "x", b"", [], {}, (), object(), np.float32(3), np.int64(-1)]


def _values(chance: random.Random) -> Any:
    """A hostile value: a number, a few of them, or something else."""
    kind = chance.randrange(4)
    if kind == 0:
        return chance.choice(OTHERS)
    if kind == 1:
        return [chance.choice(NUMBERS) for _ in range(chance.randint(1, 5))]
    return chance.choice(NUMBERS)


def _tried(call: Callable[..., Any], *values: Any, **named: Any) -> Any:
    """Calls, and returns what comes of it, if that is no exception. A panic is no `Exception`, and passes."""
    with suppress(Exception):
        return call(*values, **named)
    return None


DATA = Path(__file__).parents[1] / "data"


def _picture() -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)


# Arguments that work, for what has some without a default.
NEEDED: dict[str, dict[str, Any]] = {
    "Call": {"function": np.negative},
    "CenterCrop": {"size": 8},
    "Compose": {"transforms": [sh.RandomInvert()]},
    "ConvertBoundingBoxFormat": {"format": "XYWH"},
    "FiveCrop": {"size": 8},
    "FrequencyMasking": {"freq_mask_param": 8},
    "GaussianBlur": {"kernel_size": 3},
    "Mosaic": {"size": 8, "labels": ()},
    "Normalize": {"mean": [0.5] * 3, "std": [0.5] * 3},
    "Pad": {"padding": 2},
    "RandomAdjustSharpness": {"sharpness_factor": 2},
    "RandomAffine": {"degrees": 10},
    "RandomApply": {"transforms": [sh.RandomInvert()]},
    "RandomChoice": {"transforms": [sh.RandomInvert()]},
    "RandomCrop": {"size": 8},
    "RandomOrder": {"transforms": [sh.RandomInvert()]},
    "RandomPosterize": {"bits": 4},
    "RandomResizedCrop": {"size": 8},
    "RandomRotation": {"degrees": 10},
    "RandomShortestSize": {"min_size": 8},
    "RandomSolarize": {"threshold": 128},
    "Resize": {"size": 8},
    "ScaleJitter": {"target_size": (8, 9)},
    "TenCrop": {"size": 8},
    "TimeMasking": {"time_mask_param": 8},
    "ToDtype": {"dtype": "float32"},
    "ToLayout": {"layout": "CHW"},
    "Tokenize": {"tokenizer": Path(__file__).parents[1] / "data" / "tokenizer.json"},
}
TRANSFORMS = [
    name
    for name in sh.__all__
    if isinstance(getattr(sh, name), type) and issubclass(getattr(sh, name), sh.Transform) and name != "Transform"
]


def _variants(name: str, count: int) -> Iterator[dict[str, Any]]:
    """Arguments that work, then one that is hostile, each in turn with every number, then several at random."""
    needed = NEEDED.get(name, {})
    names = list(inspect.signature(getattr(sh, name)).parameters)
    yield needed
    for argument, number in itertools.product(names, NUMBERS):
        yield needed | {argument: number}
        yield needed | {argument: (number, number)}
    chance = random.Random(name)
    for _ in range(count if names else 0):
        yield needed | {argument: _values(chance) for argument in chance.sample(names, chance.randint(1, len(names)))}


@pytest.mark.parametrize("name", TRANSFORMS)
def test_transforms_never_panic(name: str, tmp_path: Path) -> None:
    """Neither when they are made, nor when a loader runs those that can be made."""
    path = tmp_path / "image.png"
    Image.fromarray(_picture()).save(path)
    columns: dict[str, Any] = {"image": sh.Images([path])}
    if name == "RandomIoUCrop":
        columns["boxes"] = sh.BoundingBoxes([[[3, 3, 20, 15]]])
    if name == "Tokenize":
        columns["image"] = ["one two"]
    is_sound = name in sh.transforms.sound.__all__
    if is_sound:
        columns["image"] = sh.Audio([DATA / "audio" / "tone.flac"], 16_000)
    source, runs = sh.Table(columns), 0
    for arguments in _variants(name, 100):
        made = _tried(getattr(sh, name), **arguments)
        if made is None:
            continue
        # By itself, and behind what gives all images one size.
        before = sh.Spectrogram(64) if is_sound else sh.CenterCrop(12)
        chains = [[made]] if name == "DecodeImage" else [[made], [before, made]]
        for chain, capacity in itertools.product(chains, (None, {"image": 20_000})):
            if _tried(_run, source, chain, capacity):
                runs += 1
                break
    assert runs > 0 or name in sh.transforms.places.__all__


def _run(source: sh.Table, chain: list[sh.Transform], capacity: dict[str, int] | None) -> bool:
    with sh.Loader(
        source, transforms={"image": chain}, capacity=capacity, num_workers=0, memory_limit="64MiB"
    ) as loader:
        _first(loader)
    return True


BATCH_TRANSFORMS = {"MixUp": ["alpha", "num_classes"], "CutMix": ["alpha", "num_classes"]}


@pytest.mark.parametrize("name", BATCH_TRANSFORMS)
def test_transforms_of_batches_never_panic(name: str) -> None:
    source = sh.Arrays({"image": np.stack([_picture()] * 4), "label": np.arange(4)})
    values = [(argument, number) for argument in BATCH_TRANSFORMS[name] for number in [*NUMBERS, *OTHERS]]
    for argument, number in values:
        arguments = {"num_classes": 4} | {argument: number}
        made = _tried(getattr(sh, name), **arguments)
        if made is not None:
            _tried(_mixed, source, made)
    mixes = [sh.MixUp(num_classes=4), sh.CutMix(num_classes=4)]
    for pair in itertools.product(NUMBERS, repeat=2):
        made = _tried(sh.RandomChoice, mixes, p=pair)
        if made is not None:
            _tried(_mixed, source, made)


def _mixed(source: sh.Arrays, mix: sh.BatchTransform) -> None:
    kept: dict[str, list[sh.Transform]] = {"image": [sh.ToDtype("float32", scale=True)]}
    with sh.Loader(
        source, batch_size=4, transforms=kept, batch_transforms=[mix], num_workers=0, memory_limit="64MiB"
    ) as loader:
        _first(loader)


def _first(loader: sh.Loader) -> None:
    next(iter(loader), None)


def test_arguments_of_a_loader_never_panic() -> None:
    source = sh.Arrays({"x": np.arange(6)})
    counts = ["batch_size", "seed", "prefetch", "memory_limit", "rank", "world_size", "stall_timeout"]
    # These start something for each that they count.
    dear = {"num_workers", "threads_per_worker"}
    for argument in [*counts, *dear]:
        for number in [*NUMBERS, *OTHERS]:
            if argument in dear and isinstance(number, int | float) and 1 < number < 2**32:
                continue
            given = {"num_workers": 0, "memory_limit": "64MiB"} | {argument: number}
            loader = _tried(sh.Loader, source, **given)
            if loader is not None:
                _tried(_first, loader)
                loader.close()
    for number in [*NUMBERS, *OTHERS]:
        with sh.Loader(source, num_workers=0) as loader:
            _tried(loader.set_epoch, number)
            state = loader.state_dict()
            for key in state:
                _tried(loader.load_state_dict, state | {key: number})
            _tried(_first, loader)


def test_columns_never_panic() -> None:
    rows = [*NUMBERS, *OTHERS, *([number] * 4 for number in NUMBERS)]
    kinds: list[Callable[[Any], Any]] = [
        lambda row: sh.Lists([row]),
        lambda row: sh.BoundingBoxes([[row] * 4]),
        lambda row: sh.BoundingBoxes([row]),
        lambda row: sh.KeyPoints([row]),
        lambda row: sh.Images([row]),
        lambda row: sh.Masks([row]),
        lambda row: row,
        lambda row: [row],
    ]
    for kind, row in itertools.product(kinds, rows):
        _tried(_column, kind, row)


def _column(kind: Callable[[Any], Any], row: object) -> None:
    source = sh.Table({"column": kind(row)})
    with sh.Loader(source, num_workers=0, memory_limit="64MiB") as loader:
        _first(loader)


def test_a_decoded_jpeg_never_panics() -> None:
    file = io.BytesIO()
    Image.fromarray(_picture()).save(file, "JPEG")
    data = file.getvalue()
    numbers = [number for number in NUMBERS if isinstance(number, int)]
    for scale in (1, 8):
        for corner in itertools.product(numbers, repeat=2):
            for size in ((1, 1), (2**32 - 1, 2**32 - 1), (0, 1), (2**31, 3), (-1, 2)):
                _tried(sh.decode_jpeg, data, (*corner, *size), scale)
    for value in [*NUMBERS, *OTHERS]:
        _tried(sh.decode_jpeg, data, value)
        _tried(sh.decode_jpeg, data, scale=value)
        _tried(sh.decode_jpeg, data, out=value)
        _tried(sh.decode_jpeg, value)


def test_functions_of_the_native_half_never_panic() -> None:
    # Those that make this process a coordinator or a worker, or take it out of a pool, end it.
    end = {"leave_pool", "serve", "serve_code", "serve_worker"}
    routines = {name for name in _native.__all__ if inspect.isroutine(getattr(_native, name))}
    assert routines > end
    for name in sorted(routines - end):
        function = getattr(_native, name)
        for value in [*NUMBERS, *OTHERS]:
            for count in range(1, 5):
                _tried(function, *[value] * count)
    for value in [*NUMBERS, *OTHERS]:
        small = value if not isinstance(value, int) or not 2**20 < value < 2**53 else None
        _tried(_native.Memory, small)
        _tried(_native.Source.table, f'{{"rows": {value}, "columns": []}}', [])
        _tried(_native.Source.table, f'{{"rows": 1, "columns": [{{"stored": {{"rows": {value}}}}}]}}', [])
