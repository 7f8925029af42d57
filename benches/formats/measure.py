"""How fast is each image format read, beside Pillow, OpenCV and torchvision?

    .venv/bin/python benches/formats/measure.py [--rounds 5] [--images 48] [--only webp png]

One thread each, the same photographs in every format, from memory to `uint8` pixels, in two ways:

- resize: the whole image, resized to 256x256 (bilinear; antialiased by all but OpenCV, which averages areas);
- crop: `RandomResizedCrop(224)`. Only stokehold knows the box before it decodes.

The readers take turns within a round. Prints a Markdown table: milliseconds an image, the median of the rounds, and the
median of the ratios within a round of the fastest other reader to stokehold.
"""

from __future__ import annotations

import argparse
import io
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import PIL
import torch
import torchvision
from PIL import Image
from torchvision.io import ImageReadMode, decode_image
from torchvision.transforms import RandomResizedCrop
from torchvision.transforms.v2 import functional

import stokehold as sh

sys.path.insert(0, str(Path(__file__).parents[2] / "examples"))
from images import write_photos

Box = tuple[int, int, int, int]
"""Top, left, height and width."""
Read = Callable[[bytes, Box | None], Any]
"""Reads a file and makes a box of it, or the whole, an array of the size that is wanted."""

FORMATS: dict[str, dict[str, Any]] = {
    "jpeg": {"format": "JPEG", "quality": 92},
    "jpeg progressive": {"format": "JPEG", "quality": 92, "progressive": True},
    "png": {"format": "PNG"},
    "png palette": {"format": "PNG"},
    "webp": {"format": "WEBP", "quality": 80},
    "webp lossless": {"format": "WEBP", "lossless": True},
    "tiff": {"format": "TIFF"},
    "tiff lzw": {"format": "TIFF", "compression": "tiff_lzw"},
    "tiff deflate": {"format": "TIFF", "compression": "tiff_adobe_deflate"},
    "gif": {"format": "GIF"},
    "bmp": {"format": "BMP"},
    "ppm": {"format": "PPM"},
}
"""What Pillow is told to write each with."""

RESIZED, CROPPED = 256, 224


def main() -> None:
    """Measures every format and prints the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--images", type=int, default=48)
    parser.add_argument("--only", nargs="+", choices=FORMATS, default=list(FORMATS))
    given = parser.parse_args()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    versions = f"Pillow {PIL.__version__}, OpenCV {cv2.__version__}, torchvision {torchvision.__version__}"
    print(f"stokehold {sh.__version__}, {versions}, Python {platform.python_version()}\n")
    others = list(OTHERS)
    print("| format | | stokehold ms | " + " | ".join(f"{name} ms" for name in others) + " | stokehold is |")
    print("| --- | --- | --: |" + " --: |" * (len(others) + 1))
    with tempfile.TemporaryDirectory() as folder:
        photos = write_photos(Path(folder) / "photos", given.images)
        pictures = [Image.open(path).convert("RGB") for path in sorted(photos.rglob("*.jpg"))]
        for name in given.only:
            files = [written(picture, name) for picture in pictures]
            for way in ("resize", "crop"):
                row(name, way, files, given.rounds)


def written(picture: Image.Image, name: str) -> bytes:
    """Returns a photograph as a file of a format."""
    buffer = io.BytesIO()
    if "palette" in name:
        picture = picture.quantize()
    picture.save(buffer, **FORMATS[name])
    return buffer.getvalue()


def row(name: str, way: str, files: list[bytes], rounds: int) -> None:
    """Measures one format in one way and prints its row."""
    readers = {reader: read for reader, read in OTHERS.items() if reads(read, files[0])}
    times: dict[str, list[float]] = {"stokehold": [], **{reader: [] for reader in readers}}
    loader = ours(files, way)
    boxes = crops(files) if way == "crop" else [None] * len(files)
    for _ in range(rounds):
        began = time.perf_counter()
        read_by_loader(loader)
        times["stokehold"].append(time.perf_counter() - began)
        for reader, read in readers.items():
            began = time.perf_counter()
            for data, box in zip(files, boxes, strict=True):
                read(data, box)
            times[reader].append(time.perf_counter() - began)
    cells = [
        f"{statistics.median(times[reader]) / len(files) * 1000:.2f}" if reader in times else "-"
        for reader in ("stokehold", *OTHERS)
    ]
    fastest = [min(times[reader][at] for reader in readers) for at in range(rounds)]
    ratio = statistics.median(other / own for other, own in zip(fastest, times["stokehold"], strict=True))
    print(f"| {name} | {way} | " + " | ".join(cells) + f" | {ratio:.2f}x |", flush=True)


def ours(files: list[bytes], way: str) -> sh.Loader:
    """Returns a loader without workers, and with one thread, over the files in memory."""
    transform = sh.RandomResizedCrop(CROPPED) if way == "crop" else sh.Resize((RESIZED, RESIZED))
    loader = sh.Loader(
        sh.Table({"image": sh.Images(files)}), batch_size=len(files), num_workers=0, transforms={"image": [transform]}
    )
    read_by_loader(loader)
    return loader


def read_by_loader(loader: sh.Loader) -> None:
    """Reads every file once."""
    for _ in loader:
        pass


def crops(files: list[bytes]) -> list[Box | None]:
    """Draws a box for each file, as `RandomResizedCrop` does."""
    torch.manual_seed(0)
    sizes = [Image.open(io.BytesIO(data)).size for data in files]
    shapes = [torch.empty((3, height, width), device="meta") for width, height in sizes]
    return [RandomResizedCrop.get_params(shape, scale=[0.08, 1.0], ratio=[3 / 4, 4 / 3]) for shape in shapes]


def reads(read: Read, data: bytes) -> bool:
    """Tells whether a reader knows a format."""
    try:
        return read(data, None) is not None
    except (RuntimeError, cv2.error):
        return False


def by_pillow(data: bytes, box: Box | None) -> Any:
    """Reads by Pillow."""
    image = Image.open(io.BytesIO(data)).convert("RGB")
    if box is None:
        return np.asarray(image.resize((RESIZED, RESIZED), Image.Resampling.BILINEAR))
    top, left, height, width = box
    within = (left, top, left + width, top + height)
    return np.asarray(image.resize((CROPPED, CROPPED), Image.Resampling.BILINEAR, box=within))


def by_opencv(data: bytes, box: Box | None) -> Any:
    """Reads by OpenCV, which gives the channels in another order; they are put right as its users must."""
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    if image is None:
        return None
    size = (RESIZED, RESIZED)
    if box is not None:
        top, left, height, width = box
        image, size = image[top : top + height, left : left + width], (CROPPED, CROPPED)
    return cv2.cvtColor(cv2.resize(image, size, interpolation=cv2.INTER_AREA), cv2.COLOR_BGR2RGB)


def by_torchvision(data: bytes, box: Box | None) -> Any:
    """Reads by torchvision."""
    image = decode_image(torch.frombuffer(bytearray(data), dtype=torch.uint8), ImageReadMode.RGB)
    if box is None:
        return functional.resize(image, [RESIZED, RESIZED], antialias=True)
    return functional.resized_crop(image, *box, [CROPPED, CROPPED], antialias=True)


OTHERS: dict[str, Read] = {"Pillow": by_pillow, "OpenCV": by_opencv, "torchvision": by_torchvision}


if __name__ == "__main__":
    main()
