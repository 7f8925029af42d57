"""PyTorch's DataLoader over an image folder: decoders of Pillow, torchvision.io or OpenCV."""

import random
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset

import harness


def main() -> None:
    """Measures one variant."""
    job = harness.job()
    load = {"pil": pil, "io": torchvision_io, "cv2": cv2_load}[job.variant](job)
    files, labels = job.files, job.labels

    class Photographs(Dataset[tuple[Any, int]]):
        """Decoded and transformed samples."""

        def __len__(self) -> int:
            return len(files)

        def __getitem__(self, index: int) -> tuple[Any, int]:
            return load(files[index]), labels[index]

    def batches() -> Iterator[Any]:
        loader = DataLoader(
            Photographs(),
            harness.BATCH,
            shuffle=True,
            drop_last=len(files) >= harness.BATCH,
            num_workers=job.workers,
            persistent_workers=True,
        )
        while True:
            yield from loader

    packages = {
        "pil": ("torch", "torchvision", "pillow-simd" if simd() else "pillow"),
        "io": ("torch", "torchvision"),
        "cv2": ("torch", "opencv-python-headless"),
    }
    harness.run(job, batches, lambda batch: len(batch[0]), packages[job.variant])


def simd() -> bool:
    """Tells whether Pillow is pillow-simd."""
    import importlib.util
    from importlib.metadata import distributions

    return importlib.util.find_spec("PIL") is not None and any(
        distribution.metadata["Name"].lower().replace("_", "-") == "pillow-simd" for distribution in distributions()
    )


def pil(job: harness.Job) -> Callable[[str], Any]:
    """What torchvision's own reference training does by default."""
    from PIL import Image

    apply = pil_transform(job)

    def load(path: str) -> Any:
        with Image.open(path) as image:
            return apply(image.convert("RGB"))

    return load


def pil_transform(job: harness.Job) -> Callable[[Any], Any]:
    """Returns torchvision's transforms for a Pillow image."""
    from torchvision import transforms

    geometry = {
        "W1": [transforms.RandomResizedCrop(224), transforms.RandomHorizontalFlip()],
        "W2": [transforms.Resize(256), transforms.CenterCrop(224)],
    }[job.workload]
    finish = (
        [transforms.PILToTensor()]
        if job.dtype == "u8"
        else [transforms.ToTensor(), transforms.Normalize(harness.MEAN, harness.STD)]
    )
    composed: Callable[[Any], Any] = transforms.Compose([*geometry, *finish])
    return composed


def torchvision_io(job: harness.Job) -> Callable[[str], Any]:
    """Decoder and tensor transforms of torchvision."""
    from torchvision.io import ImageReadMode, decode_image, read_file

    apply = tensor_transform(job)
    return lambda path: apply(decode_image(read_file(path), ImageReadMode.RGB))


def of_bytes(job: harness.Job) -> Callable[[bytes], Any]:
    """The same for a file that is in memory."""
    from torchvision.io import ImageReadMode, decode_image

    apply = tensor_transform(job)
    # A copy, because PyTorch warns of memory that must not be written.
    return lambda data: apply(decode_image(torch.frombuffer(bytearray(data), dtype=torch.uint8), ImageReadMode.RGB))


def tensor_transform(job: harness.Job) -> Callable[[Any], Any]:
    """Returns torchvision's transforms for a tensor of pixels."""
    from torchvision.transforms import v2

    geometry = {
        "W1": [v2.RandomResizedCrop(224, antialias=True), v2.RandomHorizontalFlip()],
        "W2": [v2.Resize(256, antialias=True), v2.CenterCrop(224)],
    }[job.workload]
    finish = (
        [] if job.dtype == "u8" else [v2.ToDtype(torch.float32, scale=True), v2.Normalize(harness.MEAN, harness.STD)]
    )
    composed: Callable[[Any], Any] = v2.Compose([*geometry, *finish])
    return composed


def cv2_load(job: harness.Job) -> Callable[[str], Any]:
    """OpenCV, in the way that loaders written by hand do it."""
    import cv2
    import numpy as np

    from boxes import draw_box

    cv2.setNumThreads(0)
    mean, std = np.array(harness.MEAN, np.float32) * 255, np.array(harness.STD, np.float32) * 255

    def load(path: str) -> Any:
        image = cv2.cvtColor(cv2.imread(path, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
        height, width = image.shape[:2]
        if job.workload == "W1":
            left, top, box_width, box_height = draw_box(width, height)
            image = image[top : top + box_height, left : left + box_width]
            shrinks = box_width * box_height >= 224 * 224
            image = cv2.resize(image, (224, 224), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
            if random.random() < 0.5:
                image = cv2.flip(image, 1)
        else:
            scale = 256 / min(width, height)
            size = (round(width * scale), round(height * scale))
            image = cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
            left, top = (size[0] - 224) // 2, (size[1] - 224) // 2
            image = image[top : top + 224, left : left + 224]
        if job.dtype == "f32":
            image = ((image - mean) / std).transpose(2, 0, 1)
        return torch.from_numpy(np.ascontiguousarray(image))

    return load


if __name__ == "__main__":
    main()
