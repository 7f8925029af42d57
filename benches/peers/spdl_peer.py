"""SPDL: FFmpeg's decoder and filters in a thread pool."""

import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import spdl.io
from PIL import Image
from spdl.pipeline import PipelineBuilder

import harness
from boxes import draw_box

MEAN = (np.array(harness.MEAN, np.float32) * 255).reshape(3, 1, 1)
STD = (np.array(harness.STD, np.float32) * 255).reshape(3, 1, 1)


def main() -> None:
    """Measures one variant."""
    job = harness.job()
    files = job.files

    def endless() -> Iterator[str]:
        while True:
            random.shuffle(files)
            yield from files

    def load(path: str) -> Any:
        if job.workload == "W1":
            # Only the header is read here.
            with Image.open(path) as image:
                left, top, width, height = draw_box(*image.size)
            steps = [f"crop={width}:{height}:{left}:{top}:exact=1", "scale=224:224:flags=bicubic"]
            if random.random() < 0.5:
                steps.append("hflip")
        else:
            with Image.open(path) as image:
                scale = 256 / min(image.size)
                width, height = round(image.width * scale), round(image.height * scale)
            steps = [f"scale={width}:{height}:flags=bicubic", "crop=224:224"]
        filters = ",".join([*steps, "format=pix_fmts=rgb24"])
        return spdl.io.decode_packets(spdl.io.demux_image(path), filter_desc=filters)

    def batch(frames: list[Any]) -> Any:
        images = spdl.io.to_numpy(spdl.io.convert_frames(frames))
        return np.ascontiguousarray((images.transpose(0, 3, 1, 2) - MEAN) / STD) if job.dtype == "f32" else images

    def batches() -> Iterator[Any]:
        pipeline = (
            PipelineBuilder()
            .add_source(endless())
            .pipe(load, concurrency=job.workers)
            .aggregate(harness.BATCH)
            .pipe(batch, concurrency=job.workers)
            .add_sink(2)
            .build(num_threads=job.workers)
        )
        with pipeline.auto_stop():
            yield from pipeline

    harness.run(job, batches, len, ("spdl", "numpy"))


if __name__ == "__main__":
    main()
