"""The loaders of this package beside PyTorch's, on the same dataset, each in processes of its own, turn by turn.

    .venv/bin/python benches/torch/measure.py [--rounds 3] [--only W3 W3s]

Prints a Markdown table: for each workload the median of each loader, and the median over the rounds of the ratio of
each of ours to PyTorch's. `stokehold` is the drop-in, `pool` is `stokehold.Loader(dataset, rng="worker")`, and
`pool, rng` the same with its default.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
from torch.utils.data import DataLoader as TorchDataLoader
from torch.utils.data import Dataset

import stokehold as sh
from stokehold.torch import DataLoader


def pool(
    dataset: Any,
    *,
    batch_size: int,
    num_workers: int,
    shuffle: bool = False,
    prefetch_factor: int = 2,
    persistent_workers: bool = True,
    rng: Any = "worker",
) -> Any:
    """Returns the native loader of a dataset; its workers stay from epoch to epoch in any case."""
    del persistent_workers
    return sh.Loader(
        dataset,
        batch_size=batch_size,
        num_workers=num_workers,
        shuffle=shuffle,
        prefetch=prefetch_factor * num_workers,
        memory_limit="8GiB",
        rng=rng,
    )


LOADERS: dict[str, Any] = {
    "torch": TorchDataLoader,
    "stokehold": DataLoader,
    "pool": pool,
    "pool, rng": partial(pool, rng="sample"),
}
WORKERS = 2


class Pictures(Dataset[Any]):
    """W3: 3x224x224 float32, 602 kB a sample, a copy of one of 64 arrays."""

    def __init__(self) -> None:
        self.arrays = np.random.default_rng(0).random((64, 3, 224, 224), np.float32)

    def __len__(self) -> int:
        return 64 * 60

    def __getitem__(self, index: int) -> Any:
        return self.arrays[index % 64].copy()


class Rows(Dataset[Any]):
    """W3s: 16 int64, a row of an array."""

    def __init__(self) -> None:
        self.array = np.arange(16 * 100_000).reshape(-1, 16)

    def __len__(self) -> int:
        return 256 * 1500

    def __getitem__(self, index: int) -> Any:
        return self.array[index % 100_000]


class Tuples(Dataset[Any]):
    """W6: five million tuples in a list."""

    def __init__(self) -> None:
        self.samples = [(index, float(index)) for index in range(5_000_000)]

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> Any:
        return self.samples[index]


def photographs() -> Dataset[Any]:
    """W1: an unmodified torchvision ImageFolder, decoded by Pillow."""
    from torchvision.datasets import ImageFolder  # noqa: PLC0415 (slow to import)
    from torchvision.transforms import v2  # noqa: PLC0415

    sys.path.insert(0, str(Path(__file__).parents[2] / "examples"))
    from images import write_photos  # noqa: PLC0415

    chain = v2.Compose([v2.RandomResizedCrop(224), v2.RandomHorizontalFlip(), v2.PILToTensor()])
    return ImageFolder(write_photos(Path(__file__).parents[2] / "demo-data" / "photos", 300), chain)


def tree() -> list[psutil.Process]:
    """Returns this process and its workers."""
    this = psutil.Process()
    return [this, *this.children(recursive=True)]


def cpu_seconds() -> float:
    """Returns the processor time of the tree so far."""
    return sum(sum(process.cpu_times()[:2]) for process in tree())


def pss() -> float:
    """Returns the tree's share of memory, in MB."""
    return sum(process.memory_full_info().pss for process in tree()) / 1e6


def rate(loader: Any, batches: int | None = None) -> dict[str, float]:
    """Returns the batches/s of a second epoch, and the processor time of each."""
    for _ in loader:
        pass
    before, start = cpu_seconds(), time.perf_counter()
    count = 0
    for _batch in loader:
        count += 1
        if count == batches:
            break
    return {
        "batches/s": count / (time.perf_counter() - start),
        "CPU ms a batch": 1000 * (cpu_seconds() - before) / count,
    }


def big(kind: Any) -> dict[str, float]:
    """W3: 38.5 MB a batch."""
    found = rate(kind(Pictures(), batch_size=64, num_workers=WORKERS, persistent_workers=True))
    return {"GB/s": found["batches/s"] * 64 * 602_112 / 1e9, "CPU ms a batch": found["CPU ms a batch"]}


def small(kind: Any, workers: int = WORKERS, prefetch_factor: int = 2) -> dict[str, float]:
    """W3s: 256 rows of 16 int64."""
    return rate(
        kind(
            Rows(),
            batch_size=256,
            num_workers=workers,
            prefetch_factor=prefetch_factor,
            persistent_workers=True,
        )
    )


