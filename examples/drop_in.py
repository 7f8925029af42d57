"""A PyTorch training loop whose only change is the import of its `DataLoader`.

The dataset is an ordinary one in Python, with torchvision's transforms. Then it becomes a native pipeline.
"""

import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

from images import write_digits
from stokehold.torch import DataLoader, from_torchvision  # instead of torch.utils.data

EPOCHS = 3


def main() -> None:
    """Trains twice and prints what it took."""
    torch.manual_seed(0)
    train, held_out = write_digits(Path(__file__).resolve().parent.parent / "demo-data" / "digits")
    augment = v2.Compose(
        [v2.RandomCrop(48, padding=3), v2.ToImage(), v2.ToDtype(torch.float32, scale=True), v2.Normalize([0.5], [0.5])]
    )
    plain = v2.Compose([v2.ToImage(), v2.ToDtype(torch.float32, scale=True), v2.Normalize([0.5], [0.5])])
    dataset = ImageFolder(train, augment)
    test = DataLoader(ImageFolder(held_out, plain), batch_size=64, num_workers=2)

    loader = DataLoader(dataset, batch_size=64, shuffle=True, num_workers=2, persistent_workers=True)
    print("the dataset as it is:", fit(loader, test))
    with from_torchvision(dataset, batch_size=64, shuffle=True, num_workers=2) as native:
        print("the same one, native:", fit(native, test))


def fit(loader: Iterable[Any], test: DataLoader[Any]) -> str:
    """Trains a small network and tells its accuracy on images that it has not seen."""
    model = nn.Sequential(
        nn.Conv2d(3, 16, 5, 2), nn.ReLU(), nn.Conv2d(16, 32, 5, 2), nn.ReLU(), nn.Flatten(), nn.LazyLinear(10)
    )
    optimizer, start = torch.optim.Adam(model.parameters(), 2e-3), time.perf_counter()
    for _ in range(EPOCHS):
        for images, labels in loader:
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(images), labels).backward()
            optimizer.step()
    seconds = time.perf_counter() - start
    with torch.no_grad():
        right = sum(int((model(images).argmax(1) == labels).sum()) for images, labels in test)
    return f"{EPOCHS} epochs in {seconds:.1f} s, held-out accuracy {right / len(test.dataset):.3f}"


if __name__ == "__main__":
    main()
