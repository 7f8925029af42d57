"""The first ten lines: iterate over a folder of images."""

from pathlib import Path

import stokehold as sh
from images import write_digits

train, _ = write_digits(Path(__file__).resolve().parent.parent / "demo-data" / "digits")

transforms = [sh.RandomResizedCrop(32), sh.Normalize(sh.IMAGENET_MEAN, sh.IMAGENET_STD), sh.ToLayout("CHW")]

with sh.Loader(
    sh.ImageFolder(train), batch_size=64, shuffle=True, transforms={"image": transforms}, num_workers=2
) as loader:
    for batch in loader:
        images, labels = batch["image"], batch["label"]
    print(f"{len(loader)} batches; the last: image {images.shape} {images.dtype}, label {labels.shape} {labels.dtype}")
