"""datago: its own crop and resize to 224; it gives samples, so they are stacked here."""

import json
import os
from collections.abc import Iterator
from typing import Any

import numpy as np

import harness


def main() -> None:
    """Measures one variant."""
    job = harness.job()
    os.environ["DATAGO_MAX_TASKS"] = str(job.workers)
    from datago import DatagoClient

    config = {
        "source_type": "file",
        "source_config": {
            "root_path": str(job.data / "images"),
            "random_sampling": True,
            "rank": 0,
            "world_size": 1,
        },
        "image_config": {
            "crop_and_resize": True,
            "default_image_size": 224,
            "downsampling_ratio": 1,
            "min_aspect_ratio": 1.0,
            "max_aspect_ratio": 1.0,
            "pre_encode_images": False,
            "image_to_rgb8": True,
        },
        "limit": 10_000_000,
        "samples_buffer_size": 2 * harness.BATCH,
    }

    def samples() -> Iterator[Any]:
        while True:
            client = DatagoClient(json.dumps(config))
            client.start()
            while (sample := client.get_sample()) is not None:
                yield np.asarray(sample.image)
            client.stop()

    def batches() -> Iterator[Any]:
        source = samples()
        while True:
            yield np.stack([next(source) for _ in range(harness.BATCH)])

    harness.run(job, batches, len, ("datago", "numpy"))


if __name__ == "__main__":
    main()
