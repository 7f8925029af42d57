"""A PyTorch training loop: a small convolutional network learns handwritten digits.

The batches are tensors over the very memory that the workers wrote; nothing is copied on the way.
"""

import sys
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional

import stokehold as sh
from images import write_digits

DATA = Path(__file__).resolve().parent.parent / "demo-data"
EPOCHS = 3
FINISH = [sh.Normalize([0.5, 0.5, 0.5], [0.5, 0.5, 0.5]), sh.ToLayout("CHW")]


class Net(nn.Module):
    """Two convolutions and a linear layer."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, 16, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(16, 32, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(32 * 8 * 8, classes),
        )

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Returns a score for each image and class."""
        return self.layers(images)


def main() -> int:
    """Trains, examines, and fails if the network has not learnt."""
    torch.manual_seed(0)
    train, held_out = write_digits(DATA / "digits")
    source = sh.ImageFolder(train)
    net = Net(len(source.classes))
    optimizer = torch.optim.Adam(net.parameters(), lr=2e-3)

    augment = [sh.RandomResizedCrop(32, scale=(0.8, 1.0), ratio=(0.9, 1.1)), *FINISH]
    with sh.Loader(
        source, batch_size=32, shuffle=True, transforms={"image": augment}, num_workers=2, output="torch"
    ) as loader:
        for epoch in range(EPOCHS):
            loader.set_epoch(epoch)
            total = 0.0
            for batch in loader:
                loss = functional.cross_entropy(net(batch["image"]), batch["label"])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                total += loss.item()
            print(f"epoch {epoch + 1}: loss {total / len(loader):.3f}")

    right = seen = 0
    transforms = {"image": [sh.Resize((32, 32)), *FINISH]}
    with (
        torch.inference_mode(),
        sh.Loader(
            sh.ImageFolder(held_out), batch_size=64, transforms=transforms, num_workers=2, output="torch"
        ) as loader,
    ):
        for batch in loader:
            right += int((net(batch["image"]).argmax(1) == batch["label"]).sum())
            seen += len(batch["label"])
    print(f"accuracy on {seen} held-out images: {right / seen:.3f}")
    return 0 if right / seen > 0.9 else 1


if __name__ == "__main__":
    sys.exit(main())
