"""Detection: images with boxes and classes from a COCO annotation file, boxes that follow the crops.

The scenes are photographs with handwritten digits on them. Each batch becomes what torchvision's detectors take: a list
of images and a list of targets. The first one is drawn into `demo-data/scenes/batch.png`, boxes included.
"""

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

import stokehold as sh
from images import write_scenes

COLUMNS = 4


def main() -> None:
    """Goes through an epoch and draws its first batch."""
    root = write_scenes(Path(__file__).resolve().parent.parent / "demo-data" / "scenes")
    transforms: dict[str, list[sh.Transform]] = {
        "image": [
            sh.RandomResizedCrop((192, 256), scale=(0.3, 1.0)),
            sh.RandomHorizontalFlip(),
            sh.ColorJitter(0.3, 0.3),
        ],
        # A crop may leave nothing of a box, or a sliver.
        "boxes": [sh.SanitizeBoundingBoxes(min_size=6, labels=("labels", "area", "iscrowd"))],
    }
    source = sh.CocoDetection(root / "images", root / "annotations.json")
    with sh.Loader(source, batch_size=16, shuffle=True, transforms=transforms, num_workers=2) as loader:
        counts: dict[str, int] = {}
        for number, batch in enumerate(loader):
            images = list(batch["image"])
            targets = [
                {"boxes": boxes, "labels": labels}
                for boxes, labels in zip(batch["boxes"], batch["labels"], strict=True)
            ]
            for target in targets:
                for label in target["labels"]:
                    name = source.categories[int(label)]
                    counts[name] = counts.get(name, 0) + 1
            if number == 0:
                draw(images, targets, source.categories).save(root / "batch.png")
    total = sum(counts.values())
    print(f"{len(loader)} batches of images {images[0].shape}; {total} boxes are left by the crops: {counts}")
    print(f"the first batch is drawn in {root / 'batch.png'}")


def draw(images: list[Any], targets: list[dict[str, Any]], names: dict[int, str]) -> Image.Image:
    """Returns the images side by side, with their boxes."""
    height, width, _ = images[0].shape
    sheet = Image.new("RGB", (COLUMNS * width, -(-len(images) // COLUMNS) * height))
    for at, (image, target) in enumerate(zip(images, targets, strict=True)):
        picture = Image.fromarray(np.array(image))
        pen = ImageDraw.Draw(picture)
        for box, label in zip(target["boxes"], target["labels"], strict=True):
            pen.rectangle(box.tolist(), outline="yellow")
            pen.text((box[0] + 2, box[1]), names[int(label)], fill="yellow")
        sheet.paste(picture, (at % COLUMNS * width, at // COLUMNS * height))
    return sheet


if __name__ == "__main__":
    main()
