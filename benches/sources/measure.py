"""How fast are sources read, beside a folder of images and beside other libraries on the same files?

    .venv/bin/python benches/sources/measure.py [--rounds 5] [--seconds 4] [--images 1000] [--rows 1000000] [--only W1]

- W1: JPEG photographs, RandomResizedCrop 224 and a horizontal flip, `uint8`, batches of 64, two workers: from a folder,
  from a tar file with the same bytes, and from Parquet files with them, in the order of blocks.
- numbers: 20 columns of `float32` and a label, batches of 1024, two workers or threads, shuffled as each can: Parquet
  by blocks; Hugging Face `datasets` with PyTorch's loader, and Grain, at random, where they are installed.

Variants take turns within a round, each for some seconds, from a pool that is running; the files lie in the page cache.
Prints a Markdown table: rows/s, the median of the rounds, and the median of the ratios within a round.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import os
import platform
import statistics
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

import stokehold as sh

sys.path.insert(0, str(Path(__file__).parents[2] / "examples"))
import numbers_peer
from images import write_photos

Batches = Iterator[int]
"""Gives the rows of one batch after the other, epoch after epoch."""

WORKERS = 2


def main() -> None:
    """Measures and prints the tables."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--only", nargs="+", choices=["W1", "numbers"], default=["W1", "numbers"])
    given = parser.parse_args()
    names = ["pyarrow", "datasets", "grain", "torch"]
    versions = [f"{name} {importlib.metadata.version(name)}" for name in names if importlib.util.find_spec(name)]
    load = os.getloadavg()[0]
    print(f"stokehold {sh.__version__}, {', '.join(versions)}, Python {platform.python_version()}, load {load:.1f}\n")
    with tempfile.TemporaryDirectory() as folder:
        if "W1" in given.only:
            measure("W1", images(Path(folder), given.images), given.rounds, given.seconds)
        if "numbers" in given.only:
            measure("numbers", numbers(Path(folder), given.rows), given.rounds, given.seconds)


def measure(title: str, variants: dict[str, Callable[[], Batches]], rounds: int, seconds: float) -> None:
    """Lets variants take turns; the first one is what the others are compared with."""
    running = {name: begin() for name, begin in variants.items()}
    rates: dict[str, list[float]] = {name: [] for name in running}
    for _ in range(rounds):
        for name, batches in running.items():
            # What was made while others were measured does not count.
            for _ in range(8):
                next(batches)
            rows, start = 0, time.perf_counter()
            while (passed := time.perf_counter() - start) < seconds:
                rows += next(batches)
            rates[name].append(rows / passed)
    first = next(iter(rates))
    print(f"| {title} | rows/s | of {first} |\n| --- | --: | --: |")
    for name, own in rates.items():
        ratio = statistics.median(a / b for a, b in zip(own, rates[first], strict=True))
        print(f"| {name} | {statistics.median(own):.0f} | {ratio:.3f} |")
    print()


def epochs(loader: sh.Loader) -> Batches:
    """Iterates over a loader for ever."""
    while True:
        for batch in loader:
            yield len(next(iter(batch.values())))


def images(folder: Path, count: int) -> dict[str, Callable[[], Batches]]:
    """Returns the ways to read photographs."""
    root = write_photos(folder / "photos", count)
    files = sorted(root.rglob("*.jpg"))
    rows = {"image": [file.read_bytes() for file in files], "label": list(range(len(files)))}
    written = {
        "uncompressed": {"compression": "NONE", "use_dictionary": False},
        "as pyarrow does by default (Snappy, dictionary)": {},
        "Zstandard": {"compression": "ZSTD", "use_dictionary": False},
    }
    for name, options in written.items():
        pq.write_table(pa.table(rows), folder / f"{name}.parquet", row_group_size=100, **options)
    with tarfile.open(folder / "photos.tar", "w") as tar:
        for number, file in enumerate(files):
            tar.add(file, f"{number:06d}.jpg")
    chain = {"image": [sh.RandomResizedCrop(224), sh.RandomHorizontalFlip()]}

    def loader(source: sh.Source, *, shuffle: Any) -> Batches:
        return epochs(sh.Loader(source, batch_size=64, shuffle=shuffle, transforms=chain, num_workers=WORKERS))

    ways: dict[str, Callable[[], Batches]] = {"ImageFolder": lambda: loader(sh.ImageFolder(root), shuffle=True)}
    ways["WebDataset"] = partial(
        loader, sh.WebDataset(folder / "photos.tar", {"image": "jpg"}, cache=False), shuffle=True
    )
    for name in written:
        source = sh.Parquet(folder / f"{name}.parquet", images=["image"])
        ways[f"Parquet, {name}"] = partial(loader, source, shuffle="blocks")
    return ways


def numbers(folder: Path, count: int) -> dict[str, Callable[[], Batches]]:
    """Returns the ways to read numbers."""
    path = folder / "numbers.parquet"
    numbers_peer.write(path, count)
    ways = {
        "Parquet": lambda: epochs(sh.Loader(sh.Parquet(path), batch_size=1024, shuffle="blocks", num_workers=WORKERS)),
        "Parquet, one list of 20": lambda: epochs(
            sh.Loader(sh.Parquet(dense(path)), batch_size=1024, shuffle="blocks", num_workers=WORKERS)
        ),
    }
    if importlib.util.find_spec("datasets"):
        ways["datasets and PyTorch's loader"] = lambda: lengths(numbers_peer.by_datasets(path, WORKERS))
    if importlib.util.find_spec("grain"):
        ways["Grain over pyarrow's rows"] = lambda: lengths(numbers_peer.by_grain(path, WORKERS))
    return ways


def dense(numbers: Path) -> Path:
    """Writes the same numbers as one column of lists."""
    path = numbers.with_name("dense.parquet")
    if not path.exists():
        table = pq.read_table(numbers, columns=numbers_peer.COLUMNS)
        values = np.stack([column.to_numpy() for column in table.columns], axis=1)
        lists = pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1)), len(numbers_peer.COLUMNS))
        pq.write_table(pa.table({"x": lists}), path, row_group_size=numbers_peer.GROUP)
    return path


def lengths(batches: numbers_peer.Batches) -> Batches:
    """Gives the rows of each batch."""
    return (len(batch["label"]) for batch in batches)


if __name__ == "__main__":
    main()
