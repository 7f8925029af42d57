"""FFCV from its own file format, which is written once beside the set."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from ffcv.fields import IntField, RGBImageField
from ffcv.fields.decoders import CenterCropRGBImageDecoder, IntDecoder, RandomResizedCropRGBImageDecoder
from ffcv.loader import Loader, OrderOption
from ffcv.transforms import NormalizeImage, RandomHorizontalFlip, ToTensor, ToTorchImage
from ffcv.writer import DatasetWriter
from PIL import Image

import harness


class Photographs:
    """The set, as the writer wants it."""

    def __init__(self, job: harness.Job) -> None:
        self.files, self.labels = job.files, job.labels

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        return Image.open(self.files[index]).convert("RGB"), self.labels[index]


def main() -> None:
    """Measures one variant."""
    job = harness.job()
    file = job.data / f"ffcv-{job.variant}.beton"
    if job.prepare:
        if not file.exists():
            partial = file.with_suffix(".partial")
            image = RGBImageField(write_mode=job.variant, jpeg_quality=93)
            writer = DatasetWriter(str(partial), {"image": image, "label": IntField()}, num_workers=2)
            writer.from_indexed_dataset(Photographs(job))
            partial.rename(file)
        return
    images: list[Any] = (
        [RandomResizedCropRGBImageDecoder((224, 224), scale=harness.SCALE, ratio=harness.RATIO), RandomHorizontalFlip()]
        if job.workload == "W1"
        else [CenterCropRGBImageDecoder((224, 224), ratio=224 / 256)]
    )
    if job.dtype == "f32":
        mean, std = np.array(harness.MEAN) * 255, np.array(harness.STD) * 255
        images += [NormalizeImage(mean, std, np.float32)]
        images += [ToTensor(), ToTorchImage(channels_last=False)]
    else:
        images += [ToTensor()]

    def batches() -> Iterator[Any]:
        loader = Loader(
            str(file),
            batch_size=harness.BATCH,
            num_workers=job.workers,
            order=OrderOption.RANDOM,
            os_cache=True,
            drop_last=len(job.files) >= harness.BATCH,
            pipelines={"image": images, "label": [IntDecoder(), ToTensor()]},
        )
        while True:
            yield from loader

    harness.run(job, batches, lambda batch: len(batch[0]), ("ffcv", "numpy", "numba", "torch"))


if __name__ == "__main__":
    main()
