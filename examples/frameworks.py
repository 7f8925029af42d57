"""The same loader under Lightning, under Accelerate, and under the Trainer of Transformers.

Lightning takes it as it is. Accelerate and Transformers build a loader of their own from its attributes, so `adopt`
puts stokehold's workers back. Whatever is not installed is left out.
"""

import importlib.util
import tempfile
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

from images import write_digits
from stokehold.torch import DataLoader, adopt

PIXELS = 3 * 48 * 48


class Digits(ImageFolder):
    """Handwritten digits, as the mappings that a Trainer wants."""

    def __getitem__(self, index: int) -> dict[str, Any]:
        image, label = super().__getitem__(index)
        return {"image": image, "labels": label}


def main() -> None:
    """Trains for one epoch under each."""
    train, _ = write_digits(Path(__file__).resolve().parent.parent / "demo-data" / "digits")
    dataset = Digits(train, v2.Compose([v2.ToImage(), v2.ToDtype(torch.float32, scale=True)]))
    for name, run in (("lightning", lightning), ("accelerate", accelerate), ("transformers", transformers)):
        if importlib.util.find_spec(name) is None:
            print(f"{name} is not installed")
            continue
        with tempfile.TemporaryDirectory() as folder:
            print(f"{name}: loss {run(dataset, folder):.3f} after an epoch")


def lightning(dataset: Digits, folder: str) -> float:
    """Trains with Lightning."""
    from lightning import LightningModule, Trainer  # noqa: PLC0415 (optional)

    class Model(LightningModule):
        """One layer."""

        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(PIXELS, 10)

        def training_step(self, batch: dict[str, torch.Tensor], _: int) -> torch.Tensor:
            """Returns the loss."""
            self.loss = nn.functional.cross_entropy(self.layer(batch["image"].flatten(1)), batch["labels"])
            return self.loss

        def configure_optimizers(self) -> torch.optim.Optimizer:
            """Returns the optimizer."""
            return torch.optim.Adam(self.parameters(), 1e-3)

    model = Model()
    trainer = Trainer(
        max_epochs=1,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
    )
    trainer.fit(model, DataLoader(dataset, batch_size=64, shuffle=True, num_workers=2))
    return float(model.loss)


def accelerate(dataset: Digits, _: str) -> float:
    """Trains with Accelerate."""
    from accelerate import Accelerator  # noqa: PLC0415 (optional)

    accelerator = Accelerator(cpu=True)
    model = nn.Sequential(nn.Flatten(), nn.Linear(PIXELS, 10))
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    loader = DataLoader(dataset, batch_size=64, shuffle=True, num_workers=2)
    model, optimizer, prepared = accelerator.prepare(model, optimizer, loader)
    loss = torch.zeros(())
    for batch in adopt(prepared):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(batch["image"]), batch["labels"])
        accelerator.backward(loss)
        optimizer.step()
    return float(loss.detach())


def transformers(dataset: Digits, folder: str) -> float:
    """Trains with the Trainer of Transformers."""
    from transformers import Trainer, TrainingArguments  # noqa: PLC0415 (optional)

    class Model(nn.Module):
        """One layer, with the loss that a Trainer asks for."""

        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(PIXELS, 10)

        def forward(self, image: torch.Tensor, labels: torch.Tensor) -> dict[str, torch.Tensor]:
            """Returns the loss."""
            return {"loss": nn.functional.cross_entropy(self.layer(image.flatten(1)), labels)}

    class Fed(Trainer):
        """A Trainer whose loader has stokehold's workers."""

        def get_train_dataloader(self) -> Any:  # noqa: ANN401 (Accelerate's wrapper)
            """Returns the loader."""
            return adopt(super().get_train_dataloader())

    arguments = TrainingArguments(
        output_dir=folder,
        per_device_train_batch_size=64,
        num_train_epochs=1,
        learning_rate=1e-3,
        dataloader_num_workers=2,
        remove_unused_columns=False,
        save_strategy="no",
        report_to=[],
        use_cpu=True,
        disable_tqdm=True,
    )
    return float(Fed(model=Model(), args=arguments, train_dataset=dataset).train().training_loss)


if __name__ == "__main__":
    main()
