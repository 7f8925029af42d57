"""Writes real images as folders of JPEG files, for the demo, the examples and their tests."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits, load_sample_images

# Photographs that scikit-image ships in its wheel; nothing is downloaded.
PHOTOS = ("astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg")


def write_digits(root: Path, size: int = 48, held_out: float = 0.2) -> tuple[Path, Path]:
    """Writes scikit-learn's handwritten digits, split by a fixed seed.

    Args:
        root: The folder to write to; one that is complete is left as it is.
        size: The width and height of each image; the scans themselves are 8x8.
        held_out: The share of images that is kept for the final examination.

    Returns:
        The folders `train` and `held-out`, each with a folder for each digit.
    """
    train, test = root / "train", root / "held-out"
    if not train.exists():
        digits = load_digits()
        is_test = np.random.default_rng(0).random(len(digits.target)) < held_out
        partial = fresh(root)
        for index, (scan, digit) in enumerate(zip(digits.images, digits.target, strict=True)):
            image = Image.fromarray((scan * (255 / 16)).astype(np.uint8))
            folder = partial / (test if is_test[index] else train).name / str(digit)
            folder.mkdir(parents=True, exist_ok=True)
            image.resize((size, size), Image.Resampling.BICUBIC).save(folder / f"{index:04}.jpg", quality=90)
        partial.rename(root)
    return train, test


def write_photos(root: Path, count: int = 300) -> Path:
    """Writes cut-outs of real photographs, about 480x400 and 50 KB each.

    Args:
        root: The folder to write to; one that is complete is left as it is.
        count: The number of files.

    Returns:
        The folder, with a folder for each photograph.
    """
    if not root.exists():
        photos = real_photos()
        random = np.random.default_rng(0)
        partial = fresh(root)
        for index in range(count):
            name, photo = photos[index % len(photos)]
            width, height = (int(random.integers(low, high)) for low, high in ((420, 520), (350, 440)))
            # A cut-out of half the photograph or more, at the size wanted.
            share = random.uniform(0.7, 1.0)
            box_width = min(photo.width, photo.height * width / height) * share
            box_height = box_width * height / width
            left = random.uniform(0, photo.width - box_width)
            top = random.uniform(0, photo.height - box_height)
            cut = photo.resize(
                (width, height), Image.Resampling.LANCZOS, box=(left, top, left + box_width, top + box_height)
            )
            folder = partial / name
            folder.mkdir(exist_ok=True)
            cut.save(folder / f"{index:04}.jpg", quality=92)
        partial.rename(root)
    return root


def write_scenes(root: Path, count: int = 200) -> Path:
    """Writes photographs with one to five handwritten digits on them, and where they are.

    Args:
        root: The folder to write to; one that is complete is left as it is.
        count: The number of scenes.

    Returns:
        The folder, with `images` and the COCO annotation file `annotations.json`.
    """
    if not root.exists():
        digits, photos = load_digits(), real_photos()
        random = np.random.default_rng(0)
        partial = fresh(root)
        (partial / "images").mkdir()
        content: dict[str, list[dict[str, Any]]] = {
            "images": [],
            "annotations": [],
            "categories": [{"id": digit, "name": f"digit {digit}"} for digit in range(10)],
        }
        for number in range(count):
            scene = photos[number % len(photos)][1].resize((320, 240))
            for _ in range(random.integers(1, 6)):
                at, size = random.integers(len(digits.images)), int(random.integers(24, 72))
                scan = Image.fromarray((digits.images[at] * (255 / 16)).astype(np.uint8)).resize((size, size))
                # The scan's ink without the empty margin.
                ink = scan.crop(scan.point(lambda value: 255 * (value > 60)).getbbox())
                left, top = int(random.integers(320 - ink.width)), int(random.integers(240 - ink.height))
                scene.paste("white", (left, top), ink)
                found = {"image_id": number, "category_id": int(digits.target[at]), "iscrowd": 0}
                found |= {"id": len(content["annotations"]), "area": ink.width * ink.height}
                content["annotations"].append(found | {"bbox": [left, top, *ink.size]})
            scene.save(partial / "images" / f"{number:04}.jpg", quality=90)
            content["images"].append({"id": number, "file_name": f"{number:04}.jpg", "width": 320, "height": 240})
        (partial / "annotations.json").write_text(json.dumps(content))
        partial.rename(root)
    return root


def real_photos() -> list[tuple[str, Image.Image]]:
    """Returns the photographs that scikit-learn ships, and those of scikit-image where it is installed."""
    samples = load_sample_images()
    photos = [
        (Path(name).stem, Image.fromarray(pixels))
        for name, pixels in zip(samples.filenames, samples.images, strict=True)
    ]
    try:
        import skimage.data  # noqa: PLC0415 (optional)
    except ImportError:
        return photos
    shipped = Path(skimage.data.__file__).parent
    paths = [shipped / name for name in PHOTOS if (shipped / name).exists()]
    return photos + [(path.stem, Image.open(path).convert("RGB")) for path in paths]


def fresh(root: Path) -> Path:
    """Returns a new folder beside `root`, to be renamed once it is complete."""
    partial = root.with_name(root.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    return partial
