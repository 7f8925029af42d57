"""NVIDIA DALI on the CPU."""

from collections.abc import Iterator
from typing import Any

from nvidia.dali import fn, pipeline_def, types

import harness


def main() -> None:
    """Measures one variant."""
    job = harness.job()
    antialias = job.variant != "noaa"

    @pipeline_def(batch_size=harness.BATCH, num_threads=job.workers, device_id=None, prefetch_queue_depth=2)
    def pipeline() -> Any:
        encoded, labels = fn.readers.file(files=job.files, labels=job.labels, random_shuffle=True, name="reader")
        if job.workload == "W1":
            images = fn.decoders.image_random_crop(
                encoded, random_area=harness.SCALE, random_aspect_ratio=harness.RATIO, output_type=types.RGB
            )
            images = fn.resize(images, size=(224, 224), antialias=antialias, interp_type=types.INTERP_LINEAR)
            mirror = fn.random.coin_flip(probability=0.5)
        else:
            images = fn.decoders.image(encoded, output_type=types.RGB)
            images = fn.resize(images, resize_shorter=256, antialias=antialias, interp_type=types.INTERP_LINEAR)
            mirror = 0
        floats = job.dtype == "f32"
        images = fn.crop_mirror_normalize(
            images,
            crop=(224, 224),
            mirror=mirror,
            dtype=types.FLOAT if floats else types.UINT8,
            output_layout="CHW" if floats else "HWC",
            mean=[255 * value for value in harness.MEAN] if floats else [0.0],
            std=[255 * value for value in harness.STD] if floats else [1.0],
        )
        return images, labels

    def batches() -> Iterator[Any]:
        built = pipeline()
        built.build()
        while True:
            images, labels = built.run()
            yield images.as_array(), labels

    harness.run(job, batches, lambda batch: len(batch[0]), ("nvidia-dali-cuda130",))


if __name__ == "__main__":
    main()
