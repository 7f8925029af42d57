"""How fast is a Hugging Face dataset of images, beside `datasets` with PyTorch's loader on the same dataset?

    .venv/bin/python benches/sources/measure_hugging_face.py [--rounds 3] [--seconds 3] [--images 300]

JPEG photographs of about 480x400 as their bytes, RandomResizedCrop 224 and a horizontal flip, `uint8`, batches of 64,
two workers each, shuffled:

- `HuggingFace`: the source;
- `ImageFolder`: the same files in a folder;
- `datasets`: `with_transform` of torchvision's transforms on Pillow's images, PyTorch's loader with workers that stay;
- `datasets, __getitem__`: the same transforms in a dataset around it, a sample a call.

Variants take turns within a round, each for some seconds, from workers that are running, when those of the one before
have filled what they fill in advance; the files lie in the page cache. Prints images/s, the median of the rounds, the
median of the ratios within a round, and the milliseconds of processors that an image takes, all processes together.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import psutil
import torch
import torchvision.transforms.v2 as tv

import stokehold as sh

sys.path.insert(0, str(Path(__file__).parents[2] / "examples"))
from images import write_photos

WORKERS = 2
BATCH = 64
Batches = Iterator[int]
"""Gives the images of one batch after the other, epoch after epoch."""

transform = tv.Compose([tv.PILToTensor(), tv.RandomResizedCrop(224, antialias=True), tv.RandomHorizontalFlip()])


def transformed(rows: dict[str, list[Any]]) -> dict[str, list[Any]]:
    """Transforms the images of some rows."""
    return {"image": [transform(image.convert("RGB")) for image in rows["image"]], "label": rows["label"]}


class Wrapped:
    """A dataset that transforms one image at a time."""

    def __init__(self, dataset: Any) -> None:
        self.dataset = dataset

    def __len__(self) -> int:
        """Returns the number of images."""
        return len(self.dataset)

    def __getitem__(self, at: int) -> dict[str, Any]:
        """Returns an image and its label."""
        row = self.dataset[at]
        return {"image": transform(row["image"].convert("RGB")), "label": row["label"]}


def ours(source: sh.ImageFolder | sh.HuggingFace) -> Batches:
    """Loads a source."""
    transforms = {"image": [sh.RandomResizedCrop(224), sh.RandomHorizontalFlip()]}
    with sh.Loader(source, batch_size=BATCH, shuffle=True, num_workers=WORKERS, transforms=transforms) as loader:
        while True:
            for batch in loader:
                yield len(batch["label"])


def theirs(dataset: Any) -> Batches:
    """Loads a dataset by PyTorch."""
    loader: Any = torch.utils.data.DataLoader(
        dataset, batch_size=BATCH, shuffle=True, num_workers=WORKERS, persistent_workers=True
    )
    while True:
        for batch in loader:
            yield len(batch["label"])


def main() -> None:
    """Measures and prints the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--images", type=int, default=300)
    given = parser.parse_args()
    names = ["datasets", "pyarrow", "torch", "torchvision", "pillow"]
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in names)
    print(
        f"stokehold {sh.__version__}, {versions}, Python {platform.python_version()}, load {os.getloadavg()[0]:.1f}\n"
    )
    datasets.disable_progress_bars()
    with tempfile.TemporaryDirectory() as folder:
        photos = write_photos(Path(folder) / "photos", given.images)
        dataset = saved(photos, Path(folder) / "saved")
        begun = time.perf_counter()
        source = sh.HuggingFace(dataset)
        print(f"index of {len(source)} images: {(time.perf_counter() - begun) * 1e3:.0f} ms\n")
        variants: dict[str, Callable[[], Batches]] = {
            "HuggingFace": lambda: ours(source),
            "ImageFolder": lambda: ours(sh.ImageFolder(photos)),
            "datasets": lambda: theirs(dataset.with_transform(transformed)),
            "datasets, __getitem__": lambda: theirs(Wrapped(dataset)),
        }
        report(variants, given.rounds, given.seconds)


def saved(photos: Path, folder: Path) -> Any:
    """Saves photographs as a dataset, and returns that."""
    files = sorted(photos.glob("*/*.jpg"))
    names = sorted({file.parent.name for file in files})
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=names)})
    columns = {
        "image": [{"bytes": file.read_bytes(), "path": None} for file in files],
        "label": [file.parent.name for file in files],
    }
    datasets.Dataset.from_dict(columns, features=features).save_to_disk(str(folder))
    return datasets.load_from_disk(str(folder))


def report(variants: dict[str, Callable[[], Batches]], rounds: int, seconds: float) -> None:
    """Lets variants take turns, and prints their rates; the first one is what the others are compared with."""
    running = {name: begin() for name, begin in variants.items()}
    rates: dict[str, list[float]] = {name: [] for name in running}
    used: dict[str, list[float]] = {name: [] for name in running}
    for _ in range(rounds):
        for name, batches in running.items():
            images, seconds_each = rate(batches, seconds)
            rates[name].append(images)
            used[name].append(seconds_each)
    first = next(iter(rates.values()))
    print("| variant | images/s | of the first | processors, ms an image |\n| --- | --: | --: | --: |")
    for name, each in rates.items():
        ratio, spent = statistics.median(np.divide(each, first)), statistics.median(used[name]) * 1e3
        print(f"| {name} | {statistics.median(each):.0f} | {ratio:.2f} | {spent:.2f} |")
    print(f"\nload now {os.getloadavg()[0]:.1f}")


def settle() -> None:
    """Waits until no worker does anything."""
    before, now = -1.0, 0.0
    while now > before + 0.01:
        before = now
        time.sleep(0.3)
        now = processor_seconds()


def processor_seconds() -> float:
    """Returns what this process and its workers have used of processors."""
    this = psutil.Process()
    times = [each.cpu_times() for each in (this, *this.children(recursive=True))]
    return sum(each.user + each.system for each in times)


def rate(batches: Batches, seconds: float) -> tuple[float, float]:
    """Returns the images a second, and the seconds of processors for each.

    What was loaded in advance is used up before.
    """
    settle()
    for _ in range(8):
        next(batches)
    begun, used, count = time.perf_counter(), processor_seconds(), 0
    while time.perf_counter() - begun < seconds:
        count += next(batches)
    return count / (time.perf_counter() - begun), (processor_seconds() - used) / count


if __name__ == "__main__":
    main()
