"""Is a GPU fed? ResNet-50 in training on photographs, by this package's loaders and PyTorch's, turn by turn.

    .venv/bin/python benches/gpu/feed.py [--workers 8] [--rounds 3] [--seconds 8]

Needs a GPU, torchvision and scikit-learn. Each loader gives batches of 256 random crops of 224 pixels, as `uint8`; the
GPU normalises them, and trains in bfloat16. `step` is the same training on one batch that stays where it is: the limit.
`torch` is torchvision's `ImageFolder` with its v2 transforms over Pillow, in `torch.utils.data.DataLoader` with
`pin_memory`; `drop-in` the same in `stokehold.torch.DataLoader`; `pool` is `stokehold.Loader` over the same files.
Prints a Markdown table: images/s, and the share of the time that the trainer waited for the next batch.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torchvision.datasets import ImageFolder
from torchvision.models import resnet50
from torchvision.transforms import v2

import stokehold as sh
import stokehold.torch

sys.path.insert(0, str(Path(__file__).parents[2] / "examples"))
from images import write_photos

BATCH = 256
PHOTOS = 4096


def endless(loader: Any) -> Iterator[Any]:
    """Goes over epochs."""
    return itertools.chain.from_iterable(itertools.repeat(loader))


def torch_batches(kind: Any, folder: Path, workers: int) -> Iterator[torch.Tensor]:
    """Batches of a loader of PyTorch's kind."""
    crops = v2.Compose([v2.RandomResizedCrop(224, antialias=True), v2.RandomHorizontalFlip(), v2.PILToTensor()])
    loader = kind(
        ImageFolder(str(folder), transform=crops),
        BATCH,
        shuffle=True,
        num_workers=workers,
        pin_memory=True,
        drop_last=True,
        persistent_workers=True,
    )
    return (images for images, _ in endless(loader))


def pool_batches(folder: Path, workers: int) -> Iterator[torch.Tensor]:
    """Batches of the pool, channels last as they lie in the slot."""
    crops = [sh.RandomResizedCrop(224), sh.RandomHorizontalFlip()]
    loader = sh.Loader(
        sh.ImageFolder(folder),
        batch_size=BATCH,
        shuffle=True,
        drop_last=True,
        transforms={"image": crops},
        num_workers=workers,
        output="torch",
    )
    return (batch["image"].permute(0, 3, 1, 2) for batch in endless(loader))


def main() -> None:
    """Measures and prints the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=8.0)
    given = parser.parse_args()
    device = torch.device("cuda")
    versions = f"stokehold {sh.__version__}, torch {torch.__version__}"
    print(f"{versions}, {torch.cuda.get_device_name()}, {given.workers} workers\n")
    model = resnet50().to(device, memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    labels = torch.zeros(BATCH, dtype=torch.long, device=device)

    def step(images: torch.Tensor) -> None:
        pixels = images.to(device, non_blocking=True).to(torch.bfloat16, memory_format=torch.channels_last).div_(255)
        with torch.autocast("cuda", torch.bfloat16):
            loss = torch.nn.functional.cross_entropy(model(pixels), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    with tempfile.TemporaryDirectory() as where:
        folder = write_photos(Path(where) / "photos", PHOTOS)
        still = torch.zeros(BATCH, 3, 224, 224, dtype=torch.uint8, device=device)
        ways: dict[str, Callable[[], Iterator[torch.Tensor]]] = {
            "step": lambda: itertools.repeat(still),
            "torch": lambda: torch_batches(torch.utils.data.DataLoader, folder, given.workers),
            "drop-in": lambda: torch_batches(stokehold.torch.DataLoader, folder, given.workers),
            "pool": lambda: pool_batches(folder, given.workers),
        }
        batches = {name: way() for name, way in ways.items()}
        rates: dict[str, list[float]] = {name: [] for name in ways}
        waits: dict[str, list[float]] = {name: [] for name in ways}
        for _, (name, each) in itertools.product(range(given.rounds), batches.items()):
            # What was made ahead while others were measured does not count.
            for images in itertools.islice(each, 24):
                step(images)
            torch.cuda.synchronize()
            begun, waited, count = time.perf_counter(), 0.0, 0
            while time.perf_counter() - begun < given.seconds:
                asked = time.perf_counter()
                images = next(each)
                waited += time.perf_counter() - asked
                step(images)
                torch.cuda.synchronize()
                count += 1
            took = time.perf_counter() - begun
            rates[name].append(count * BATCH / took)
            waits[name].append(waited / took)
    print("| | images/s | waiting |\n| --- | --: | --: |")
    for name in ways:
        print(f"| {name} | {statistics.median(rates[name]):.0f} | {statistics.median(waits[name]):.0%} |")


if __name__ == "__main__":
    main()
