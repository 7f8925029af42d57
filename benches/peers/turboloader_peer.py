"""TurboLoader: C++ threads over one tar file of JPEG files, which is written once beside the set."""

import io
import tarfile
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import turboloader

import harness


def write(file: Path, images: list[str]) -> None:
    """Writes the images as one tar file."""
    partial = file.with_suffix(".partial")
    with tarfile.open(partial, "w") as tar:
        for image in map(Path, images):
            member = tarfile.TarInfo(image.name)
            member.size = image.stat().st_size
            tar.addfile(member, io.BytesIO(image.read_bytes()))
    partial.rename(file)


def main() -> None:
    """Measures one variant."""
    job = harness.job()
    file = job.data / "turboloader.tar"
    if job.prepare:
        if not file.exists():
            write(file, job.files)
        return

    def batches() -> Iterator[Any]:
        loader = turboloader.DataLoader(
            str(file),
            batch_size=harness.BATCH,
            num_workers=job.workers,
            shuffle=True,
            drop_last=True,
            image_size=224,
            transform=turboloader.ImageNetNormalize(),
            output_format="pytorch",
            train_aug=True,
            antialias=job.variant == "aa",
        )
        for epoch in count():
            loader.set_epoch(epoch)
            yield from loader

    harness.run(job, batches, lambda batch: len(batch[0]), ("turboloader", "numpy"))


if __name__ == "__main__":
    main()
