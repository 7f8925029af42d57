"""mlx-data: C++ threads, its own decoder and resize."""

from collections.abc import Iterator
from typing import Any

import mlx.data
import numpy as np

import harness


def main() -> None:
    """Measures one variant."""
    job = harness.job()
    entries = [{"image": path.encode(), "label": label} for path, label in zip(job.files, job.labels, strict=True)]

    def batches() -> Iterator[Any]:
        while True:
            buffer = mlx.data.buffer_from_vector(entries).shuffle().load_image("image")
            if job.workload == "W1":
                buffer = (
                    buffer.image_random_area_crop("image", harness.SCALE, harness.RATIO)
                    .image_resize("image", 224, 224)
                    .image_random_h_flip("image", 0.5)
                )
            else:
                buffer = buffer.image_resize_smallest_side("image", 256).image_center_crop("image", 224, 224)
            # Grey files stay grey otherwise.
            buffer = buffer.key_transform("image", lambda image: np.repeat(image, 3 // image.shape[2], axis=2))
            stream = buffer.to_stream().batch(harness.BATCH).prefetch(2 * job.workers, job.workers)
            for batch in stream:
                yield {"image": batch["image"]}

    harness.run(job, batches, lambda batch: len(batch["image"]), ("mlx-data",))


if __name__ == "__main__":
    main()
