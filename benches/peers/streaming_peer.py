"""MosaicML Streaming from MDS shards, which are written once beside the set."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from PIL import Image
from streaming import MDSWriter, StreamingDataLoader, StreamingDataset
from streaming.base.util import clean_stale_shared_memory

import harness
from torch_peer import pil_transform


class Photographs(StreamingDataset):
    """Transformed samples of the shards."""

    def __init__(self, folder: Path, apply: Any) -> None:
        super().__init__(local=str(folder), shuffle=True, batch_size=harness.BATCH)
        self.apply = apply

    def __getitem__(self, at: int) -> tuple[Any, int]:
        sample = super().__getitem__(at)
        return self.apply(sample["image"].convert("RGB")), sample["label"]


def write(folder: Path, job: harness.Job) -> None:
    """Writes the shards; the files' bytes are stored as they are."""
    partly = folder.with_suffix(".partial")
    shutil.rmtree(partly, ignore_errors=True)
    with MDSWriter(out=str(partly), columns={"image": "jpeg", "label": "int"}, size_limit="16mb") as writer:
        for file, label in zip(job.files, job.labels, strict=True):
            writer.write({"image": Image.open(file), "label": label})
    partly.rename(folder)


def main() -> None:
    """Measures one variant."""
    job = harness.job()
    folder = job.data / "mds"
    if job.prepare:
        if not folder.exists():
            write(folder, job)
        return
    # A run that was ended leaves some, and the next one would refuse to begin.
    clean_stale_shared_memory()

    def batches() -> Iterator[Any]:
        dataset = Photographs(folder, pil_transform(job))
        loader = StreamingDataLoader(
            dataset, batch_size=harness.BATCH, num_workers=job.workers, persistent_workers=True, drop_last=True
        )
        while True:
            yield from loader

    harness.run(job, batches, lambda batch: len(batch[0]), ("mosaicml-streaming", "torch", "torchvision", "pillow"))


if __name__ == "__main__":
    main()