def pillow(kind: Any) -> dict[str, float]:
    """W1 by Pillow and torchvision, without a change to the dataset."""
    found = rate(kind(photographs(), batch_size=30, shuffle=True, num_workers=WORKERS, persistent_workers=True))
    return {"images/s": 30 * found["batches/s"], "CPU ms a batch": found["CPU ms a batch"]}


def start(kind: Any) -> dict[str, float]:
    """W5: from the constructor to the first batch, and the wait between two epochs."""
    results: dict[str, list[float]] = {"first batch ms": [], "gap ms, persistent": [], "gap ms": []}
    for _ in range(8):
        begin = time.perf_counter()
        loader = kind(Rows(), batch_size=256, num_workers=WORKERS, persistent_workers=True)
        next(iter(loader))
        results["first batch ms"].append(1000 * (time.perf_counter() - begin))
        del loader
        gc.collect()
    for name, persistent in (("gap ms, persistent", True), ("gap ms", False)):
        loader = kind(Shortened(), batch_size=256, num_workers=WORKERS, persistent_workers=persistent)
        end = 0.0
        for epoch in range(10):
            for at, _batch in enumerate(loader):
                if at == 0 and epoch > 0:
                    results[name].append(1000 * (time.perf_counter() - end))
                end = time.perf_counter()
    return {name: statistics.median(values) for name, values in results.items()}


class Shortened(Rows):
    """An epoch of 20 batches."""

    def __len__(self) -> int:
        return 256 * 20


def memory(kind: Any) -> dict[str, float]:
    """W6: the tree's memory over one shuffled epoch of objects in a list, and over 50 epochs of arrays."""
    loader = kind(Tuples(), batch_size=8192, shuffle=True, num_workers=WORKERS)
    iterator = iter(loader)
    next(iterator)
    before = pss()
    most = before
    for at, _ in enumerate(iterator):
        if at % 100 == 0:
            most = max(most, pss())
    del iterator, loader
    gc.collect()
    loader = kind(Shortened(), batch_size=256, num_workers=WORKERS, persistent_workers=True)
    marks = []
    for epoch in range(50):
        for _ in loader:
            pass
        if epoch in {4, 49}:
            marks.append(pss())
    return {
        "PSS MB, list, at first": before,
        "PSS MB, list, most": most,
        "PSS MB from epoch 5 to 50": marks[1] - marks[0],
    }


WORKLOADS: dict[str, Callable[[Any], dict[str, float]]] = {
    "W3": big,
    "W3s": small,
    "W3s, prefetch_factor=4": partial(small, prefetch_factor=4),
    "W3s, 1 worker": partial(small, workers=1),
    "W1 Pillow": pillow,
    "W5": start,
    "W6": memory,
}


def measured(workload: str, name: str) -> dict[str, float]:
    """Measures one loader in a process of its own."""
    command = [sys.executable, "-W", "ignore", __file__, "--one", workload, name]
    output = subprocess.run(command, check=True, capture_output=True, text=True, env=os.environ).stdout  # noqa: S603
    result: dict[str, float] = json.loads(output.splitlines()[-1])
    return result


def table(rounds: int, only: list[str]) -> Iterator[str]:
    """Yields the table's lines."""
    yield f"torch {torch.__version__}, {WORKERS} workers, {rounds} rounds"
    ours = list(LOADERS)[1:]
    yield f"| workload | what | torch | {' | '.join(ours)} | {' | '.join(f'{name}: ratio' for name in ours)} |"
    yield f"| --- | --- | --: |{' --: |' * 2 * len(ours)}"
    for workload in only:
        results: dict[str, list[dict[str, float]]] = {name: [] for name in LOADERS}
        for number in range(rounds):
            for name in list(LOADERS)[:: 1 if number % 2 else -1]:
                results[name].append(measured(workload, name))
        for what in results["torch"][0]:
            columns = {name: [result[what] for result in found] for name, found in results.items()}
            medians = " | ".join(f"{statistics.median(column):.4g}" for column in columns.values())
            ratios = (
                statistics.median(
                    mine / theirs if theirs else 0 for mine, theirs in zip(columns[name], columns["torch"], strict=True)
                )
                for name in ours
            )
            yield f"| {workload} | {what} | {medians} | {' | '.join(f'{ratio:.2f}' for ratio in ratios)} |"


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=WORKLOADS, default=list(WORKLOADS))
    parser.add_argument("--one", nargs=2, metavar=("WORKLOAD", "LOADER"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        workload, name = arguments.one
        print(json.dumps(WORKLOADS[workload](LOADERS[name])))
        return
    for line in table(arguments.rounds, arguments.only):
        print(line, flush=True)


if __name__ == "__main__":
    main()
