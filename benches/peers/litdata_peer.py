"""LitData from chunks of its own format, which are written once beside the set."""

import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from litdata import Image, StreamingDataLoader, StreamingDataset, optimize

import harness
from torch_peer import tensor_transform


def stored(item: tuple[str, int]) -> dict[str, Any]:
    """Returns a sample as it is written: the file's bytes and the label."""
    return {"image": Image(path=item[0]), "label": item[1]}


def transformed(sample: dict[str, Any], apply: Any) -> dict[str, Any]:
    """Transforms a sample, whose image the format's reader has decoded to a tensor."""
    return {"image": apply(sample["image"]), "label": sample["label"]}


def write(folder: Path, job: harness.Job) -> None:
    """Writes the chunks."""
    partly = folder.with_suffix(".partial")
    shutil.rmtree(partly, ignore_errors=True)
    items = list(zip(job.files, job.labels, strict=True))
    optimize(stored, items, str(partly), chunk_bytes="16MB", num_workers=1)
    partly.rename(folder)


def main() -> None:
    """Measures one variant."""
    job = harness.job()
    folder = job.data / "litdata"
    if job.prepare:
        if not folder.exists():
            write(folder, job)
        return

    def batches() -> Iterator[Any]:
        apply = partial(transformed, apply=tensor_transform(job))
        dataset = StreamingDataset(str(folder), shuffle=True, drop_last=True, transform=apply)
        loader = StreamingDataLoader(
            dataset, batch_size=harness.BATCH, num_workers=job.workers, persistent_workers=True, drop_last=True
        )
        while True:
            yield from loader

    harness.run(job, batches, lambda batch: len(batch["image"]), ("litdata", "torch", "torchvision"))


if __name__ == "__main__":
    main()
