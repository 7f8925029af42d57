"""dataloader-rs: Python datasets in Rust threads, with simplejpeg and Pillow."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from dataloader_rs import PyDataloader, PyDataset

import harness
from samples import load


def main() -> None:
    """Measures one variant."""
    job = harness.job()
    files, labels = job.files, job.labels

    class Photographs(PyDataset):
        """Decoded and transformed samples."""

        def __len__(self) -> int:
            return len(files)

        def __getitem__(self, index: int) -> tuple[Any, int]:
            return load(files[index], job.workload, job.dtype), labels[index]

    def collate(samples: list[tuple[Any, int]]) -> tuple[Any, Any]:
        return np.stack([image for image, _ in samples]), np.array([label for _, label in samples])

    def batches() -> Iterator[Any]:
        loader = PyDataloader(
            Photographs(),
            harness.BATCH,
            shuffle=True,
            num_workers=job.workers,
            collate_fn=collate,
            drop_last=len(files) >= harness.BATCH,
        )
        while True:
            yield from loader

    harness.run(job, batches, lambda batch: len(batch[0]), ("dataloader-rs", "simplejpeg", "pillow"))


if __name__ == "__main__":
    main()
