"""How much of its rate does a loader keep when each read takes 20 ms?

    .venv/bin/python benches/sources/slow.py [--rounds 5] [--seconds 4] [--images 1000] [--milliseconds 20] [--side 224]

Photographs, RandomResizedCrop 224 and a horizontal flip, `uint8`, batches of 64, two workers: from a folder, a tar file
and a Parquet file of groups of 100 rows, of which a worker keeps six. Each lies in two folders, with the same bytes in
the page cache. In one of them every read waits first: a library that is loaded before all others does that
(`slow_store.c`, compiled by `cc`). Fast and slow ones take turns, each for some seconds, from a pool that is running.
Prints a Markdown table: images/s, the median of the rounds, and the median of the ratios within a round.

What is to be hidden is the time of a read, so it is the harder the more images a second there are. On a busy machine, a
smaller `--side` of crops, for which photographs are shrunk as much, makes as many of them as a quiet one would.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

import stokehold as sh

sys.path.insert(0, str(Path(__file__).parents[2] / "examples"))
from images import write_photos

GROUP = 100


def parquet(folder: Path) -> sh.Parquet:
    """Returns photographs of which six groups fit, and so windows of three."""
    path = folder / "photos.parquet"
    file = pq.ParquetFile(path).metadata
    largest = max(file.row_group(number).total_byte_size for number in range(file.num_row_groups))
    return sh.Parquet(path, images=["image"], cache=largest * 6 + (1 << 20))


STORE = Path(__file__).with_name("slow_store.c")
SOURCES: dict[str, tuple[Callable[[Path], sh.Source], Any]] = {
    "`ImageFolder`": (lambda folder: sh.ImageFolder(folder / "photos"), True),
    "`WebDataset`": (lambda folder: sh.WebDataset(folder / "photos.tar", {"image": "jpg"}, cache=False), True),
    "`Parquet`, by blocks": (parquet, "blocks"),
}


def main() -> None:
    """Writes the files, and measures in a process in which some of them are slow."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--milliseconds", type=float, default=20.0)
    parser.add_argument("--side", type=int, default=224)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.folder is not None:
        measure(given)
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write(folder / "fast", given.images, given.side / 224)
        shutil.copytree(folder / "fast", folder / "slow")
        store = folder / "store.so"
        subprocess.run(["cc", "-O2", "-shared", "-fPIC", "-o", store, STORE, "-ldl"], check=True)
        slow = {"LD_PRELOAD": str(store), "SLOW_FOLDER": str(folder / "slow")}
        command = [sys.executable, *sys.argv, "--folder", str(folder)]
        subprocess.run(command, env=os.environ | slow, check=True)


def write(folder: Path, count: int, scale: float) -> None:
    """Writes the same photographs as a folder, a tar file and a Parquet file."""
    files = sorted(write_photos(folder / "photos", count).rglob("*.jpg"))
    for file in files if scale != 1 else []:
        with Image.open(file) as image:
            image.resize([round(side * scale) for side in image.size]).save(file, quality=90)
    with tarfile.open(folder / "photos.tar", "w") as tar:
        for number, file in enumerate(files):
            tar.add(file, f"{number:06d}.jpg")
    rows = {"image": [file.read_bytes() for file in files], "label": list(range(len(files)))}
    pq.write_table(pa.table(rows), folder / "photos.parquet", row_group_size=GROUP, compression="NONE")


def measure(given: argparse.Namespace) -> None:
    """Lets fast and slow ones take turns, and prints the table."""
    load = os.getloadavg()[0]
    print(f"stokehold {sh.__version__}, Python {platform.python_version()}, load {load:.1f}\n")
    print("| source | fast, images/s | slow, images/s | slow of fast |\n| --- | --: | --: | --: |")
    for name, (opened, shuffle) in SOURCES.items():
        # Indices are made without waiting, which is not what is measured.
        os.environ["SLOW_MICROS"] = "0"
        fast, slow = (epochs(opened(given.folder / which), shuffle, given.side) for which in ("fast", "slow"))
        os.environ["SLOW_MICROS"] = str(round(given.milliseconds * 1000))
        rates = [(rate(fast, given.seconds), rate(slow, given.seconds)) for _ in range(given.rounds)]
        own = [statistics.median(each) for each in zip(*rates, strict=True)]
        ratio = statistics.median(slow / fast for fast, slow in rates)
        print(f"| {name} | {own[0]:.0f} | {own[1]:.0f} | {ratio:.3f} |", flush=True)


def epochs(source: sh.Source, shuffle: Any, side: int) -> Iterator[int]:
    """Gives the rows of one batch after the other, epoch after epoch."""
    chain = {"image": [sh.RandomResizedCrop(side), sh.RandomHorizontalFlip()]}
    with sh.Loader(source, batch_size=64, shuffle=shuffle, transforms=chain, num_workers=2) as loader:
        while True:
            for batch in loader:
                yield len(batch["image"])


def rate(batches: Iterator[int], seconds: float) -> float:
    """Returns how many rows come in a second."""
    # What was made while others were measured does not count, and readers start again.
    for _ in range(16):
        next(batches)
    rows, start = 0, time.perf_counter()
    while (passed := time.perf_counter() - start) < seconds:
        rows += next(batches)
    return rows / passed


if __name__ == "__main__":
    main()
