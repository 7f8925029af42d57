"""Google Grain with simplejpeg and Pillow."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import grain

import harness
from samples import load


def sample(item: tuple[str, int], workload: str, dtype: str) -> tuple[Any, int]:
    """Returns an image and its label."""
    return load(item[0], workload, dtype), item[1]


def main() -> None:
    """Measures one variant."""
    job = harness.job()

    def batches() -> Iterator[Any]:
        dataset = (
            grain.MapDataset.source(list(zip(job.files, job.labels, strict=True)))
            .shuffle(seed=1)
            .repeat()
            .map(partial(sample, workload=job.workload, dtype=job.dtype))
        )
        if job.variant == "threads":
            reading = grain.ReadOptions(num_threads=job.workers, prefetch_buffer_size=2 * harness.BATCH)
            return iter(dataset.to_iter_dataset(reading).batch(harness.BATCH, drop_remainder=True))
        batched = dataset.to_iter_dataset().batch(harness.BATCH, drop_remainder=True)
        return iter(batched.mp_prefetch(grain.MultiprocessingOptions(num_workers=job.workers)))

    harness.run(job, batches, lambda batch: len(batch[0]), ("grain", "simplejpeg", "pillow"))


if __name__ == "__main__":
    main()
